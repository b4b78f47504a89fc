// A check that finds nothing proves nothing: here every record of an index is taken away in turn.
#include "registry/check.h"

#include <catch2/catch.hpp>

#include "command_harness.h"
#include "registry/commands/totals.h"

namespace berth::registry::testing {
namespace {

/// A bit of everything: an index of images, a referrer, files, what was deleted, a purge under way, files to remove.
struct World {
  TestIndex index;
  std::string file = "content of a file";

  World() {
    const Pushed one = index.push_image("team/a", {"config", {"layer", "other"}}, "v1.2.3");
    const Pushed two = index.push_image("team/a", {"config two", {"layer"}}, "v2");
    REQUIRE(index.put("team/a", index_of({one, two}), "latest").has_value());
    const Pushed about = image({"config", {}, one.digest.to_string(), "application/signature"});
    REQUIRE(index.put("team/a", about, oci::Reference(about.digest)).has_value());
    index.push_image("b", {"config", {"layer"}}, "v1");
    REQUIRE(index.push_file("b", file, "first").has_value());
    REQUIRE(index.push_file("b", file, "second", true).has_value());
    const Pushed gone = index.push_image("b", {"config", {"gone"}}, "old");
    REQUIRE(index.delete_manifest("b", gone.digest).has_value());
    index.push_image("c", {"config c", {}}, "v1");
    REQUIRE(index.delete_repository("c").has_value());
    index.check();
  }

  /// Does the check say something about the store as it is now?
  bool finds() {
    const auto view = index.store->view().value();
    const auto findings = check_index(view->reader(kv::Tier::any));
    return !findings || !findings->empty();
  }
  void write(kv::Family family, const std::string& key, std::optional<std::string> value) {
    std::vector<kv::Write> writes = {{family, key, std::move(value)}};
    REQUIRE(index.store->write(writes).has_value());
  }
};

struct Entry {
  kv::Family family = 0;
  std::string key;
  std::string value;
};

std::vector<Entry> entries(World& world) {
  std::vector<Entry> all;
  for (const kv::Family family : {family::names, family::objects, family::bytes, family::links, family::manifests,
                                  family::tags, family::tag_log, family::queues, family::usage}) {
    const auto cursor = world.index.reader().scan(family, {}).value();
    for (; cursor->valid(); cursor->next()) {
      all.push_back({family, std::string(cursor->key()), std::string(cursor->value())});
    }
  }
  return all;
}

}  // namespace

TEST_CASE("the check misses every record that is taken away") {
  World world;
  const auto all = entries(world);
  CHECK(all.size() > 80);
  std::size_t to_remove = 0;
  for (const Entry& entry : all) {
    INFO("family " << int(entry.family) << ", key of " << entry.key.size() << " bytes, kind " << int(entry.key[0]));
    // A file that nobody removes is garbage, which harms nobody.
    const bool garbage = entry.family == family::queues && ReapKey::decode(entry.key).has_value();
    // A tag that is gone has its history, and nothing else knows of that.
    const bool history = entry.family == family::tag_log && TagLogKey::decode(entry.key).value().tag == "old";
    // The third repository is deleted: what stands beside its tags may go before the rest. The tags are counted.
    const bool beside_tags = entry.family == family::tag_log || (entry.family == family::tags && entry.key[0] != 1);
    const bool purged = beside_tags && entry.key[8] == 3;
    world.write(entry.family, entry.key, std::nullopt);
    CHECK(world.finds() == !(garbage || history || purged));
    world.write(entry.family, entry.key, entry.value);
    to_remove += garbage ? 1 : 0;
  }
  CHECK(to_remove == 1);
  CHECK_FALSE(world.finds());
}

TEST_CASE("the check sees each sum that is not what a recount gives") {
  World world;
  CHECK_FALSE(world.finds());
  for (const Total which : kTotals) {
    INFO("sum " << int(which));
    const std::uint64_t right = total(world.index.reader(), which).value();
    const std::string key = TotalKey{which}.encode();
    world.write(TotalKey::kFamily, key, encode(CounterRecord{right + 1}));
    CHECK(world.finds() == (which != Total::reap_bytes));  // what waits there only the disk knows
    world.write(TotalKey::kFamily, key, right == 0 ? std::nullopt : std::optional(encode(CounterRecord{right})));
    CHECK_FALSE(world.finds());
  }
}

TEST_CASE("the check sees a file that is used and about to be removed") {
  World world;
  const ReapKey key{Uptime{1}, TestIndex::place(world.file, "second").name};
  world.write(ReapKey::kFamily, key.encode(), encode(EmptyRecord{}));
  CHECK(world.finds());
}

}  // namespace berth::registry::testing
