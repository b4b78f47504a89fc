// A whole registry over storage of the test's choice, driven from one thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "base/task.h"
#include "registry/registry.h"
#include "storage/ballast.h"
#include "storage/blobs/blob_store.h"
#include "storage/kv/committer.h"
#include "storage/kv/kv.h"
#include "tests/support/manual_clock.h"
#include "tests/support/seeded_entropy.h"

namespace berth::faults {

struct WorldParts {
  kv::Store& store;
  storage::FileSystem& files;
  std::string directory;       ///< of the blobs and the ballast
  test::ManualClock& clock;    ///< goes on through restarts
  std::uint64_t seed = 1;      ///< another one at each start, or upload ids repeat
  std::uint64_t inline_bytes_max = 4 << 10;
  bool whole_ballast = false;  ///< the size it has in service, instead of one that costs nothing to make
  std::function<void(const Error&)> on_fatal = {};  ///< the index could not be written; empty: abort
};

/// From open() to destruction is one run of the process. What is not in `parts` is forgotten with it.
class World {
 public:
  static constexpr std::chrono::hours kGrace{1};

  static Result<std::unique_ptr<World>> open(WorldParts parts);
  ~World();
  World(const World&) = delete;

  registry::Registry& registry() { return *registry_; }
  registry::BufferPool& buffers() { return buffers_; }
  storage::BlobStore& blobs() { return *blobs_; }
  storage::Ballast& ballast() { return ballast_; }
  std::shared_ptr<const kv::View> view() const { return committer_.view(); }

  /// Runs a task to its end on this thread. Aborts after half a minute: every wait ends.
  template <class T>
  Result<T> wait(Task<T> task);

  /// Lets every grace pass and waits up to `patience` until the collector has nothing left to do and no session is left.
  /// True when it came to that.
  bool collect(std::chrono::milliseconds patience);

 private:
  explicit World(const WorldParts& parts);
  Result<void> start();
  bool idle() const;

  WorldParts parts_;
  test::SeededEntropy entropy_;
  asio::io_context io_;
  Pool disk_pool_;
  Pool cpu_pool_;
  registry::BufferPool buffers_;
  std::shared_ptr<registry::AnswerCache> cache_;
  storage::Ballast ballast_;
  std::unique_ptr<storage::BlobStore> blobs_;
  kv::Committer committer_;
  std::unique_ptr<registry::Registry> registry_;
};

/// For what must never happen, whatever fails below. A child of a test ends with kDeadExit.
[[noreturn]] void die(std::string_view why);
inline constexpr int kDeadExit = 79;
inline constexpr const char* kChildVariable = "BERTH_FAULTS_CHILD";

template <class T>
Result<T> World::wait(Task<T> task) {
  std::optional<Result<T>> answer;
  auto done = [&answer](std::exception_ptr thrown, Result<T> result) {
    if (thrown) die("a task ended with an exception");
    answer.emplace(std::move(result));
  };
  asio::co_spawn(io_, std::move(task), std::move(done));
  io_.restart();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!answer) {
    if (io_.run_one_until(deadline) == 0 && std::chrono::steady_clock::now() >= deadline) die("a task never ended");
    if (io_.stopped()) io_.restart();
  }
  return *std::move(answer);
}

}  // namespace berth::faults
