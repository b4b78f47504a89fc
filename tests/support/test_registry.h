// A registry for tests: over memory, or over RocksDB and files in a folder of its own.
#pragma once

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "base/task.h"
#include "oci/digest.h"
#include "oci/name.h"
#include "registry/identities/signal.h"
#include "registry/local_registry.h"
#include "registry/registry.h"
#include "storage/ballast.h"
#include "storage/blobs/blob_store.h"
#include "storage/kv/committer.h"
#include "tests/support/manual_clock.h"
#include "tests/support/seeded_entropy.h"

namespace berth::test {

/// Removed with all it holds when the test ends.
class TemporaryFolder {
 public:
  TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder();
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

enum class Engines { memory, files };

struct TestRegistryOptions {
  Engines engines = Engines::memory;
  /// Where the data lies; empty: a folder of its own. (The ballast is a file even over memory.)
  std::filesystem::path directory = {};
  /// The collector's thread stays quiet for an hour unless this says otherwise: tests call collect_now().
  registry::RegistryOptions registry = quiet();
  /// Puts something over the blob store: faults, counters.
  std::function<std::unique_ptr<storage::BlobStore>(std::unique_ptr<storage::BlobStore>)> wrap_blobs = {};
  std::size_t disk_threads = 4;
  std::uint64_t seed = 1;

  static registry::RegistryOptions quiet() {
    registry::RegistryOptions options;
    options.collector_interval = std::chrono::hours(1);
    return options;
  }
};

class TestRegistry {
 public:
  explicit TestRegistry(TestRegistryOptions options = {});
  TestRegistry(const TestRegistry&) = delete;
  TestRegistry& operator=(const TestRegistry&) = delete;
  ~TestRegistry();

  registry::Registry& operator*() { return *registry_; }
  registry::Registry* operator->() { return registry_.get(); }
  registry::LocalRegistry& local() { return *registry_; }
  ManualClock& clock() { return clock_; }
  SeededEntropy& entropy() { return entropy_; }
  registry::BufferPool& buffers() { return *buffers_; }
  storage::BlobStore& blobs() { return *blobs_; }
  storage::Ballast& ballast() { return *ballast_; }
  kv::Committer& committer() { return *committer_; }
  registry::AnswerCache& cache() { return *cache_; }
  Pool& disk_pool() { return *disk_pool_; }
  /// For identities over the same index.
  std::shared_ptr<registry::IdentitySignal> identity_signal() { return identity_signal_; }
  const std::filesystem::path& directory() const { return directory_; }

  /// Ends the process and starts it again on the same data: orderly, or as after kill -9.
  enum class End { orderly, killed };
  void reopen(End end = End::orderly, std::chrono::milliseconds down_for = {});

  /// Runs a Task to its end on this thread, and whatever other coroutines of io() need to run meanwhile.
  template <class T>
  Result<T> run(Task<T> task);
  asio::io_context& io() { return io_; }

  // ---- what most tests need; each fails the test when the registry refuses ----
  static oci::RepositoryName name(std::string_view text);
  static oci::Tag tag(std::string_view text);
  static registry::Actor actor(registry::ActorId id = registry::kAnonymousActor) { return {id, "test-request"}; }
  registry::Buffer buffer(std::string_view content);

  /// Appends all of it in buffers of the pool's size.
  Result<void> append(registry::Upload& upload, std::string_view content);
  /// Opens a session / takes hold of one.
  Result<std::unique_ptr<registry::Upload>> start_upload(std::string_view repository,
                                                         oci::Algorithm algorithm = oci::Algorithm::sha256,
                                                         bool single_request = false);
  Result<std::unique_ptr<registry::Upload>> claim_upload(std::string_view repository, const std::string& id);
  /// As POST with the whole body.
  Result<void> push_blob(std::string_view repository, const std::string& content,
                         oci::Algorithm algorithm = oci::Algorithm::sha256);
  /// An image manifest of the given blobs, the first as its config. Gives the body.
  static std::string image_manifest(const std::vector<std::string>& contents, std::string_view annotation = {});
  /// Pushes the blobs and the manifest; `reference` is a tag, or empty for a push by digest.
  Result<registry::PutManifestDone> push_image(std::string_view repository, std::string_view reference,
                                               const std::vector<std::string>& contents,
                                               std::string_view annotation = {});
  Result<registry::PutManifestDone> put_manifest(std::string_view repository, std::string_view reference,
                                                 std::string body);
  /// The bytes as a client reads them.
  Result<std::string> pull_blob(std::string_view repository, const oci::Digest& digest);
  Result<std::string> pull_manifest(std::string_view repository, std::string_view reference);
  void collect_now() { registry_->collect_now(); }

 private:
  void open();
  void close(End end);
  std::unique_ptr<storage::BlobStore> wrap(std::unique_ptr<storage::BlobStore> blobs) const;

  TestRegistryOptions options_;
  std::optional<TemporaryFolder> folder_;
  std::filesystem::path directory_;
  ManualClock clock_;
  SeededEntropy entropy_;
  asio::io_context io_;
  std::unique_ptr<kv::Store> store_;
  std::unique_ptr<storage::BlobStore> blobs_;
  std::unique_ptr<registry::BufferPool> buffers_;
  std::unique_ptr<Pool> disk_pool_;
  std::unique_ptr<Pool> cpu_pool_;
  std::unique_ptr<storage::Ballast> ballast_;
  std::shared_ptr<registry::AnswerCache> cache_;
  std::shared_ptr<registry::IdentitySignal> identity_signal_ = registry::make_identity_signal();
  std::unique_ptr<kv::Committer> committer_;
  std::unique_ptr<registry::LocalRegistry> registry_;
};

template <class T>
Result<T> TestRegistry::run(Task<T> task) {
  std::optional<Result<T>> outcome;
  auto done = [&outcome](std::exception_ptr failure, Result<T> result) {
    if (failure) std::rethrow_exception(failure);
    outcome = std::move(result);
  };
  asio::co_spawn(io_, std::move(task), std::move(done));
  io_.restart();
  while (!outcome) {
    if (io_.run_one() == 0) throw std::logic_error("nothing is left to run, and the task has not ended");
  }
  return *std::move(outcome);
}

/// Appends a copy of `content` in buffers of the pool's size.
Task<void> append_all(registry::BufferPool& buffers, registry::Upload& upload, std::string content);
/// As POST with the whole body. What it refers to outlives it.
Task<void> push_blob(registry::Registry& registry, registry::BufferPool& buffers, registry::Actor actor,
                     oci::RepositoryName name, std::string content, oci::Digest digest);
/// The bytes of an answer, from memory or from the file.
Result<std::string> read_content(const registry::BlobContent& content);

}  // namespace berth::test
