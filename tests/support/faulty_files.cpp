#include "tests/support/faulty_files.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace berth::test {

using storage::Fd;
using storage::OpenMode;
using storage::SpaceInfo;

std::string_view to_string(FileCall call) {
  static constexpr std::string_view kNames[] = {"open",   "create", "write",          "read",   "truncate",
                                                "allocate", "sync_data", "sync_directory", "rename", "remove",
                                                "make_directory", "exists", "file_size", "list", "space"};
  return kNames[static_cast<std::size_t>(call)];
}

// ---- FilesOver ----

Result<Fd> FilesOver::open(const std::string& path, OpenMode mode) { return base_.open(path, mode); }
Result<void> FilesOver::write_at(int fd, Bytes bytes, std::uint64_t offset) { return base_.write_at(fd, bytes, offset); }
Result<std::optional<Fd>> FilesOver::open_direct(const std::string& path) {
  BERTH_TRY(Fd fd, open(path, OpenMode::read_write));
  return std::optional(std::move(fd));
}
Result<bool> FilesOver::write_direct(int fd, Bytes bytes, std::uint64_t offset) {
  const auto aligned = [](std::uint64_t value) { return value % storage::kDirectAlignment == 0; };
  if (!aligned(offset) || !aligned(bytes.size()) || !aligned(reinterpret_cast<std::uintptr_t>(bytes.data()))) {
    return storage::error_from_errno(EINVAL, "a direct write that is not aligned");
  }
  BERTH_CHECK(write_at(fd, bytes, offset));
  return true;
}
Result<std::size_t> FilesOver::read_at(int fd, std::span<std::byte> out, std::uint64_t offset) {
  return base_.read_at(fd, out, offset);
}
Result<void> FilesOver::truncate(int fd, std::uint64_t size) { return base_.truncate(fd, size); }
Result<void> FilesOver::allocate(int fd, std::uint64_t size) { return base_.allocate(fd, size); }
void FilesOver::start_writeback(int fd, std::uint64_t offset, std::uint64_t size) {
  base_.start_writeback(fd, offset, size);
}
Result<void> FilesOver::sync_data(int fd) { return base_.sync_data(fd); }
Result<void> FilesOver::sync_directory(const std::string& path) { return base_.sync_directory(path); }
Result<void> FilesOver::rename(const std::string& from, const std::string& to) { return base_.rename(from, to); }
Result<void> FilesOver::remove(const std::string& path) { return base_.remove(path); }
Result<void> FilesOver::make_directory(const std::string& path) { return base_.make_directory(path); }
Result<bool> FilesOver::exists(const std::string& path) { return base_.exists(path); }
Result<std::uint64_t> FilesOver::file_size(int fd) { return base_.file_size(fd); }
Result<std::vector<std::string>> FilesOver::list(const std::string& directory) { return base_.list(directory); }
Result<SpaceInfo> FilesOver::space(const std::string& path) { return base_.space(path); }

// ---- FaultyFiles ----

void FaultyFiles::arm(FileFault fault) {
  const std::lock_guard lock(mutex_);
  fault_ = std::move(fault);
  armed_ = true;
  count_ = 0;
  fired_ = false;
}

void FaultyFiles::disarm() {
  const std::lock_guard lock(mutex_);
  armed_ = false;
}

bool FaultyFiles::fired() const {
  const std::lock_guard lock(mutex_);
  return fired_;
}

FileCall FaultyFiles::fired_at() const {
  const std::lock_guard lock(mutex_);
  return fired_at_;
}

std::optional<FileFault> FaultyFiles::fails(FileCall call) {
  const std::lock_guard lock(mutex_);
  if (!armed_ || (!fault_.calls.empty() && !fault_.calls.contains(call))) return std::nullopt;
  ++count_;
  const bool now = fault_.sticky ? count_ >= fault_.nth : count_ == fault_.nth;
  if (now && !fired_) fired_at_ = call;
  fired_ = fired_ || now;
  if (!now) return std::nullopt;
  return fault_;
}

namespace {

Error failure(const FileFault& fault, FileCall call) {
  return storage::error_from_errno(fault.error_number, "injected into " + std::string(to_string(call)));
}

}  // namespace

template <class T, class Pass>
Result<T> FaultyFiles::pass(FileCall call, Pass pass_on) {
  const auto fault = fails(call);
  if (!fault) return pass_on();
  if (fault->effect == FileFault::Effect::whole) ignore(pass_on());
  return failure(*fault, call);
}

Result<Fd> FaultyFiles::open(const std::string& path, OpenMode mode) {
  const FileCall call = mode == OpenMode::create_new ? FileCall::create : FileCall::open;
  return pass<Fd>(call, [&] { return base_.open(path, mode); });
}

