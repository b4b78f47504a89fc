// Reading what a push of a manifest says, with all that is checked on the way.
#include <benchmark/benchmark.h>

#include <string>

#include "oci/digest.h"
#include "oci/manifest.h"

namespace {

using namespace berth::oci;

std::string descriptor(std::string_view type, int number, std::string_view more = "") {
  return R"({"mediaType":")" + std::string(type) + R"(","digest":")" + sha256(std::to_string(number)).to_string() +
         R"(","size":12345)" + std::string(more) + "}";
}

std::string list(std::string_view type, int count, std::string_view more = "") {
  std::string out = "[";
  for (int n = 0; n < count; ++n) out += (n == 0 ? "" : ",") + descriptor(type, n, more);
  return out + "]";
}

std::string image(int layers) {
  return R"({"schemaVersion":2,"mediaType":")" + std::string(kImageManifestType) + R"(","config":)" +
         descriptor("application/vnd.oci.image.config.v1+json", -1) + R"(,"layers":)" +
         list("application/vnd.oci.image.layer.v1.tar+gzip", layers) +
         R"(,"annotations":{"org.opencontainers.image.created":"2026-11-21T10:00:00Z"}})";
}

std::string index(int manifests) {
  return R"({"schemaVersion":2,"mediaType":")" + std::string(kImageIndexType) + R"(","manifests":)" +
         list(kImageManifestType, manifests, R"(,"platform":{"architecture":"amd64","os":"linux"})") + "}";
}

void manifest(benchmark::State& state, const std::string& body, std::string_view type) {
  for (auto _ : state) {
    auto parsed = parse_manifest(body, type, ManifestLimits{});
    if (!parsed) return state.SkipWithError(parsed.error().message.c_str());
    benchmark::DoNotOptimize(parsed);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(body.size()));
}

BENCHMARK_CAPTURE(manifest, image of 1 layer, image(1), kImageManifestType);
BENCHMARK_CAPTURE(manifest, image of 20 layers, image(20), kImageManifestType);
BENCHMARK_CAPTURE(manifest, index of 20 manifests, index(20), kImageIndexType);

}  // namespace
