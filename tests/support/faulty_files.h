// File systems that fail on purpose: one fails the Nth call, one forgets what was never synced, one is small.
#pragma once

#include <cerrno>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "storage/file_system.h"

namespace berth::test {

/// Passes every call on to another file system: what the others here are made of.
class FilesOver : public storage::FileSystem {
 public:
  explicit FilesOver(storage::FileSystem& base) : base_(base) {}
  Result<storage::Fd> open(const std::string& path, storage::OpenMode mode) override;
  Result<void> write_at(int fd, Bytes bytes, std::uint64_t offset) override;
  /// These two are open() and write_at() to what is made of this, so that direct writes fail, and are lost, as others.
  Result<std::optional<storage::Fd>> open_direct(const std::string& path) override;
  Result<bool> write_direct(int fd, Bytes bytes, std::uint64_t offset) override;
  Result<std::size_t> read_at(int fd, std::span<std::byte> out, std::uint64_t offset) override;
  Result<void> truncate(int fd, std::uint64_t size) override;
  Result<void> allocate(int fd, std::uint64_t size) override;
  void start_writeback(int fd, std::uint64_t offset, std::uint64_t size) override;
  Result<void> sync_data(int fd) override;
  Result<void> sync_directory(const std::string& path) override;
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<void> remove(const std::string& path) override;
  Result<void> make_directory(const std::string& path) override;
  Result<bool> exists(const std::string& path) override;
  Result<std::uint64_t> file_size(int fd) override;
  Result<std::vector<std::string>> list(const std::string& directory) override;
  Result<storage::SpaceInfo> space(const std::string& path) override;

 protected:
  storage::FileSystem& base_;
};

/// The calls of storage::FileSystem that can fail. start_writeback() is a hint and cannot.
enum class FileCall : std::uint8_t {
  open, create, write, read, truncate, allocate, sync_data, sync_directory, rename, remove, make_directory, exists,
  file_size, list, space,
};
std::string_view to_string(FileCall call);

/// What happens at the Nth of the calls that count.
struct FileFault {
  enum class Effect : std::uint8_t {
    none,   ///< the call did nothing
    part,   ///< a write wrote its first half; other calls did nothing
    whole,  ///< the call did all it should and said that it failed
  };
  std::uint64_t nth = 1;          ///< from 1
  bool sticky = false;            ///< and at every call that counts from then on
  int error_number = EIO;
  Effect effect = Effect::none;
  std::set<FileCall> calls = {};  ///< those that count; empty = all
};

/// Passes every call on and fails the one it was told to. Thread-safe.
class FaultyFiles final : public FilesOver {
 public:
  using FilesOver::FilesOver;

  /// Counting starts anew.
  void arm(FileFault fault);
  void disarm();
  /// Has a call failed since arm()?
  bool fired() const;
  /// The call that failed first, for messages.
  FileCall fired_at() const;

  Result<storage::Fd> open(const std::string& path, storage::OpenMode mode) override;
  Result<void> write_at(int fd, Bytes bytes, std::uint64_t offset) override;
  Result<std::size_t> read_at(int fd, std::span<std::byte> out, std::uint64_t offset) override;
  Result<void> truncate(int fd, std::uint64_t size) override;
  Result<void> allocate(int fd, std::uint64_t size) override;
  Result<void> sync_data(int fd) override;
  Result<void> sync_directory(const std::string& path) override;
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<void> remove(const std::string& path) override;
  Result<void> make_directory(const std::string& path) override;
  Result<bool> exists(const std::string& path) override;
  Result<std::uint64_t> file_size(int fd) override;
  Result<std::vector<std::string>> list(const std::string& directory) override;
  Result<storage::SpaceInfo> space(const std::string& path) override;

 private:
  /// Counts; how this call is to fail, if it is.
  std::optional<FileFault> fails(FileCall call);
  template <class T, class Pass>
  Result<T> pass(FileCall call, Pass pass_on);

  mutable std::mutex mutex_;
  bool armed_ = false;
  FileFault fault_;
  std::uint64_t count_ = 0;
  bool fired_ = false;
  FileCall fired_at_ = FileCall::open;
};

/// A disk that loses power. Calls go to the real directory `root` (and nowhere else); crash() rolls it back to what was
/// synced: a file's bytes as of its last sync_data, names as of the last sync of a folder they are in. A rename is one
/// step, as in a journal. Thread-safe, but crash() wants everything closed.
class ForgetfulFiles final : public FilesOver {
 public:
  enum class Names : std::uint8_t {
    lost,  ///< changes of names that were not synced are undone
    kept,  ///< they happen to have reached the disk; bytes that were not synced are lost all the same
  };

  /// What lies in `root` already counts as synced.
  ForgetfulFiles(storage::FileSystem& base, std::string root);
  ~ForgetfulFiles() override;
  void crash(Names unsynced_names);

  Result<storage::Fd> open(const std::string& path, storage::OpenMode mode) override;
  Result<void> sync_data(int fd) override;
  Result<void> sync_directory(const std::string& path) override;
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<void> remove(const std::string& path) override;
  Result<void> make_directory(const std::string& path) override;

 private:
  struct Node;
  struct Change;
  struct State;

  const std::string root_;
  std::unique_ptr<State> state_;
};

/// A disk of a given size, in arithmetic only: allocate() takes from it, remove() gives back, and `others_bytes` is what
/// everybody else put on it. Files keep their size without their blocks. For one thread.
class SmallDisk final : public FilesOver {
 public:
  SmallDisk(storage::FileSystem& base, std::uint64_t size_bytes) : FilesOver(base), size_bytes(size_bytes) {}

  std::uint64_t size_bytes;
  std::uint64_t others_bytes = 0;
  std::uint64_t free_inodes = 100'000;
  std::uint64_t quota_bytes = ~std::uint64_t{0};  ///< space() knows nothing of it

  std::uint64_t allocated_bytes() const;
  std::uint64_t free_bytes() const;

  Result<storage::Fd> open(const std::string& path, storage::OpenMode mode) override;
  Result<void> allocate(int fd, std::uint64_t size) override;
  Result<void> remove(const std::string& path) override;
  Result<storage::SpaceInfo> space(const std::string& path) override;

 private:
  std::map<int, std::string> opened_;
  std::map<std::string, std::uint64_t> allocated_;
};

/// A folder of its own, removed with all it holds.
class TemporaryDirectory {
 public:
  enum class Kind : std::uint8_t {
    disk,    ///< under the temporary directory
    memory,  ///< in /dev/shm where there is one: for thousands of syncs that prove nothing
  };
  explicit TemporaryDirectory(Kind kind = Kind::disk);
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace berth::test