Result<void> FaultyFiles::write_at(int fd, Bytes bytes, std::uint64_t offset) {
  const auto fault = fails(FileCall::write);
  if (!fault) return base_.write_at(fd, bytes, offset);
  std::size_t written = 0;
  if (fault->effect == FileFault::Effect::part) written = bytes.size() / 2;
  if (fault->effect == FileFault::Effect::whole) written = bytes.size();
  ignore(base_.write_at(fd, bytes.first(written), offset));
  return failure(*fault, FileCall::write);
}

Result<std::size_t> FaultyFiles::read_at(int fd, std::span<std::byte> out, std::uint64_t offset) {
  return pass<std::size_t>(FileCall::read, [&] { return base_.read_at(fd, out, offset); });
}
Result<void> FaultyFiles::truncate(int fd, std::uint64_t size) {
  return pass<void>(FileCall::truncate, [&] { return base_.truncate(fd, size); });
}
Result<void> FaultyFiles::allocate(int fd, std::uint64_t size) {
  return pass<void>(FileCall::allocate, [&] { return base_.allocate(fd, size); });
}
Result<void> FaultyFiles::sync_data(int fd) {
  return pass<void>(FileCall::sync_data, [&] { return base_.sync_data(fd); });
}
Result<void> FaultyFiles::sync_directory(const std::string& path) {
  return pass<void>(FileCall::sync_directory, [&] { return base_.sync_directory(path); });
}
Result<void> FaultyFiles::rename(const std::string& from, const std::string& to) {
  return pass<void>(FileCall::rename, [&] { return base_.rename(from, to); });
}
Result<void> FaultyFiles::remove(const std::string& path) {
  return pass<void>(FileCall::remove, [&] { return base_.remove(path); });
}
Result<void> FaultyFiles::make_directory(const std::string& path) {
  return pass<void>(FileCall::make_directory, [&] { return base_.make_directory(path); });
}
Result<bool> FaultyFiles::exists(const std::string& path) {
  return pass<bool>(FileCall::exists, [&] { return base_.exists(path); });
}
Result<std::uint64_t> FaultyFiles::file_size(int fd) {
  return pass<std::uint64_t>(FileCall::file_size, [&] { return base_.file_size(fd); });
}
Result<std::vector<std::string>> FaultyFiles::list(const std::string& directory) {
  return pass<std::vector<std::string>>(FileCall::list, [&] { return base_.list(directory); });
}
Result<SpaceInfo> FaultyFiles::space(const std::string& path) {
  return pass<SpaceInfo>(FileCall::space, [&] { return base_.space(path); });
}

// ---- ForgetfulFiles ----

/// A file or a folder, whatever its names are.
struct ForgetfulFiles::Node {
  bool is_directory = false;
  std::string synced_bytes;
};

/// A change of names that no sync has covered yet.
struct ForgetfulFiles::Change {
  std::string from;  ///< this name goes; empty when none does
  std::string to;    ///< this name comes; empty when none does
  std::shared_ptr<Node> node;
};

struct ForgetfulFiles::State {
  using Names = std::map<std::string, std::shared_ptr<Node>>;

  static std::string parent(const std::string& path) { return std::filesystem::path(path).parent_path().string(); }

  void change(Change c) {
    apply(c, now);
    pending.push_back(std::move(c));
  }
  static void apply(const Change& c, Names& names) {
    if (!c.from.empty()) names.erase(c.from);
    if (!c.to.empty()) names[c.to] = c.node;
  }

  std::mutex mutex;
  Names now;
  Names synced;
  std::vector<Change> pending;
  std::map<int, std::shared_ptr<Node>> opened;  ///< by descriptor; a number that came back is overwritten
};

namespace {

std::string read_whole(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace

ForgetfulFiles::ForgetfulFiles(storage::FileSystem& base, std::string root)
    : FilesOver(base), root_(std::move(root)), state_(std::make_unique<State>()) {
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root_)) {
    auto node = std::make_shared<Node>();
    node->is_directory = entry.is_directory();
    if (!node->is_directory) node->synced_bytes = read_whole(entry.path());
    state_->now[entry.path()] = node;
  }
  state_->synced = state_->now;
}

ForgetfulFiles::~ForgetfulFiles() = default;

void ForgetfulFiles::crash(Names unsynced_names) {
  const std::lock_guard lock(state_->mutex);
  State::Names after = unsynced_names == Names::kept ? state_->now : state_->synced;
  for (const auto& entry : std::filesystem::directory_iterator(root_)) std::filesystem::remove_all(entry.path());
  // In name order a folder comes before what it holds; what is in a folder that was lost is lost with it.
  for (auto name = after.begin(); name != after.end();) {
    const std::string parent = State::parent(name->first);
    if (parent != root_ && !after.contains(parent)) {
      name = after.erase(name);
      continue;
    }
    if (name->second->is_directory) {
      std::filesystem::create_directory(name->first);
    } else {
      std::ofstream(name->first, std::ios::binary) << name->second->synced_bytes;
    }
    ++name;
  }
  state_->now = after;
  state_->synced = std::move(after);
  state_->pending.clear();
  state_->opened.clear();
}

