// From the text of a path to a handler's arguments.
#include <benchmark/benchmark.h>

#include <string>
#include <utility>

#include "api/routes.h"

namespace {

using namespace berth;

const std::string kDigest = "sha256:" + std::string(64, 'a');

void route(benchmark::State& state, api::Method method, const std::string& path) {
  for (auto _ : state) {
    auto match = api::match_path(method, path);
    if (!match || match->route == nullptr) return state.SkipWithError("no route");
    auto repository = api::parse_repository(*match);
    if (!repository) return state.SkipWithError("no name");
    auto target = api::parse_target(*match, *std::move(repository));
    if (!target) return state.SkipWithError("no target");
    benchmark::DoNotOptimize(target);
  }
}

BENCHMARK_CAPTURE(route, manifest by tag, api::Method::get, "/v2/team/app/manifests/latest");
BENCHMARK_CAPTURE(route, blob, api::Method::get, "/v2/team/app/blobs/" + kDigest);
BENCHMARK_CAPTURE(route, deep name, api::Method::get, "/v2/a/b/c/d/e/f/g/h/blobs/i/manifests/" + kDigest);
BENCHMARK_CAPTURE(route, tags, api::Method::get, "/v2/team/app/tags/list");
BENCHMARK_CAPTURE(route, upload, api::Method::post, "/v2/team/app/blobs/uploads/");

}  // namespace
