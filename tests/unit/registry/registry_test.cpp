#include "registry/registry.h"

#include <catch2/catch.hpp>
#include <random>

#include "tests/support/test_registry.h"

namespace berth::registry {
namespace {

using test::Engines;
using test::TestRegistry;
using test::TestRegistryOptions;

/// Bytes that no other call gives, of a fixed seed.
std::string content(std::size_t size, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

template <class T>
std::string code(const Result<T>& result) {
  return result ? "ok" : std::string(to_string(result.error().code));
}

constexpr std::size_t kSmall = 1000;
constexpr std::size_t kLarge = 700'000;

TEST_CASE("an image that was pushed is pulled as it was, and outlives a restart") {
  const Engines engines = GENERATE(Engines::memory, Engines::files);
  TestRegistryOptions options;
  options.engines = engines;
  TestRegistry registry(options);
  const std::vector<std::string> blobs{content(kSmall, 1), content(kLarge, 2), content(0, 3)};
  const std::string manifest = TestRegistry::image_manifest(blobs);
  REQUIRE(code(registry.push_image("team/app", "v1", blobs)) == "ok");
  for (int round = 0; round < 2; ++round) {
    for (const std::string& blob : blobs) {
      const auto pulled = registry.pull_blob("team/app", oci::sha256(blob));
      REQUIRE(code(pulled) == "ok");
      CHECK(*pulled == blob);
      CHECK(registry.run(registry->blob_size(TestRegistry::name("team/app"), oci::sha256(blob))).value() ==
            blob.size());
    }
    CHECK(registry.pull_manifest("team/app", "v1").value() == manifest);
    CHECK(registry.pull_manifest("team/app", oci::sha256(manifest).to_string()).value() == manifest);
    CHECK(registry.run(registry->list_tags(TestRegistry::name("team/app"), 10, "")).value().tags ==
          std::vector<std::string>{"v1"});
    registry.reopen(round == 0 ? TestRegistry::End::killed : TestRegistry::End::orderly);
  }
}

}  // namespace
}  // namespace berth::registry