Result<Fd> ForgetfulFiles::open(const std::string& path, OpenMode mode) {
  const std::lock_guard lock(state_->mutex);
  BERTH_TRY(Fd fd, base_.open(path, mode));
  if (mode == OpenMode::create_new) state_->change(Change{{}, path, std::make_shared<Node>()});
  state_->opened[fd.get()] = state_->now[path];
  return fd;
}

Result<void> ForgetfulFiles::sync_data(int fd) {
  const std::lock_guard lock(state_->mutex);
  BERTH_TRY(const std::uint64_t size, base_.file_size(fd));
  std::string bytes(size, '\0');
  BERTH_TRY(const std::size_t got, base_.read_at(fd, std::as_writable_bytes(std::span(bytes)), 0));
  bytes.resize(got);
  state_->opened.at(fd)->synced_bytes = std::move(bytes);
  return {};
}

Result<void> ForgetfulFiles::sync_directory(const std::string& path) {
  const std::lock_guard lock(state_->mutex);
  BERTH_CHECK(base_.sync_directory(path));
  auto touches = [&](const Change& change) {
    return (!change.from.empty() && State::parent(change.from) == path) ||
           (!change.to.empty() && State::parent(change.to) == path);
  };
  // What a change in this folder builds on goes with it: the creation of a file that was renamed into it.
  std::set<const Node*> nodes;
  for (const Change& change : state_->pending) {
    if (touches(change)) nodes.insert(change.node.get());
  }
  auto covered = [&](const Change& change) { return nodes.contains(change.node.get()); };
  for (const Change& change : state_->pending) {
    if (covered(change)) State::apply(change, state_->synced);
  }
  std::erase_if(state_->pending, covered);
  return {};
}

Result<void> ForgetfulFiles::rename(const std::string& from, const std::string& to) {
  const std::lock_guard lock(state_->mutex);
  BERTH_CHECK(base_.rename(from, to));
  state_->change(Change{from, to, state_->now[from]});
  return {};
}

Result<void> ForgetfulFiles::remove(const std::string& path) {
  const std::lock_guard lock(state_->mutex);
  BERTH_CHECK(base_.remove(path));
  if (state_->now.contains(path)) state_->change(Change{path, {}, state_->now[path]});
  return {};
}

Result<void> ForgetfulFiles::make_directory(const std::string& path) {
  const std::lock_guard lock(state_->mutex);
  BERTH_CHECK(base_.make_directory(path));
  if (!state_->now.contains(path) && path != root_) {
    auto node = std::make_shared<Node>();
    node->is_directory = true;
    state_->change(Change{{}, path, std::move(node)});
  }
  return {};
}

// ---- SmallDisk ----

std::uint64_t SmallDisk::allocated_bytes() const {
  std::uint64_t sum = 0;
  for (const auto& [path, bytes] : allocated_) sum += bytes;
  return sum;
}

std::uint64_t SmallDisk::free_bytes() const {
  const std::uint64_t used = allocated_bytes() + others_bytes;
  return size_bytes - std::min(size_bytes, used);
}

Result<Fd> SmallDisk::open(const std::string& path, OpenMode mode) {
  BERTH_TRY(Fd fd, base_.open(path, mode));
  opened_[fd.get()] = path;
  return fd;
}

Result<void> SmallDisk::allocate(int fd, std::uint64_t size) {
  if (size > free_bytes()) return storage::error_from_errno(ENOSPC, "allocate");
  if (allocated_bytes() + size > quota_bytes) return storage::error_from_errno(EDQUOT, "allocate");
  BERTH_CHECK(base_.truncate(fd, size));
  allocated_[opened_.at(fd)] = size;
  return {};
}

Result<void> SmallDisk::remove(const std::string& path) {
  BERTH_CHECK(base_.remove(path));
  allocated_.erase(path);
  return {};
}

Result<SpaceInfo> SmallDisk::space(const std::string&) { return SpaceInfo{size_bytes, free_bytes(), free_inodes}; }

// ---- TemporaryDirectory ----

TemporaryDirectory::TemporaryDirectory(Kind kind) {
  const bool in_memory = kind == Kind::memory && ::access("/dev/shm", W_OK | X_OK) == 0;
  const auto base = in_memory ? std::filesystem::path("/dev/shm") : std::filesystem::temp_directory_path();
  std::string pattern = (base / "berth-test-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) {
    std::perror("mkdtemp");
    std::abort();
  }
  path_ = std::move(pattern);
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace berth::test
