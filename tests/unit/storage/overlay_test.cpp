#include "storage/kv/overlay.h"

#include <catch2/catch.hpp>
#include <limits>

#include "storage/kv/memory_kv.h"

namespace berth::kv {
namespace {

constexpr Family kFacts = 0;
constexpr Family kLog = 1;

/// What the base holds; reads of "cold" keys would wait.
class ColdReader final : public Reader {
 public:
  explicit ColdReader(const Reader& inner) : inner_(inner) {}
  Result<std::optional<std::string>> get(Family family, std::string_view key) const override {
    if (key.starts_with("cold")) return make_error(ErrorCode::would_block, "cold");
    return inner_.get(family, key);
  }
  Result<std::vector<std::optional<std::string>>> multi_get(Family family,
                                                            std::span<const std::string> keys) const override {
    for (const std::string& key : keys) BERTH_CHECK(get(family, key));
    return inner_.multi_get(family, keys);
  }
  Result<std::unique_ptr<Cursor>> scan(Family family, KeyRange range, Direction direction) const override {
    BERTH_TRY(auto cursor, inner_.scan(family, std::move(range), direction));
    return std::unique_ptr<Cursor>(std::make_unique<ColdCursor>(std::move(cursor)));
  }

 private:
  /// Ends with would_block where the first cold key is.
  class ColdCursor final : public Cursor {
   public:
    explicit ColdCursor(std::unique_ptr<Cursor> inner) : inner_(std::move(inner)) {}
    bool valid() const override { return inner_->valid() && !cold(); }
    std::string_view key() const override { return inner_->key(); }
    std::string_view value() const override { return inner_->value(); }
    void next() override { inner_->next(); }
    Result<void> status() const override {
      if (cold()) return make_error(ErrorCode::would_block, "cold");
      return {};
    }

