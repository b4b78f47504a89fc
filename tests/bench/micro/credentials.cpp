// What it costs to know who is asking: tokens seen for the first time and again, passwords that were right a moment
// ago.
#include <benchmark/benchmark.h>

#include <chrono>
#include <memory>
#include <string>

#include "auth/key_ring.h"
#include "auth/keys.h"
#include "auth/scope.h"
#include "auth/token_issuer.h"
#include "auth/verified_cache.h"
#include "base/env.h"

namespace {

using namespace berth;
using namespace berth::auth;
using namespace std::chrono_literals;

constexpr std::string_view kAudience = "registry.example";

struct World {
  explicit World(Algorithm algorithm)
      : ring({{SigningKey::generate(algorithm).value(), now - 24h}}, {}),
        find([this](std::string_view id) { return ring.find(id, now); }) {}
  Result<IssuedToken> issue() {
    TokenRequest request{.subject = "user:alice",
                         .audience = std::string(kAudience),
                         .scopes = {Scope::parse("repository:team/app:pull,push").value()}};
    const GrantedActions granted = [](const Scope&) { return ScopeActions{ScopeAction::pull, ScopeAction::push}; };
    return issue_token({.issuer = "https://registry.example"}, ring, request, granted, now, entropy);
  }

  SystemEntropy entropy;
  WallTime now = SystemClock().wall();
  KeyRing ring;
  KeyLookup find;
};

void token_made(benchmark::State& state, Algorithm algorithm) {
  World world(algorithm);
  for (auto _ : state) {
    auto made = world.issue();
    if (!made) return state.SkipWithError("not made");
    benchmark::DoNotOptimize(made);
  }
}
BENCHMARK_CAPTURE(token_made, ES256, Algorithm::es256);

void token_verified(benchmark::State& state, Algorithm algorithm, std::size_t kept_max) {
  World world(algorithm);
  TokenVerifier verifier({.issuer = "https://registry.example", .kept_max = kept_max});
  const auto made = world.issue();
  if (!made) return state.SkipWithError("not made");
  for (auto _ : state) {
    auto verified = verifier.verify(made->token, kAudience, world.find, world.now);
    if (!verified) return state.SkipWithError("refused");
    benchmark::DoNotOptimize(verified);
  }
}
BENCHMARK_CAPTURE(token_verified, ES256 anew, Algorithm::es256, 0);
BENCHMARK_CAPTURE(token_verified, EdDSA anew, Algorithm::eddsa, 0);
BENCHMARK_CAPTURE(token_verified, RS256 anew, Algorithm::rs256, 0);
BENCHMARK_CAPTURE(token_verified, ES256 again, Algorithm::es256, 4096);

void password_again(benchmark::State& state) {
  SystemEntropy entropy;
  VerifiedCache cache(entropy, {});
  const SteadyTime now = SystemClock().steady();
  cache.remember(cache.look_up("alice", "correct horse battery staple", now), "alice", now);
  for (auto _ : state) {
    if (!cache.look_up("alice", "correct horse battery staple", now).known) return state.SkipWithError("forgotten");
  }
}
BENCHMARK(password_again);

}  // namespace
