// One suite for every engine: what kv.h promises.
#include <catch2/catch.hpp>
#include <map>
#include <random>

#include "storage/kv/overlay.h"
#include "tests/unit/storage/kv_engines.h"

namespace berth::kv {
namespace {

using Entries = std::vector<std::pair<std::string, std::string>>;
using Model = std::map<std::string, std::string>;

constexpr Family kPoint = 0;
constexpr Family kScan = 1;
constexpr Family kLarge = 2;
constexpr Family kQueue = 3;
constexpr Family kLog = 4;

Schema contract_schema() {
  return {{"point", Access::point},
          {"scan", Access::scan},
          {"large", Access::large},
          {"queue", Access::queue},
          {"log", Access::log}};
}

Entries drain(const Reader& reader, Family family, KeyRange range, Direction direction = Direction::forward) {
  auto cursor = reader.scan(family, std::move(range), direction);
  REQUIRE(cursor.has_value());
  Entries entries;
  for (; (*cursor)->valid(); (*cursor)->next()) {
    entries.emplace_back(std::string((*cursor)->key()), std::string((*cursor)->value()));
  }
  REQUIRE((*cursor)->status().has_value());
  return entries;
}

Entries drain(const Model& model, const KeyRange& range, Direction direction) {
  Entries entries;
  for (const auto& [key, value] : model) {
    if (key >= range.begin && (range.end.empty() || key < range.end)) entries.emplace_back(key, value);
  }
  if (direction == Direction::backward) std::reverse(entries.begin(), entries.end());
  return entries;
}

/// A store of the engine at hand, in its own folder.
struct Rig {
  explicit Rig(const Engine& engine) : store(engine.open(contract_schema(), directory.path())) {}
  void write(std::vector<Write> writes) { REQUIRE(store->write(writes).has_value()); }
  std::shared_ptr<const View> view() {
    auto newest = store->view();
    REQUIRE(newest.has_value());
    return *newest;
  }
  std::optional<std::string> get(Family family, std::string_view key) {
    auto found = view()->reader(Tier::any).get(family, key);
    REQUIRE(found.has_value());
    return *found;
  }
  TempDirectory directory;
  std::unique_ptr<Store> store;
};

const Engine& each_engine() {
  const Engine& engine = kEngines[GENERATE(range(0, 2))];
  UNSCOPED_INFO("engine: " << engine.name);
  return engine;
}

std::string binary(std::initializer_list<int> bytes) {
  std::string text;
  for (const int byte : bytes) text.push_back(static_cast<char>(byte));
  return text;
}

}  // namespace

TEST_CASE("put, get, erase, multi-get") {
  Rig rig(each_engine());
  CHECK(rig.get(kPoint, "a") == std::nullopt);
  rig.write({{kPoint, "a", "1"}, {kPoint, "b", ""}, {kScan, "a", "other"}, {kPoint, binary({0, 255, 0}), "raw"}});
  CHECK(rig.get(kPoint, "a") == "1");
  CHECK(rig.get(kPoint, "b") == "");
  CHECK(rig.get(kScan, "a") == "other");
  CHECK(rig.get(kPoint, binary({0, 255, 0})) == "raw");
  CHECK(rig.get(kPoint, binary({0})) == std::nullopt);

  // Later writes of a batch win over earlier ones.
  rig.write({{kPoint, "a", "2"}, {kPoint, "a", "3"}, {kPoint, "b", std::nullopt}, {kPoint, "absent", std::nullopt}});
  CHECK(rig.get(kPoint, "a") == "3");
  CHECK(rig.get(kPoint, "b") == std::nullopt);

  const std::vector<std::string> keys{"absent", "a", "b", "a", binary({0, 255, 0})};
  auto many = rig.view()->reader(Tier::any).multi_get(kPoint, keys);
  REQUIRE(many.has_value());
  CHECK(*many == std::vector<std::optional<std::string>>{std::nullopt, "3", std::nullopt, "3", "raw"});
  auto none = rig.view()->reader(Tier::any).multi_get(kPoint, {});
  REQUIRE(none.has_value());
  CHECK(none->empty());
}

TEST_CASE("large values come back whole") {
  Rig rig(each_engine());
  const std::string large(300 << 10, 'x');
  rig.write({{kLarge, "k", large}});
  CHECK(rig.get(kLarge, "k") == large);
}

TEST_CASE("scans keep to their bounds in both directions") {
  Rig rig(each_engine());
  std::vector<Write> writes;
  const std::vector<std::string> keys{
      "a", "ab", "b", "ba", "bb", "c", binary({'c', 255}), binary({255}), binary({255, 255})};
  for (const std::string& key : keys) writes.push_back({kScan, key, "v" + key});
  writes.push_back({kPoint, "b", "another family"});
  rig.write(writes);
  struct Row {
    const char* name;
    KeyRange range;
    std::vector<std::string> expected;
  };
  const std::vector<Row> rows{
      {"everything", {}, keys},
      {"from a key that exists",
       {"b", ""},
       {"b", "ba", "bb", "c", binary({'c', 255}), binary({255}), binary({255, 255})}},
      {"up to a key that exists, without it", {"", "b"}, {"a", "ab"}},
      {"between keys that do not exist", {"aa", "bab"}, {"ab", "b", "ba"}},
      {"nothing between", {"bc", "bd"}, {}},
      {"an empty range", {"b", "b"}, {}},
      {"a range the wrong way round", {"c", "a"}, {}},
      {"past the last", {binary({255, 255, 255}), ""}, {}},
      {"before the first", {"", "a"}, {}},
      {"a prefix", prefix_range("b"), {"b", "ba", "bb"}},
      {"a prefix that is one entry", prefix_range("ab"), {"ab"}},
      {"the prefix of everything", prefix_range(""), keys},
      {"a prefix that ends in the last byte", prefix_range(binary({'c', 255})), {binary({'c', 255})}},
      {"a prefix of the last byte alone", prefix_range(binary({255})), {binary({255}), binary({255, 255})}},
  };
  for (const Row& row : rows) {
    INFO(row.name);
    Entries expected;
    for (const std::string& key : row.expected) expected.emplace_back(key, "v" + key);
    CHECK(drain(rig.view()->reader(Tier::any), kScan, row.range) == expected);
    std::reverse(expected.begin(), expected.end());
    CHECK(drain(rig.view()->reader(Tier::any), kScan, row.range, Direction::backward) == expected);
  }
}

TEST_CASE("a view stands still and its version grows") {
  Rig rig(each_engine());
  rig.write({{kPoint, "k", "old"}, {kPoint, "gone", "old"}});
  const auto before = rig.view();
  auto cursor = before->reader(Tier::any).scan(kPoint, {});
  REQUIRE(cursor.has_value());
  rig.write({{kPoint, "k", "new"}, {kPoint, "gone", std::nullopt}, {kPoint, "more", "new"}});
  const auto after = rig.view();
  CHECK(after->version() == before->version() + 1);
  CHECK(drain(before->reader(Tier::any), kPoint, {}) == Entries{{"gone", "old"}, {"k", "old"}});
  CHECK(drain(after->reader(Tier::any), kPoint, {}) == Entries{{"k", "new"}, {"more", "new"}});
  Entries seen;
  for (; (*cursor)->valid(); (*cursor)->next()) seen.emplace_back((*cursor)->key(), (*cursor)->value());
  CHECK(seen == Entries{{"gone", "old"}, {"k", "old"}});
  CHECK(*before->reader(Tier::cache_only).get(kPoint, "k") == "old");
}

TEST_CASE("a view that is left when its store goes does no harm") {
  const Engine& engine = each_engine();
  auto rig = std::make_unique<Rig>(engine);
  rig->write({{kPoint, "k", "v"}});
  auto left_over = rig->view();
  rig->store.reset();
  if (engine.open == open_rocksdb_engine) {
    CHECK(left_over->reader(Tier::any).get(kPoint, "k").failed_with(ErrorCode::unavailable));
    CHECK(left_over->reader(Tier::any).scan(kPoint, {}).failed_with(ErrorCode::unavailable));
    rig->store = engine.open(contract_schema(), rig->directory.path());  // nothing holds it open
    CHECK(rig->get(kPoint, "k") == "v");
  }
  left_over.reset();
}

TEST_CASE("a queue is worked off from its front") {
  Rig rig(each_engine());
  std::vector<Write> writes;
  for (std::uint64_t due = 1; due <= 3000; ++due) {
    std::string key;
    append_u64(key, due);
    writes.push_back({kQueue, key, "work"});
  }
  rig.write(writes);
  std::uint64_t done = 0;
  while (done < 3000) {
    const auto view = rig.view();
    auto cursor = view->reader(Tier::any).scan(kQueue, {});
    REQUIRE(cursor.has_value());
    std::vector<Write> erased;
    for (; (*cursor)->valid() && erased.size() < 500; (*cursor)->next()) {
      REQUIRE(read_u64((*cursor)->key()) == ++done);
      erased.push_back({kQueue, std::string((*cursor)->key()), std::nullopt});
    }
    REQUIRE(!erased.empty());
    rig.write(erased);
    if (done == 1500) REQUIRE(rig.store->flush().has_value());
  }
  CHECK(drain(rig.view()->reader(Tier::any), kQueue, {}).empty());
}

TEST_CASE("counters and logs") {
  Rig rig(each_engine());
  std::vector<std::uint64_t> last_numbers(contract_schema().size());
  const auto commit = [&](auto&& change) {
    const auto view = rig.view();
    Overlay overlay(view->reader(Tier::any), contract_schema().size());
    change(overlay);
    rig.write(overlay.take(last_numbers).writes);
  };
  auto empty = rig.store->last_log_number(kLog);
  REQUIRE(empty.has_value());
  CHECK(*empty == 0);
  commit([](Overlay& overlay) {
    CHECK(overlay.add(kPoint, "counter", 5).has_value());
    CHECK(overlay.add(kPoint, "counter", -12).has_value());
    overlay.append(kLog, "first");
    overlay.append(kLog, "second");
  });
  commit([](Overlay& overlay) {
    CHECK(overlay.add(kPoint, "counter", 1'000'000'000'000).has_value());
    overlay.append(kLog, "third");
  });
  CHECK(read_counter(rig.get(kPoint, "counter")) == 999'999'999'993);
  CHECK(rig.get(kPoint, "counter") == binary({0xf9, 0x0f, 0xa5, 0xd4, 0xe8, 0, 0, 0}));
  CHECK(drain(rig.view()->reader(Tier::any), kLog, {}) == Entries{{binary({0, 0, 0, 0, 0, 0, 0, 1}), "first"},
                                                                  {binary({0, 0, 0, 0, 0, 0, 0, 2}), "second"},
                                                                  {binary({0, 0, 0, 0, 0, 0, 0, 3}), "third"}});
  auto last = rig.store->last_log_number(kLog);
  REQUIRE(last.has_value());
  CHECK(*last == 3);
}

TEST_CASE("a stored counter of the wrong length is damage, not a number") {
  Rig rig(each_engine());
  rig.write({{kPoint, "counter", "short"}});
  const auto view = rig.view();
  Overlay overlay(view->reader(Tier::any), contract_schema().size());
  CHECK(overlay.add(kPoint, "counter", 1).failed_with(ErrorCode::corrupt));
}

TEST_CASE("the store and the overlay over it agree with a map under random operations") {
  const Engine& engine = each_engine();
  const auto seed = std::random_device{}();
  INFO("seed: " << seed);
  std::mt19937_64 random(seed);
  const auto below = [&](std::size_t bound) { return static_cast<std::size_t>(random() % bound); };
  const auto any_key = [&] {
    std::string key;
    for (std::size_t length = below(4); length > 0; --length) key.push_back("ab\x00\xff"[below(4)]);
    return key;
  };
  const std::size_t families = contract_schema().size();

  Rig rig(engine);
  std::vector<Model> committed(families);
  std::vector<std::uint64_t> last_numbers(families);
  for (int round = 0; round < 60; ++round) {
    const auto view = rig.view();
    Overlay overlay(view->reader(Tier::any), families);
    std::vector<Model> model = committed;
    std::vector<Model> at_savepoint;
    std::size_t size_at_savepoint = 0;
    for (int step = 0; step < 30; ++step) {
      const auto family = static_cast<Family>(below(3));
      switch (below(8)) {
        case 0:
        case 1:
        case 2: {
          const std::string key = any_key();
          const std::string value = std::to_string(random());
          overlay.put(family, key, value);
          model[family][key] = value;
          break;
        }
        case 3: {
          const std::string key = any_key();
          overlay.erase(family, key);
          model[family].erase(key);
          break;
        }
        case 4: {
          const std::string key = any_key();
          auto found = overlay.get(family, key);
          REQUIRE(found.has_value());
          const auto expected = model[family].find(key);
          REQUIRE(*found == (expected == model[family].end() ? std::nullopt : std::optional(expected->second)));
          break;
        }
        case 5: {
          KeyRange range{any_key(), any_key()};
          const auto direction = below(2) == 0 ? Direction::forward : Direction::backward;
          REQUIRE(drain(overlay, family, range, direction) == drain(model[family], range, direction));
          break;
        }
        case 6: {
          const std::vector<std::string> keys{any_key(), any_key(), any_key(), any_key()};
          auto found = overlay.multi_get(family, keys);
          REQUIRE(found.has_value());
          for (std::size_t i = 0; i < keys.size(); ++i) {
            const auto expected = model[family].find(keys[i]);
            REQUIRE((*found)[i] == (expected == model[family].end() ? std::nullopt : std::optional(expected->second)));
          }
          break;
        }
        default:
          if (!at_savepoint.empty() && below(2) == 0) {
            overlay.rollback();
            model = std::exchange(at_savepoint, {});
            REQUIRE(overlay.size_bytes() == size_at_savepoint);
          } else {
            overlay.set_savepoint();
            at_savepoint = model;
            size_at_savepoint = overlay.size_bytes();
          }
      }
    }
    rig.write(overlay.take(last_numbers).writes);
    committed = std::move(model);
    // Now and then, so that RocksDB answers from its files too.
    if (round % 20 == 19) REQUIRE(rig.store->flush().has_value());
    for (Family family = 0; family < 3; ++family) {
      for (const Direction direction : {Direction::forward, Direction::backward}) {
        KeyRange range{any_key(), any_key()};
        const auto newest = rig.view();
        REQUIRE(drain(newest->reader(Tier::any), family, range, direction) ==
                drain(committed[family], range, direction));
      }
    }
  }
}

}  // namespace berth::kv
