// While somebody keeps content as it is, pulls write nothing.
#include "registry/pause.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "registry/keys.h"
#include "registry/tables.h"
#include "tests/support/test_registry.h"

namespace berth::registry {
namespace {

using namespace std::chrono_literals;
using test::Engines;
using test::TestRegistry;
using test::TestRegistryOptions;

/// What the index's write-ahead logs hold: the store's own view of a write that reaches the disk.
std::string logged(const std::filesystem::path& directory) {
  std::string all;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory / "index")) {
    if (entry.path().extension() != ".log") continue;
    std::ifstream file(entry.path(), std::ios::binary);
    all.append(std::istreambuf_iterator<char>(file), {});
  }
  return all;
}

std::uint64_t pulls(TestRegistry& registry) {
  const auto view = registry.committer().view();
  Table<PullsKey> table;
  REQUIRE(load(view->reader(kv::Tier::any), PullsKey::prefix(), table).has_value());
  std::uint64_t sum = 0;
  for (const auto& [key, record] : table) sum += record.pulls;
  return sum;
}

TEST_CASE("in a pause nothing is collected, counted or written down, and afterwards it is") {
  const auto pause = std::make_shared<Pause>(false);
  TestRegistryOptions options;
  options.engines = Engines::files;
  options.registry.pause = pause;
  options.registry.collection_grace = 24h;
  TestRegistry registry(options);
  const std::string layer(1000, 'l'), stray(1000, 's');
  REQUIRE(registry.push_image("team/app", "v1", {"config", layer}).has_value());
  REQUIRE(registry.push_blob("team/app", stray).has_value());

  pause->set(true);
  const auto version = registry.committer().view()->version();
  const std::string log = logged(registry.directory());
  REQUIRE_FALSE(log.empty());
  registry.clock().advance(23h);  // a look at the blob would make its link live longer
  const auto actor = TestRegistry::actor();
  CHECK(registry.run(registry->blob_size(Actor{}, TestRegistry::name("team/app"), oci::sha256(stray))).has_value());
  for (int i = 0; i < 3; ++i) {
    REQUIRE(registry.pull_manifest("team/app", "v1").has_value());
    REQUIRE(registry.pull_blob("team/app", oci::sha256(layer)).has_value());
    registry.clock().advance(48h);
    registry.collect_now();
  }
  CHECK(registry.committer().view()->version() == version);
  CHECK((logged(registry.directory()) == log));
  CHECK(registry.pull_blob("team/app", oci::sha256(stray)).has_value());
  CHECK(pulls(registry) == 0);

  pause->set(false);
  registry.collect_now();
  CHECK(registry.committer().view()->version() > version);
  CHECK((logged(registry.directory()) != log));
  CHECK_FALSE(registry.pull_blob("team/app", oci::sha256(stray)).has_value());
  CHECK(pulls(registry) == 3);
}

TEST_CASE("a registry that is stopped in a pause writes nothing") {
  const auto pause = std::make_shared<Pause>(false);
  TestRegistryOptions options;
  options.registry.pause = pause;
  TestRegistry registry(options);
  REQUIRE(registry.push_image("team/app", "v1", {"config", "layer"}).has_value());
  pause->set(true);
  REQUIRE(registry.pull_manifest("team/app", "v1").has_value());
  registry.clock().advance(48h);
  const auto version = registry.committer().view()->version();
  registry->stop();
  CHECK(registry.committer().view()->version() == version);
}

}  // namespace
}  // namespace berth::registry