   private:
    bool cold() const { return inner_->valid() && inner_->key().starts_with("cold"); }
    std::unique_ptr<Cursor> inner_;
  };
  const Reader& inner_;
};

struct Rig {
  Rig() {
    const std::vector<Write> writes{{kFacts, "a", "1"}, {kFacts, "b", "2"}, {kFacts, "cold", "3"}, {kFacts, "d", "4"}};
    REQUIRE(store->write(writes).has_value());
    view = *store->view();
  }
  std::unique_ptr<Store> store = make_memory_store({{"facts", Access::point}, {"log", Access::log}});
  std::shared_ptr<const View> view;
};

std::string keys_of(Result<std::unique_ptr<Cursor>> cursor) {
  REQUIRE(cursor.has_value());
  std::string keys;
  for (; (*cursor)->valid(); (*cursor)->next()) keys += std::string((*cursor)->key()) + " ";
  if (auto status = (*cursor)->status(); !status) keys += to_string(status.error().code);
  return keys;
}

}  // namespace

TEST_CASE("an error of the base ends a merged scan before anything that lies behind it is shown") {
  Rig rig;
  const ColdReader cold(rig.view->reader(Tier::any));
  Overlay overlay(cold, 2);
  overlay.put(kFacts, "aa", "pending");
  overlay.put(kFacts, "e", "pending");
  CHECK(keys_of(overlay.scan(kFacts, {}, Direction::forward)) == "a aa b would_block");
  CHECK(keys_of(overlay.scan(kFacts, {}, Direction::backward)) == "e d would_block");
}

TEST_CASE("what a command wrote itself is read without the base") {
  Rig rig;
  const ColdReader cold(rig.view->reader(Tier::any));
  Overlay overlay(cold, 2);
  CHECK(overlay.get(kFacts, "cold").failed_with(ErrorCode::would_block));
  CHECK(overlay.add(kFacts, "cold counter", 1).failed_with(ErrorCode::would_block));
  CHECK(overlay.empty());
  overlay.put(kFacts, "cold", "now known");
  auto found = overlay.get(kFacts, "cold");
  REQUIRE(found.has_value());
  CHECK(*found == "now known");
  const std::vector<std::string> keys{"a", "cold"};
  auto many = overlay.multi_get(kFacts, keys);
  REQUIRE(many.has_value());
  CHECK(*many == std::vector<std::optional<std::string>>{"1", "now known"});
}

TEST_CASE("a command may erase what it scans") {
  Rig rig;
  for (const Direction direction : {Direction::forward, Direction::backward}) {
    for (const bool with_pending : {false, true}) {
      Overlay overlay(rig.view->reader(Tier::any), 2);
      if (with_pending) overlay.put(kFacts, "c", "pending");
      auto cursor = overlay.scan(kFacts, {}, direction);
      REQUIRE(cursor.has_value());
      std::string seen;
      for (; (*cursor)->valid(); (*cursor)->next()) {
        seen += std::string((*cursor)->key()) + " ";
        overlay.erase(kFacts, std::string((*cursor)->key()));
      }
      const char* expected = direction == Direction::forward ? (with_pending ? "a b c cold d " : "a b cold d ")
                                                             : (with_pending ? "d cold c b a " : "d cold b a ");
      CHECK(seen == expected);
      CHECK(keys_of(overlay.scan(kFacts, {}, direction)).empty());
    }
  }
}

TEST_CASE("rolling back restores writes, logs, touches and size") {
  Rig rig;
  Overlay overlay(rig.view->reader(Tier::any), 2);
  overlay.put(kFacts, "kept", "1");
  overlay.append(kLog, "kept");
  overlay.touch("kept");
  const std::size_t size = overlay.size_bytes();
  overlay.set_savepoint();
  overlay.put(kFacts, "kept", "2");
  overlay.erase(kFacts, "kept");
  overlay.put(kFacts, "kept", "three");
  overlay.put(kFacts, "dropped", "1");
  overlay.erase(kFacts, "dropped");
  overlay.erase(kFacts, "a");
  overlay.append(kLog, "dropped");
  overlay.touch("dropped");
  overlay.rollback();
  CHECK(overlay.size_bytes() == size);
  std::vector<std::uint64_t> last_numbers{0, 41};
  const Overlay::Batch batch = overlay.take(last_numbers);
  REQUIRE(batch.writes.size() == 2);
  CHECK(batch.writes[0].key == "kept");
  CHECK(batch.writes[0].value == "1");
  CHECK(read_u64(batch.writes[1].key) == 42);
  CHECK(batch.writes[1].value == "kept");
  CHECK(batch.touched == std::vector<std::string>{"kept"});
  CHECK(last_numbers == std::vector<std::uint64_t>{0, 42});
  CHECK(overlay.empty());
  CHECK(overlay.size_bytes() == 0);
}

TEST_CASE("a command that only touches or reads is empty") {
  Rig rig;
  Overlay overlay(rig.view->reader(Tier::any), 2);
  CHECK(overlay.get(kFacts, "a").has_value());
  overlay.touch("a");
  CHECK(overlay.empty());
  overlay.append(kLog, "entry");
  CHECK(!overlay.empty());
}

TEST_CASE("key helpers") {
  struct Row {
    const char* name;
    std::string prefix;
    std::string end;
  };
  const std::vector<Row> rows{{"plain", "ab", "ac"},
                              {"last byte", "a\xff", "b"},
                              {"only last bytes", "\xff\xff", ""},
                              {"empty", "", ""},
                              {"high bit", "\x7f", "\x80"}};
  for (const Row& row : rows) {
    INFO(row.name);
    CHECK(prefix_range(row.prefix).begin == row.prefix);
    CHECK(prefix_range(row.prefix).end == row.end);
  }
  for (const std::uint64_t number : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{0x0102030405060708},
                                     std::numeric_limits<std::uint64_t>::max()}) {
    std::string key = "x";
    append_u64(key, number);
    REQUIRE(key.size() == 9);
    CHECK(read_u64(std::string_view(key).substr(1)) == number);
  }
  CHECK(read_counter(std::nullopt) == 0);
  CHECK(read_counter(std::string("\xfe\xff\xff\xff\xff\xff\xff\xff", 8)) == -2);
}

}  // namespace berth::kv
