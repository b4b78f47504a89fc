// Text that becomes a value at the edge: names, tags, digests, ranges; and what a digest costs to compute.
#include <benchmark/benchmark.h>

#include <string>

#include "oci/digest.h"
#include "oci/name.h"
#include "oci/range.h"

namespace {

using namespace berth::oci;

template <class Value>
void parse(benchmark::State& state, const std::string& text) {
  for (auto _ : state) {
    auto value = Value::parse(text);
    if (!value) return state.SkipWithError("refused");
    benchmark::DoNotOptimize(value);
  }
}

void repository_name(benchmark::State& state, const std::string& text) { parse<RepositoryName>(state, text); }
void tag(benchmark::State& state, const std::string& text) { parse<Tag>(state, text); }
void digest(benchmark::State& state, const std::string& text) { parse<Digest>(state, text); }

BENCHMARK_CAPTURE(repository_name, short, "team/app");
BENCHMARK_CAPTURE(repository_name, longest, std::string(127, 'a') + "/" + std::string(127, 'b'));
BENCHMARK_CAPTURE(tag, version, "v1.25.3-alpine3.18");
BENCHMARK_CAPTURE(digest, sha256, "sha256:" + std::string(64, 'a'));
BENCHMARK_CAPTURE(digest, sha512, "sha512:" + std::string(128, 'a'));

void digest_text(benchmark::State& state) {
  const Digest value = sha256("berth");
  for (auto _ : state) benchmark::DoNotOptimize(value.to_string());
}
BENCHMARK(digest_text);

void hash(benchmark::State& state) {
  const std::string bytes(static_cast<std::size_t>(state.range(0)), 'x');
  for (auto _ : state) benchmark::DoNotOptimize(sha256(bytes));
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(hash)->Arg(2 << 10)->Arg(256 << 10);

void range(benchmark::State& state, const std::string& header) {
  for (auto _ : state) benchmark::DoNotOptimize(resolve_range(header, 1u << 30, 16));
}
BENCHMARK_CAPTURE(range, one, "bytes=1048576-2097151");
BENCHMARK_CAPTURE(range, eight, "bytes=0-9,20-29,40-49,60-69,80-89,100-109,120-129,-10");

void upload_range(benchmark::State& state) {
  for (auto _ : state) {
    auto value = parse_upload_range("1048576-2097151");
    if (!value) return state.SkipWithError("refused");
    benchmark::DoNotOptimize(value);
  }
}
BENCHMARK(upload_range);

}  // namespace
