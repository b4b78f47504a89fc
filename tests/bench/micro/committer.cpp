// Changes a second through the committer, by engine and by how many wait at a time. The directory is on the disk of
// TMPDIR: each batch is one sync.
#include "storage/kv/committer.h"

#include <benchmark/benchmark.h>
#include <stdlib.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>

#include "base/task.h"
#include "storage/kv/memory_kv.h"
#include "storage/kv/rocksdb_kv.h"

namespace {

using namespace berth;

/// Like a small push: a few records, a counter, a log entry.
struct Change {
  using Outcome = bool;
  std::string key;
  Result<bool> apply(kv::Transaction& transaction) const {
    BERTH_TRY(const auto before, transaction.get(0, key));
    transaction.put(0, key, std::string(60, 'v'));
    transaction.put(1, key + "/tag", std::string(80, 'v'));
    transaction.put(2, key, std::string(1000, 'v'));
    BERTH_CHECK(transaction.add(3, "usage", 1000));
    transaction.append(4, std::string(200, 'v'));
    return before.has_value();
  }
};

kv::Schema schema() {
  return {{"point", kv::Access::point},
          {"scan", kv::Access::scan},
          {"large", kv::Access::large},
          {"usage", kv::Access::point},
          {"log", kv::Access::log}};
}

enum class Engine { memory, rocksdb };

/// A store with its committer, gone with its directory.
class World {
 public:
  explicit World(Engine engine) {
    std::string path = (std::filesystem::temp_directory_path() / "berth-micro-XXXXXX").string();
    if (mkdtemp(path.data()) == nullptr) return;
    directory_ = path;
    kv::RocksDbOptions options;
    options.directory = directory_ / "index";
    if (engine == Engine::memory) {
      store_ = kv::make_memory_store(schema());
    } else if (auto opened = kv::open_rocksdb(schema(), options); opened.has_value()) {
      store_ = *std::move(opened);
    } else {
      return;
    }
    committer = std::make_unique<kv::Committer>(
        *store_, pool_, kv::CommitterOptions{}, [](std::span<const std::string>, std::uint64_t) {},
        [](const Error&) {});
    if (!committer->start().has_value()) committer.reset();
  }
  ~World() {
    committer.reset();
    pool_.stop();
    kv::ViewSource::release_thread_cache();
    store_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }
  World(const World&) = delete;

 private:
  std::filesystem::path directory_;
  std::unique_ptr<kv::Store> store_;
  Pool pool_{"disk", 1};

 public:
  std::unique_ptr<kv::Committer> committer;
};

std::unique_ptr<World> world;  // of the benchmark that runs

template <Engine kEngine>
void set_up(const benchmark::State&) {
  world = std::make_unique<World>(kEngine);
}
void tear_down(const benchmark::State&) { world.reset(); }

void changes(benchmark::State& state, Engine) {
  static std::atomic<std::uint64_t> next{0};
  if (!world->committer) return state.SkipWithError("no store");
  for (auto _ : state) {
    if (!world->committer->run(Change{"key" + std::to_string(next++)}).has_value())
      return state.SkipWithError("refused");
  }
  state.SetItemsProcessed(state.iterations());
}

BENCHMARK_CAPTURE(changes, memory, Engine::memory)
    ->Setup(set_up<Engine::memory>)
    ->Teardown(tear_down)
    ->UseRealTime()
    ->Threads(1)
    ->Threads(32);
BENCHMARK_CAPTURE(changes, rocksdb, Engine::rocksdb)
    ->Setup(set_up<Engine::rocksdb>)
    ->Teardown(tear_down)
    ->UseRealTime()
    ->Threads(1)
    ->Threads(8)
    ->Threads(32);

}  // namespace
