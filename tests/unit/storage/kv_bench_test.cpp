// Figures to look at, not to assert: `unit_storage [.bench]`, in a release build, on the disk of BERTH_BENCH_DIRECTORY.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "storage/kv/committer.h"
#include "tests/unit/storage/kv_engines.h"

namespace berth::kv {
namespace {

/// Like a small push: a few records, a counter, a log entry.
struct Change {
  using Outcome = bool;
  std::string key;
  Result<bool> apply(Transaction& transaction) const {
    BERTH_TRY(const auto before, transaction.get(0, key));
    transaction.put(0, key, std::string(60, 'v'));
    transaction.put(1, key + "/tag", std::string(80, 'v'));
    transaction.put(2, key, std::string(1000, 'v'));
    BERTH_CHECK(transaction.add(3, "usage", 1000));
    transaction.append(4, std::string(200, 'v'));
    return before.has_value();
  }
};

Schema bench_schema() {
  Schema schema{{"point", Access::point}, {"scan", Access::scan}, {"large", Access::large},
                {"usage", Access::point}, {"log", Access::log},   {"due", Access::queue}};
  while (schema.size() < 12) schema.push_back({"family" + std::to_string(schema.size()), Access::scan});
  return schema;
}

/// Resident KiB of this process.
long resident_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::strtol(line.c_str() + 6, nullptr, 10);
  }
  return 0;
}

}  // namespace

TEST_CASE("bench: memory of a process that opened an empty store", "[.bench]") {
  TempDirectory directory;
  const long before = resident_kib();
  RocksDbOptions options;
  options.directory = directory.path() / "db";
  auto store = open_rocksdb(bench_schema(), options);
  REQUIRE(store.has_value());
  std::printf("resident: %ld KiB before, %ld KiB with an empty store of %zu families\n", before, resident_kib(),
              bench_schema().size());
}

TEST_CASE("bench: commits a second", "[.bench]") {
  const char* place = std::getenv("BERTH_BENCH_DIRECTORY");
  for (const int submitters : {1, 8, 32}) {
    TempDirectory directory;
    RocksDbOptions options;
    options.directory = (place != nullptr ? std::filesystem::path(place) : directory.path()) / "berth-kv-bench";
    auto store = open_rocksdb(bench_schema(), options);
    REQUIRE(store.has_value());
    {
      Pool pool("disk", 2);
      Committer committer(**store, pool, {}, {}, {});
      REQUIRE(committer.start().has_value());
      const auto started = std::chrono::steady_clock::now();
      const auto until = started + std::chrono::seconds(2);
      std::atomic<int> committed{0};
      std::vector<std::thread> threads;
      for (int thread = 0; thread < submitters; ++thread) {
        threads.emplace_back([&, thread] {
          for (int i = 0; std::chrono::steady_clock::now() < until; ++i) {
            if (committer.run(Change{std::to_string(thread) + "/" + std::to_string(i)}).has_value()) ++committed;
          }
        });
      }
      for (std::thread& thread : threads) thread.join();
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started;
      std::printf("%2d submitters: %.0f commits/s, %llu writes of the log\n", submitters, committed / took.count(),
                  static_cast<unsigned long long>(committer.view()->version()));
    }
    std::printf("resident afterwards: %ld KiB\n", resident_kib());
    store->reset();
    std::error_code ignored;
    std::filesystem::remove_all(options.directory, ignored);
  }
}

TEST_CASE("bench: opening after a kill, with a full log to look through and to replay", "[.bench]") {
  TempDirectory directory;
  RocksDbOptions options;
  options.directory = directory.path() / "db";
  options.write_buffer_bytes = 64 << 20;
  auto store = open_rocksdb(bench_schema(), options);
  REQUIRE(store.has_value());
  for (int i = 0; i < 60'000; ++i) {
    const Write write{2, std::to_string(i), std::string(1000, 'v')};
    REQUIRE((*store)->write({&write, 1}).has_value());
  }
  options.directory = directory.path() / "killed";
  std::filesystem::copy(directory.path() / "db", options.directory);
  const auto started = std::chrono::steady_clock::now();
  auto again = open_rocksdb(bench_schema(), options);
  REQUIRE(again.has_value());
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started;
  std::printf("opened after a kill with a log of 60 MB in %.2f s\n", took.count());
}

TEST_CASE("bench: the memory engine and the overlay", "[.bench]") {
  auto store = make_memory_store(bench_schema());
  Pool pool("disk", 1);
  CommitterCore core(*store, {});
  REQUIRE(core.open().has_value());
  struct Pending final : PendingCommand {
    Change change;
    Result<void> apply(Transaction& transaction) override {
      BERTH_CHECK(change.apply(transaction));
      return {};
    }
    void complete(Result<void> outcome) override { ignore(outcome); }
  };
  constexpr int kCommits = 100'000;
  const auto started = std::chrono::steady_clock::now();
  for (int i = 0; i < kCommits; ++i) {
    auto pending = std::make_unique<Pending>();
    pending->change.key = std::to_string(i % 5000);
    Commands commands;
    commands.push_back(std::move(pending));
    Commands cold;
    REQUIRE(core.apply(std::move(commands), cold).has_value());
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started;
  std::printf("memory engine: %d commits, each with its view, in %.2f s\n", kCommits, took.count());
}

}  // namespace berth::kv
