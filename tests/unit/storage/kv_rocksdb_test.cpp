// What the RocksDB engine promises beside the contract: what is on the disk stays, damage is told from a torn tail.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <fstream>
#include <functional>
#include <thread>

#include "tests/support/faulty_env.h"
#include "tests/unit/storage/kv_engines.h"

namespace berth::kv {
namespace {

namespace fs = std::filesystem;

constexpr Family kFacts = 0;
constexpr Family kLarge = 1;
constexpr Family kLog = 2;

Schema test_schema() { return {{"facts", Access::point}, {"large", Access::large}, {"log", Access::log}}; }

RocksDbOptions options_for(const fs::path& directory) {
  RocksDbOptions options;
  options.directory = directory;
  options.block_cache_bytes = 4 << 20;
  return options;
}

Result<std::unique_ptr<Store>> open_store(const fs::path& directory) {
  return open_rocksdb(test_schema(), options_for(directory));
}

std::unique_ptr<Store> must_open(const fs::path& directory) { return open_rocksdb_engine(test_schema(), directory); }

std::string log_key(std::uint64_t number) {
  std::string key;
  append_u64(key, number);
  return key;
}

/// One acknowledged change, as the committer would write it.
void write_change(Store& store, std::uint64_t number, std::string value) {
  const std::vector<Write> writes{{kFacts, "k" + std::to_string(number), std::move(value)},
                                  {kLog, log_key(number), "change"}};
  REQUIRE(store.write(writes).has_value());
}

std::optional<std::string> read(Store& store, std::string_view key, Family family = kFacts) {
  auto view = store.view();
  REQUIRE(view.has_value());
  auto found = (*view)->reader(Tier::any).get(family, key);
  REQUIRE(found.has_value());
  return *found;
}

/// The numbers of the changes that are there, which must be 1, 2, … without a gap and each with its fact.
std::uint64_t changes_in(Store& store) {
  auto last = store.last_log_number(kLog);
  REQUIRE(last.has_value());
  for (std::uint64_t number = 1; number <= *last; ++number) {
    REQUIRE(read(store, log_key(number), kLog).has_value());
    REQUIRE(read(store, "k" + std::to_string(number)).has_value());
  }
  REQUIRE(!read(store, "k" + std::to_string(*last + 1)).has_value());
  return *last;
}

std::vector<fs::path> files_ending(const fs::path& directory, std::string_view ending) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(directory)) {
    if (entry.path().string().ends_with(ending)) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}
/// What a log holds, without the zeros ahead of it.
std::string read_log(const fs::path& path) {
  std::string bytes = read_file(path);
  bytes.resize(bytes.find_last_not_of('\0') + 1);
  return bytes;
}
void write_file(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

/// What a kill would leave: the files of a store that is open.
void copy_live(const fs::path& from, const fs::path& to) { fs::copy(from, to, fs::copy_options::recursive); }

/// For tests that provoke what would be logged.
struct QuietLog {
  QuietLog() { spdlog::set_level(spdlog::level::off); }
  ~QuietLog() { spdlog::set_level(spdlog::level::info); }
};

}  // namespace

TEST_CASE("rocksdb: what was written is there after closing and opening") {
  const bool flush = GENERATE(true, false);
  TempDirectory directory;
  for (std::uint64_t number = 1; number <= 5; ++number) {
    auto store = must_open(directory.path());
    CHECK(changes_in(*store) == number - 1);
    write_change(*store, number, "v");
    if (flush) REQUIRE(store->flush().has_value());
  }
  CHECK(changes_in(*must_open(directory.path())) == 5);
}

TEST_CASE("rocksdb: after an orderly stop the next opening replays nothing") {
  TempDirectory directory;
  {
    auto store = must_open(directory.path());
    for (std::uint64_t number = 1; number <= 50; ++number) write_change(*store, number, "v");
    REQUIRE(store->flush().has_value());
  }
  for (const fs::path& log : files_ending(directory.path(), ".log")) CHECK(fs::file_size(log) == 0);
  CHECK(changes_in(*must_open(directory.path())) == 50);
}

TEST_CASE("rocksdb: a store that is open cannot be opened again") {
  TempDirectory directory;
  auto store = must_open(directory.path());
  write_change(*store, 1, "v");
  auto second = open_store(directory.path());
  REQUIRE(second.failed_with(ErrorCode::unavailable));
  CHECK(second.error().message == "the data directory is in use by another process");
  write_change(*store, 2, "v");
  CHECK(changes_in(*store) == 2);
}

TEST_CASE("rocksdb: a newer schema adds families, an older one refuses them") {
  TempDirectory directory;
  write_change(*must_open(directory.path()), 1, "v");
  Schema newer = test_schema();
  newer.push_back({"addition", Access::scan});
  {
    auto store = open_rocksdb(newer, options_for(directory.path()));
    REQUIRE(store.has_value());
    const Write write{3, "k", "v"};
    REQUIRE((*store)->write({&write, 1}).has_value());
    CHECK(changes_in(**store) == 1);
  }
  auto older = open_store(directory.path());
  REQUIRE(older.failed_with(ErrorCode::unavailable));
  CHECK(older.error().message == "the index was written by a newer version of berth");
  CHECK(older.error().log_detail.find("addition") != std::string::npos);
}

TEST_CASE("rocksdb: a store that lost its CURRENT file is not taken for a new one") {
  TempDirectory directory;
  write_change(*must_open(directory.path()), 1, "v");
  const fs::path current = directory.path() / "CURRENT";
  const std::string bytes = read_file(current);
  fs::remove(current);
  CHECK(open_store(directory.path()).failed_with(ErrorCode::corrupt));
  write_file(current, bytes);
  CHECK(changes_in(*must_open(directory.path())) == 1);
}

TEST_CASE("rocksdb: a torn tail is dropped quietly, damage before it is an error") {
  const QuietLog quiet;
  // Five changes; the third and the fifth span several blocks of the log.
  TempDirectory live;
  std::vector<std::uint64_t> ends{0};
  TempDirectory image;
  const fs::path crashed = image.path() / "db";
  {
    auto store = must_open(live.path() / "db");
    const auto logs = files_ending(live.path() / "db", ".log");
    REQUIRE(logs.size() == 1);
    for (std::uint64_t number = 1; number <= 5; ++number) {
      write_change(*store, number, std::string(number % 2 == 1 && number > 1 ? 100'000 : 100, 'v'));
      ends.push_back(read_log(logs[0]).size());
    }
    copy_live(live.path() / "db", crashed);
  }
  const fs::path log = files_ending(crashed, ".log").at(0);
  const std::string whole = read_log(log);
  REQUIRE(whole.size() == ends[5]);
  const auto zero = [](std::string& bytes, std::uint64_t begin, std::uint64_t end) {
    std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(begin), bytes.begin() + static_cast<std::ptrdiff_t>(end), 0);
  };
  struct Row {
    const char* name;
    std::function<void(std::string&)> damage;
    int expected;  ///< changes that are there, or -1 for an error
  };
  const std::vector<Row> rows{
      {"nothing wrong", [](std::string&) {}, 5},
      {"the last byte is missing", [](std::string& b) { b.pop_back(); }, 4},
      {"half of the last record is missing", [&](std::string& b) { b.resize((ends[4] + ends[5]) / 2); }, 4},
      {"a few bytes of the last record's header", [&](std::string& b) { b.resize(ends[4] + 3); }, 4},
      {"cut between two records", [&](std::string& b) { b.resize(ends[4]); }, 4},
      {"zeros behind the last record", [](std::string& b) { b.append(100'000, '\0'); }, 5},
      {"noise behind the last record", [](std::string& b) { b.append(1000, '\x5a'); }, 5},
      {"the last record is zeros", [&](std::string& b) { zero(b, ends[4], ends[5]); }, 4},
      {"a page of the last record is zeros", [&](std::string& b) { zero(b, ends[4] + 40'000, ends[4] + 44'096); }, 4},
      {"a block of the last record is zeros", [&](std::string& b) { zero(b, 5 * 32768, 6 * 32768); }, 4},
      {"the beginning of the last record is zeros", [&](std::string& b) { zero(b, ends[4], ends[4] + 4096); }, 4},
      {"a bit of the last record is wrong", [&](std::string& b) { b[ends[4] + 50'000] ^= 1; }, 4},
      {"the last two are missing", [&](std::string& b) { b.resize(ends[3]); }, 3},
      {"a bit of the first record is wrong", [&](std::string& b) { b[ends[0] + 50] ^= 1; }, -1},
      {"a bit of the long record in the middle", [&](std::string& b) { b[ends[2] + 50'000] ^= 1; }, -1},
      {"a bit of the last but one", [&](std::string& b) { b[ends[3] + 50] ^= 1; }, -1},
      {"a page in the middle is zeros", [&](std::string& b) { zero(b, ends[2] + 40'000, ends[2] + 44'096); }, -1},
      {"a block in the middle is zeros", [&](std::string& b) { zero(b, 32768, 2 * 32768); }, -1},
      {"a whole record in the middle is zeros", [&](std::string& b) { zero(b, ends[2], ends[3]); }, -1},
      {"the first record is zeros", [&](std::string& b) { zero(b, 0, ends[1]); }, -1},
      {"the length of a record in the middle is wrong", [&](std::string& b) { b[ends[1] + 5] ^= 0x40; }, -1},
  };
  for (const Row& row : rows) {
    INFO(row.name);
    TempDirectory copy;
    const fs::path directory = copy.path() / "db";
    copy_live(crashed, directory);
    std::string bytes = whole;
    row.damage(bytes);
    write_file(files_ending(directory, ".log").at(0), bytes);
    auto store = open_store(directory);
    if (row.expected < 0) {
      CHECK(store.failed_with(ErrorCode::corrupt));
      continue;
    }
    if (!store) FAIL(store.error().log_detail);
    REQUIRE(changes_in(**store) == static_cast<std::uint64_t>(row.expected));
    // It goes on from there, and a second crash and opening find the same.
    write_change(**store, static_cast<std::uint64_t>(row.expected) + 1, "after");
    copy_live(directory, copy.path() / "again");
    CHECK(changes_in(*must_open(copy.path() / "again")) == static_cast<std::uint64_t>(row.expected) + 1);
  }
}

TEST_CASE("rocksdb: no record of options is written, and one of before does no harm") {
  TempDirectory directory;
  for (int opening = 0; opening < 2; ++opening) {
    auto store = must_open(directory.path());
    write_change(*store, static_cast<std::uint64_t>(opening) + 1, "v");
    for (const auto& entry : fs::directory_iterator(directory.path()))
      CHECK_FALSE(entry.path().filename().string().starts_with("OPTIONS"));
  }
  std::ofstream(directory.path() / "OPTIONS-000007")
      << "[Version]\n  rocksdb_version=0.0.1\n[DBOptions]\n  nonsense=1\n";
  CHECK(changes_in(*must_open(directory.path())) == 2);
}

TEST_CASE("rocksdb: a log that is open has zeros ahead of what is written, and none when it was closed") {
  TempDirectory directory;
  {
    auto store = must_open(directory.path());
    const fs::path log = files_ending(directory.path(), ".log").at(0);
    write_change(*store, 1, "v");
    const auto size = fs::file_size(log);
    CHECK(size > read_log(log).size() + 30'000);
    write_change(*store, 2, "v");
    CHECK(fs::file_size(log) == size);
    for (std::uint64_t number = 3; number <= 40; ++number) {
      write_change(*store, number, std::string(100'000, 'v'));
      CHECK(fs::file_size(log) >= read_log(log).size());
      CHECK(fs::file_size(log) <= read_log(log).size() + (64 << 10));
    }
  }
  for (const fs::path& log : files_ending(directory.path(), ".log")) {
    CHECK(fs::file_size(log) == read_log(log).size());
  }
  CHECK(changes_in(*must_open(directory.path())) == 40);
}

TEST_CASE("rocksdb: damage in an older log is an error when a newer one holds changes") {
  TempDirectory live;
  const fs::path first = live.path() / "first";
  const fs::path second = live.path() / "second";
  {
    auto store = must_open(live.path() / "db");
    write_change(*store, 1, "v");
    write_change(*store, 2, "v");
    copy_live(live.path() / "db", first);
  }
  {
    auto store = must_open(first);  // replays its log and begins another
    write_change(*store, 3, "v");
    copy_live(first, second);
  }
  const auto logs = files_ending(second, ".log");
  REQUIRE(logs.size() == 2);
  std::string bytes = read_log(logs[0]);
  bytes.pop_back();
  write_file(logs[0], bytes);
  CHECK(open_store(second).failed_with(ErrorCode::corrupt));
}

TEST_CASE("rocksdb: a gap in the numbers of a log is found when opening") {
  struct Row {
    const char* name;
    std::vector<std::uint64_t> numbers;
    bool opens;
  };
  const std::vector<Row> rows{{"none", {1, 2, 3}, true},
                              {"old entries dropped from the front", {7, 8, 9}, true},
                              {"one is missing near the end", {1, 2, 4}, false},
                              {"one is missing near the front", {1, 3, 4, 5, 6}, false},
                              {"a number that is never given", {0, 1}, false}};
  for (const Row& row : rows) {
    INFO(row.name);
    TempDirectory directory;
    {
      auto store = must_open(directory.path());
      for (const std::uint64_t number : row.numbers) {
        const Write write{kLog, log_key(number), "change"};
        REQUIRE(store->write({&write, 1}).has_value());
      }
      REQUIRE(store->flush().has_value());
    }
    auto opened = open_store(directory.path());
    if (row.opens) {
      CHECK(opened.has_value());
    } else {
      CHECK(opened.failed_with(ErrorCode::corrupt));
    }
  }
}

TEST_CASE("rocksdb: a read that would wait for the disk says so, and answers once it is warm") {
  TempDirectory directory;
  const std::vector<std::string> keys{"k1", "k700", "absent"};
  {
    auto store = must_open(directory.path());
    std::vector<Write> writes;
    for (int i = 0; i < 2000; ++i) {
      writes.push_back({kFacts, "k" + std::to_string(i), std::string(50, 'v')});
      writes.push_back({kLarge, "k" + std::to_string(i), std::string(500, 'v')});
    }
    REQUIRE(store->write(writes).has_value());
    REQUIRE(store->flush().has_value());
  }
  // Releasing a view makes RocksDB rewrite new files once, which warms the caches: let it come to rest.
  for (int round = 0; round < 3; ++round) {
    const auto store = must_open(directory.path());
    REQUIRE(store->view().has_value());
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  for (const Family family : {kFacts, kLarge}) {
    auto store = must_open(directory.path());
    auto view = store->view();
    REQUIRE(view.has_value());
    const Reader& cache_only = (*view)->reader(Tier::cache_only);
    const Reader& any = (*view)->reader(Tier::any);
    CHECK(cache_only.multi_get(family, keys).failed_with(ErrorCode::would_block));
    CHECK(cache_only.get(family, "k700").failed_with(ErrorCode::would_block));
    // A scan may say so at once or when it gets there, but must not just end.
    for (const Direction direction : {Direction::forward, Direction::backward}) {
      auto cursor = cache_only.scan(family, {}, direction);
      if (cursor.has_value()) {
        while ((*cursor)->valid()) (*cursor)->next();
        CHECK((*cursor)->status().failed_with(ErrorCode::would_block));
      } else {
        CHECK(cursor.failed_with(ErrorCode::would_block));
      }
    }
    for (const std::string& key : keys) {
      INFO(key);
      auto before = cache_only.get(family, key);
      auto truth = any.get(family, key);
      REQUIRE(truth.has_value());
      CHECK(truth->has_value() == (key != "absent"));
      // Never a false "absent": the truth, or that it would have to wait.
      if (before.has_value()) CHECK(*before == *truth);
      if (!before.has_value()) CHECK(before.failed_with(ErrorCode::would_block));
      auto after = cache_only.get(family, key);
      REQUIRE(after.has_value());
      CHECK(*after == *truth);
    }
    CHECK(cache_only.multi_get(family, keys).has_value());
  }
}

TEST_CASE("rocksdb: what is in a file that is not open is never taken for absent or empty") {
  TempDirectory directory;
  auto options = options_for(directory.path());
  options.open_files_max = 20;  // RocksDB keeps half of them for other uses, and opens the rest as they are read
  constexpr std::uint64_t kFiles = 60;
  {
    auto store = open_rocksdb(test_schema(), options);
    REQUIRE(store.has_value());
    for (std::uint64_t number = 1; number <= kFiles; ++number) {
      write_change(**store, number, number % 2 == 0 ? "" : "v");
      REQUIRE((*store)->flush().has_value());
    }
  }
  auto store = open_rocksdb(test_schema(), options);
  REQUIRE(store.has_value());
  auto view = (*store)->view();
  REQUIRE(view.has_value());
  const Reader& cache_only = (*view)->reader(Tier::cache_only);
  const Reader& any = (*view)->reader(Tier::any);
  for (std::uint64_t number = 1; number <= kFiles; ++number) {
    INFO(number);
    const std::vector<std::string> key{"k" + std::to_string(number)};
    const std::string expected = number % 2 == 0 ? "" : "v";
    for (const bool warmed : {false, true}) {
      auto found = cache_only.get(kFacts, key[0]);
      if (found.has_value()) CHECK(*found == expected);
      if (!found.has_value()) CHECK(found.failed_with(ErrorCode::would_block));
      auto many = cache_only.multi_get(kFacts, key);
      if (many.has_value()) CHECK((*many)[0] == expected);
      if (!many.has_value()) CHECK(many.failed_with(ErrorCode::would_block));
      auto range = prefix_range(key[0]);
      range.end = key[0] + '\0';
      auto cursor = cache_only.scan(kFacts, range);
      if (cursor.has_value()) {
        if ((*cursor)->valid()) CHECK((*cursor)->key() == key[0]);
        if (!(*cursor)->valid()) CHECK((*cursor)->status().failed_with(ErrorCode::would_block));
      } else {
        CHECK(cursor.failed_with(ErrorCode::would_block));
      }
      if (warmed) break;
      auto truth = any.get(kFacts, key[0]);
      REQUIRE(truth.has_value());
      CHECK(*truth == expected);
      auto all = any.multi_get(kFacts, key);
      REQUIRE(all.has_value());
      CHECK((*all)[0] == expected);
    }
  }
}

TEST_CASE("rocksdb: a full disk is told apart and reported") {
  const QuietLog quiet;
  TempDirectory directory;
  must_open(directory.path());
  test::FaultyEnv full(test::DiskFault::disk_full, 1);
  auto options = options_for(directory.path());
  options.env = full.env();
  CHECK(open_rocksdb(test_schema(), options).failed_with(ErrorCode::storage_full));
}

}  // namespace berth::kv
