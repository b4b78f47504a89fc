// A file system beneath RocksDB whose N-th operation goes wrong, so that a test can go through N = 1, 2, 3… until its
// script runs to the end untouched.
#pragma once

#include <cstdint>
#include <memory>

namespace rocksdb {
class Env;
}

namespace berth::test {

enum class DiskFault : std::uint8_t {
  none,
  io_error_once,  ///< the operation fails, later ones work
  disk_full,      ///< from there on everything that takes space fails; reads, syncs and deletes work
  /// The process ends there (_exit(kPowerCutExit)), and of what was not synced a random part is gone: the ends of
  /// files, pages in between (zeros), names that their directory was not synced for. Only for a process made for it.
  power_cut,
};

inline constexpr int kPowerCutExit = 77;

/// Pass env() to the store; it must outlive it. Thread-safe. Counted are all operations on files and directories, but
/// for closing, renewing locks, and hints.
class FaultyEnv {
 public:
  /// `at_operation` counts from 1. The seed decides what a power cut leaves.
  FaultyEnv(DiskFault fault, std::uint64_t at_operation, std::uint64_t seed = 1);
  ~FaultyEnv();
  FaultyEnv(const FaultyEnv&) = delete;
  rocksdb::Env* env();
  std::uint64_t operations() const;
  /// Nothing fails from here on, and nothing is counted.
  void heal();

 private:
  class Disk;
  class Files;
  std::shared_ptr<Disk> disk_;
  std::unique_ptr<rocksdb::Env> env_;
};

}  // namespace berth::test
