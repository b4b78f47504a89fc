// The head of a request, as strictly as it is read.
#include <benchmark/benchmark.h>

#include <string>

#include "server/request_head.h"

namespace {

using namespace berth::server;

const std::string kSmall = "GET /v2/team/app/manifests/latest HTTP/1.1\r\nHost: registry.example\r\n\r\n";
const std::string kContainerd =
    "GET /v2/team/app/manifests/latest HTTP/1.1\r\nHost: registry.example\r\nUser-Agent: containerd/1.7.24\r\n"
    "Accept: application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*\r\nAuthorization: "
    "Bearer " +
    std::string(700, 'x') + "\r\nAccept-Encoding: gzip\r\n\r\n";

void request_head(benchmark::State& state, const std::string& bytes, std::size_t piece) {
  for (auto _ : state) {
    RequestHeadParser parser;
    auto progress = RequestHeadParser::Progress::more;
    for (std::size_t end = piece; progress == RequestHeadParser::Progress::more; end += piece) {
      progress = parser.advance(std::string_view(bytes).substr(0, end));
    }
    if (progress != RequestHeadParser::Progress::done) return state.SkipWithError("refused");
    benchmark::DoNotOptimize(parser.head(bytes));
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes.size()));
}

BENCHMARK_CAPTURE(request_head, small, kSmall, kSmall.size());
BENCHMARK_CAPTURE(request_head, of containerd with a token, kContainerd, kContainerd.size());
BENCHMARK_CAPTURE(request_head, of containerd in pieces of 64 bytes, kContainerd, 64);

}  // namespace
