#include "tests/support/faulty_env.h"

#include <fcntl.h>
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace berth::test {

using rocksdb::FileOptions;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

/// Counts, decides, and remembers what a power cut may take.
class FaultyEnv::Disk {
 public:
  Disk(DiskFault fault, std::uint64_t at_operation, std::uint64_t seed)
      : fault_(fault), at_operation_(at_operation), random_(seed) {}

  /// Does `action` or fails in its place. Everything under one lock: what a power cut leaves is a state that was.
  template <class Action>
  IOStatus operate(bool takes_space, Action action) {
    const std::lock_guard lock(mutex_);
    if (healed_) return action();
    const std::uint64_t number = ++operations_;
    if (fault_ == DiskFault::io_error_once && number == at_operation_) return IOStatus::IOError("injected");
    if (fault_ == DiskFault::disk_full && number >= at_operation_ && takes_space) {
      return IOStatus::NoSpace("injected");
    }
    if (fault_ == DiskFault::power_cut && number == at_operation_) cut_power();
    return action();
  }

  void created(const std::string& path) {
    files_[path] = {};
    changes_.push_back({path, {}, std::nullopt});
  }
  void opened(const std::string& path) {
    if (!files_.contains(path)) {
      const auto size = std::filesystem::file_size(path);
      files_[path] = {size, size};
    }
  }
  void appended(const std::string& path, std::size_t bytes) { files_[path].size += bytes; }
  /// Before bytes are written at `offset`: what they replace comes back if they are lost.
  void writing(const std::string& path, std::uint64_t offset, std::size_t bytes) {
    File& file = files_[path];
    if (offset >= file.size) return;
    std::string old(std::min<std::uint64_t>(bytes, file.size - offset), '\0');
    std::ifstream stream(path, std::ios::binary);
    stream.seekg(static_cast<std::streamoff>(offset)).read(old.data(), static_cast<std::streamsize>(old.size()));
    file.replaced.push_back({offset, std::move(old)});
  }
  void written(const std::string& path, std::uint64_t end) { files_[path].size = std::max(files_[path].size, end); }
  void resized(const std::string& path, std::uint64_t size) {
    if (const auto found = files_.find(path); found != files_.end()) {
      found->second.size = size;
      found->second.synced = std::min(found->second.synced, size);
    }
  }
  void synced(const std::string& path) {
    files_[path].synced = files_[path].size;
    files_[path].replaced.clear();
  }
  void directory_synced(const std::string& directory) {
    std::erase_if(changes_, [&](const Change& change) {
      return std::filesystem::path(change.path).parent_path() == std::filesystem::path(directory);
    });
  }
  void deleted(const std::string& path) {
    files_.erase(path);
    std::erase_if(changes_, [&](const Change& change) { return change.path == path; });
  }
  void renaming(const std::string& from, const std::string& to) {
    std::optional<std::string> replaced;
    if (std::ifstream old(to, std::ios::binary); old)
      replaced.emplace(std::istreambuf_iterator<char>(old), std::istreambuf_iterator<char>());
    changes_.push_back({to, from, std::move(replaced)});
    if (auto moved = files_.extract(from)) {
      moved.key() = to;
      files_.erase(to);
      files_.insert(std::move(moved));
    }
  }

  std::uint64_t operations() const {
    const std::lock_guard lock(mutex_);
    return operations_;
  }
  void heal() {
    const std::lock_guard lock(mutex_);
    healed_ = true;
  }

 private:
  struct Replaced {
    std::uint64_t offset = 0;
    std::string old;
  };
  struct File {
    std::uint64_t size = 0;
    std::uint64_t synced = 0;
    std::vector<Replaced> replaced = {};  ///< since the last sync, in order
  };
  struct Change {
    std::string path;
    std::string renamed_from;             ///< empty: the file is new
    std::optional<std::string> replaced;  ///< what stood there before the rename
  };

  /// Of what is left behind the last sync any page may not have been written.
  void lose_tail(int fd, std::uint64_t synced, std::uint64_t left) {
    for (std::uint64_t page = synced / kPageBytes * kPageBytes; page < left; page += kPageBytes) {
      if (random_() % 3 != 0) continue;
      const std::uint64_t begin = std::max(page, synced);
      const std::string zeros(std::min(page + kPageBytes, left) - begin, '\0');
      if (pwrite(fd, zeros.data(), zeros.size(), static_cast<off_t>(begin)) < 0) break;
    }
  }

  /// Any page that was written over since the last sync may be what it was.
  void lose_replacements(int fd, const File& file, std::uint64_t left) {
    std::map<std::uint64_t, bool> lost;  // by page
    for (auto replaced = file.replaced.rbegin(); replaced != file.replaced.rend(); ++replaced) {
      const std::uint64_t end = std::min(replaced->offset + replaced->old.size(), left);
      for (std::uint64_t at = replaced->offset; at < end;) {
        const std::uint64_t next = std::min(end, (at / kPageBytes + 1) * kPageBytes);
        const auto [page, fresh] = lost.try_emplace(at / kPageBytes);
        if (fresh) page->second = random_() % 3 == 0;
        const char* const old = replaced->old.data() + (at - replaced->offset);
        if (page->second && pwrite(fd, old, next - at, static_cast<off_t>(at)) < 0) return;
        at = next;
      }
    }
  }

  [[noreturn]] void cut_power() {
    for (const auto& [path, file] : files_) {
      const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
      if (fd < 0) continue;
      const std::uint64_t left = file.synced + random_() % (file.size - std::min(file.size, file.synced) + 1);
      if (file.size > file.synced && ftruncate(fd, static_cast<off_t>(left)) == 0) lose_tail(fd, file.synced, left);
      lose_replacements(fd, file, left);
      close(fd);
    }
    // File systems keep the order of such changes: the later ones are gone.
    for (std::size_t lost = random_() % (changes_.size() + 1); lost > 0; --lost, changes_.pop_back()) {
      const Change& change = changes_.back();
      std::error_code ignored;
      if (change.renamed_from.empty()) {
        std::filesystem::remove(change.path, ignored);
        continue;
      }
      std::filesystem::rename(change.path, change.renamed_from, ignored);
      if (change.replaced) std::ofstream(change.path, std::ios::binary) << *change.replaced;
    }
    _exit(kPowerCutExit);
  }

  static constexpr std::uint64_t kPageBytes = 4096;

  const DiskFault fault_;
  const std::uint64_t at_operation_;
  mutable std::mutex mutex_;
  std::mt19937_64 random_;
  std::uint64_t operations_ = 0;
  bool healed_ = false;
  std::map<std::string, File> files_;
  std::vector<Change> changes_;  ///< since their directory was last synced
};

class FaultyEnv::Files final : public rocksdb::FileSystemWrapper {
 public:
  explicit Files(std::shared_ptr<Disk> disk)
      : FileSystemWrapper(rocksdb::FileSystem::Default()), disk_(std::move(disk)) {}
  const char* Name() const override { return "FaultyFiles"; }

  IOStatus NewSequentialFile(const std::string& path, const FileOptions& options,
                             std::unique_ptr<rocksdb::FSSequentialFile>* file, IODebugContext* debug) override {
    std::unique_ptr<rocksdb::FSSequentialFile> inner;
    auto status = disk_->operate(false, [&] { return target()->NewSequentialFile(path, options, &inner, debug); });
    if (status.ok()) *file = std::make_unique<SequentialFile>(disk_, std::move(inner));
    return status;
  }
  IOStatus NewRandomAccessFile(const std::string& path, const FileOptions& options,
                               std::unique_ptr<rocksdb::FSRandomAccessFile>* file, IODebugContext* debug) override {
    std::unique_ptr<rocksdb::FSRandomAccessFile> inner;
    auto status = disk_->operate(false, [&] { return target()->NewRandomAccessFile(path, options, &inner, debug); });
    if (status.ok()) *file = std::make_unique<RandomAccessFile>(disk_, std::move(inner));
    return status;
  }
  IOStatus NewWritableFile(const std::string& path, const FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* file, IODebugContext* debug) override {
    std::unique_ptr<rocksdb::FSWritableFile> inner;
    auto status = disk_->operate(true, [&] {
      auto made = target()->NewWritableFile(path, options, &inner, debug);
      if (made.ok()) disk_->created(path);
      return made;
    });
    if (status.ok()) *file = std::make_unique<WritableFile>(disk_, path, std::move(inner));
    return status;
  }
  IOStatus ReopenWritableFile(const std::string& path, const FileOptions& options,
                              std::unique_ptr<rocksdb::FSWritableFile>* file, IODebugContext* debug) override {
    std::unique_ptr<rocksdb::FSWritableFile> inner;
    auto status = disk_->operate(true, [&] {
      auto made = target()->ReopenWritableFile(path, options, &inner, debug);
      if (made.ok()) disk_->opened(path);
      return made;
    });
    if (status.ok()) *file = std::make_unique<WritableFile>(disk_, path, std::move(inner));
    return status;
  }
  IOStatus NewDirectory(const std::string& path, const IOOptions& options, std::unique_ptr<rocksdb::FSDirectory>* made,
                        IODebugContext* debug) override {
    std::unique_ptr<rocksdb::FSDirectory> inner;
    auto status = disk_->operate(false, [&] { return target()->NewDirectory(path, options, &inner, debug); });
    if (status.ok()) *made = std::make_unique<Directory>(disk_, path, std::move(inner));
    return status;
  }
  IOStatus FileExists(const std::string& path, const IOOptions& options, IODebugContext* debug) override {
    return disk_->operate(false, [&] { return target()->FileExists(path, options, debug); });
  }
  IOStatus GetChildren(const std::string& path, const IOOptions& options, std::vector<std::string>* names,
                       IODebugContext* debug) override {
    return disk_->operate(false, [&] { return target()->GetChildren(path, options, names, debug); });
  }
  IOStatus DeleteFile(const std::string& path, const IOOptions& options, IODebugContext* debug) override {
    return disk_->operate(false, [&] {
      auto status = target()->DeleteFile(path, options, debug);
      if (status.ok()) disk_->deleted(path);
      return status;
    });
  }
  IOStatus Truncate(const std::string& path, size_t size, const IOOptions& options, IODebugContext* debug) override {
    return disk_->operate(false, [&] {
      auto status = target()->Truncate(path, size, options, debug);
      if (status.ok()) disk_->resized(path, size);
      return status;
    });
  }
  IOStatus CreateDir(const std::string& path, const IOOptions& options, IODebugContext* debug) override {
    return disk_->operate(true, [&] { return target()->CreateDir(path, options, debug); });
  }
  IOStatus CreateDirIfMissing(const std::string& path, const IOOptions& options, IODebugContext* debug) override {
    return disk_->operate(true, [&] { return target()->CreateDirIfMissing(path, options, debug); });
  }
  IOStatus GetFileSize(const std::string& path, const IOOptions& options, uint64_t* size,
                       IODebugContext* debug) override {
    return disk_->operate(false, [&] { return target()->GetFileSize(path, options, size, debug); });
  }
  IOStatus RenameFile(const std::string& from, const std::string& to, const IOOptions& options,
                      IODebugContext* debug) override {
    return disk_->operate(true, [&] {
      disk_->renaming(from, to);
      return target()->RenameFile(from, to, options, debug);
    });
  }
  IOStatus LockFile(const std::string& path, const IOOptions& options, rocksdb::FileLock** lock,
                    IODebugContext* debug) override {
    return disk_->operate(false, [&] { return target()->LockFile(path, options, lock, debug); });
  }

 private:
  class SequentialFile final : public rocksdb::FSSequentialFileOwnerWrapper {
   public:
    SequentialFile(std::shared_ptr<Disk> disk, std::unique_ptr<rocksdb::FSSequentialFile> inner)
        : FSSequentialFileOwnerWrapper(std::move(inner)), disk_(std::move(disk)) {}
    IOStatus Read(size_t size, const IOOptions& options, Slice* result, char* scratch, IODebugContext* debug) override {
      return disk_->operate(false, [&] { return target()->Read(size, options, result, scratch, debug); });
    }

   private:
    std::shared_ptr<Disk> disk_;
  };

  class RandomAccessFile final : public rocksdb::FSRandomAccessFileOwnerWrapper {
   public:
    RandomAccessFile(std::shared_ptr<Disk> disk, std::unique_ptr<rocksdb::FSRandomAccessFile> inner)
        : FSRandomAccessFileOwnerWrapper(std::move(inner)), disk_(std::move(disk)) {}
    IOStatus Read(uint64_t offset, size_t size, const IOOptions& options, Slice* result, char* scratch,
                  IODebugContext* debug) const override {
      return disk_->operate(false, [&] { return target()->Read(offset, size, options, result, scratch, debug); });
    }
    IOStatus MultiRead(rocksdb::FSReadRequest* requests, size_t count, const IOOptions& options,
                       IODebugContext* debug) override {
      return disk_->operate(false, [&] { return target()->MultiRead(requests, count, options, debug); });
    }

   private:
    std::shared_ptr<Disk> disk_;
  };

  class WritableFile final : public rocksdb::FSWritableFileOwnerWrapper {
   public:
    WritableFile(std::shared_ptr<Disk> disk, std::string path, std::unique_ptr<rocksdb::FSWritableFile> inner)
        : FSWritableFileOwnerWrapper(std::move(inner)), disk_(std::move(disk)), path_(std::move(path)) {}
    IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* debug) override {
      return disk_->operate(true, [&] { return noted(target()->Append(data, options, debug), data.size()); });
    }
    IOStatus Append(const Slice& data, const IOOptions& options, const rocksdb::DataVerificationInfo& verification,
                    IODebugContext* debug) override {
      return disk_->operate(true,
                            [&] { return noted(target()->Append(data, options, verification, debug), data.size()); });
    }
    IOStatus PositionedAppend(const Slice& data, uint64_t offset, const IOOptions& options,
                              IODebugContext* debug) override {
      return disk_->operate(true, [&] {
        disk_->writing(path_, offset, data.size());
        auto status = target()->PositionedAppend(data, offset, options, debug);
        if (status.ok()) disk_->written(path_, offset + data.size());
        return status;
      });
    }
    IOStatus PositionedAppend(const Slice& data, uint64_t offset, const IOOptions& options,
                              const rocksdb::DataVerificationInfo& /*checksum*/, IODebugContext* debug) override {
      return PositionedAppend(data, offset, options, debug);
    }
    IOStatus Truncate(uint64_t size, const IOOptions& options, IODebugContext* debug) override {
      return disk_->operate(false, [&] {
        auto status = target()->Truncate(size, options, debug);
        if (status.ok()) disk_->resized(path_, size);
        return status;
      });
    }
    IOStatus Sync(const IOOptions& options, IODebugContext* debug) override {
      return disk_->operate(false, [&] { return synced(target()->Sync(options, debug)); });
    }
    IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
      return disk_->operate(false, [&] { return synced(target()->Fsync(options, debug)); });
    }
    IOStatus Flush(const IOOptions& options, IODebugContext* debug) override {
      return disk_->operate(false, [&] { return target()->Flush(options, debug); });
    }

   private:
    IOStatus noted(IOStatus status, std::size_t bytes) {
      if (status.ok()) disk_->appended(path_, bytes);
      return status;
    }
    IOStatus synced(IOStatus status) {
      if (status.ok()) disk_->synced(path_);
      return status;
    }
    std::shared_ptr<Disk> disk_;
    std::string path_;
  };

  class Directory final : public rocksdb::FSDirectoryWrapper {
   public:
    Directory(std::shared_ptr<Disk> disk, std::string path, std::unique_ptr<rocksdb::FSDirectory> inner)
        : FSDirectoryWrapper(std::move(inner)), disk_(std::move(disk)), path_(std::move(path)) {}
    IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
      return disk_->operate(false, [&] { return synced(FSDirectoryWrapper::Fsync(options, debug)); });
    }
    IOStatus FsyncWithDirOptions(const IOOptions& options, IODebugContext* debug,
                                 const rocksdb::DirFsyncOptions& how) override {
      return disk_->operate(false,
                            [&] { return synced(FSDirectoryWrapper::FsyncWithDirOptions(options, debug, how)); });
    }

   private:
    IOStatus synced(IOStatus status) {
      if (status.ok()) disk_->directory_synced(path_);
      return status;
    }
    std::shared_ptr<Disk> disk_;
    std::string path_;
  };

  std::shared_ptr<Disk> disk_;
};

FaultyEnv::FaultyEnv(DiskFault fault, std::uint64_t at_operation, std::uint64_t seed)
    : disk_(std::make_shared<Disk>(fault, at_operation, seed)),
      env_(rocksdb::NewCompositeEnv(std::make_shared<Files>(disk_))) {}
FaultyEnv::~FaultyEnv() = default;

rocksdb::Env* FaultyEnv::env() { return env_.get(); }
std::uint64_t FaultyEnv::operations() const { return disk_->operations(); }
void FaultyEnv::heal() { disk_->heal(); }

}  // namespace berth::test
