#include <fcntl.h>
#include <spdlog/fmt/fmt.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <vector>

#include "cli/doctor/checks.h"
#include "config/keys.h"

namespace berth::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kGiB = 1 << 30;

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return number_; }
  explicit operator bool() const { return number_ >= 0; }

 private:
  int number_;
};

struct FileSystemKind {
  std::uint64_t number;
  std::string_view name;
  Verdict verdict;
  std::string_view why;
};

constexpr std::string_view kNetwork = "its locks and syncs are as good as a server elsewhere keeps them, and a cut network stops berth";
constexpr std::string_view kUser = "whether what was synced is kept depends on a program, not on the kernel";

// Numbers of linux/magic.h, and of those that are not in the kernel.
constexpr FileSystemKind kKinds[] = {
    {0xef53, "ext4", Verdict::ok, {}},
    {0x58465342, "XFS", Verdict::ok, {}},
    {0x9123683e, "btrfs", Verdict::ok, {}},
    {0x2fc12fc1, "ZFS", Verdict::ok, {}},
    {0xf2f52010, "F2FS", Verdict::ok, {}},
    {0x01021994, "tmpfs", Verdict::problem, "it is memory: every image is gone with the next start of the machine"},
    {0x858458f6, "ramfs", Verdict::problem, "it is memory: every image is gone with the next start of the machine"},
    {0x794c7630, "an overlay", Verdict::problem, "that is a container's own layer: every image is gone with the container"},
    {0x6969, "NFS", Verdict::warning, kNetwork},
    {0xff534d42, "CIFS", Verdict::warning, kNetwork},
    {0xfe534d42, "SMB", Verdict::warning, kNetwork},
    {0x00c36400, "Ceph", Verdict::warning, kNetwork},
    {0x01021997, "9p", Verdict::warning, kNetwork},
    {0x65735546, "FUSE", Verdict::warning, kUser},
};

std::string above(const std::string& path) { return (fs::path(path) / "..").lexically_normal().string(); }

/// Writes go to a file without a name, so that nothing is left behind however this ends.
std::optional<std::chrono::microseconds> measure_sync(const std::string& folder) {
  using Clock = std::chrono::steady_clock;
  constexpr int kRounds = 11;
  constexpr auto kLongest = std::chrono::seconds(2);
  const Descriptor file(::open(folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));
  if (!file) return std::nullopt;
  const std::array<char, 4096> block{};
  std::vector<Clock::duration> times;
  const auto begin = Clock::now();
  for (int i = 0; i < kRounds && Clock::now() - begin < kLongest; ++i) {
    const auto start = Clock::now();
    if (::write(file.get(), block.data(), block.size()) != static_cast<ssize_t>(block.size()) || ::fdatasync(file.get()) != 0)
      return std::nullopt;
    times.push_back(Clock::now() - start);
  }
  std::sort(times.begin(), times.end());
  return std::chrono::duration_cast<std::chrono::microseconds>(times[times.size() / 2]);
}

void judge_kind(const DiskFacts& facts, Findings& findings) {
  const auto kind = std::find_if(std::begin(kKinds), std::end(kKinds), [&](const auto& one) { return one.number == facts.kind; });
  if (kind == std::end(kKinds))
    return findings.warning("data.file_system",
                            fmt::format("{} is on a file system of a kind that berth is not tried on (0x{:x})", facts.path, facts.kind),
                            "ext4 and XFS are what its tests cut the power of");
  const auto what = fmt::format("{} is on {}", facts.path, kind->name);
  if (kind->verdict == Verdict::ok) return findings.ok("data.file_system", what);
  const auto remedy = "put data.directory on a local disk with ext4 or XFS; in a container, mount a volume there";
  if (kind->verdict == Verdict::warning)
    findings.warning("data.file_system", fmt::format("{}; {}", what, kind->why), remedy);
  else
    findings.problem("data.file_system", fmt::format("{}; {}", what, kind->why), remedy);
}

void judge_space(const DiskFacts& facts, const config::Settings& settings, Findings& findings) {
  const auto what = fmt::format("{:.1f} of {:.1f} GiB are free", static_cast<double>(facts.free_bytes) / kGiB,
                                static_cast<double>(facts.size_bytes) / kGiB);
  const auto remedy = "free some or make it larger: a full disk refuses pushes, while pulls go on";
  if (facts.free_bytes < 2 * settings.data.ballast_max_bytes && facts.free_bytes < facts.size_bytes / 20)
    findings.problem("data.space", what, remedy);
  else if (facts.free_bytes < facts.size_bytes / 10)
    findings.warning("data.space", what, remedy);
  else
    findings.ok("data.space", what);
  if (facts.inodes == 0) return;
  const auto inodes = fmt::format("{} of {} inodes are free", facts.free_inodes, facts.inodes);
  const auto more = "each blob above data.inline_limit is a file: make a file system with more inodes, or raise data.inline_limit";
  if (facts.free_inodes < facts.inodes / 100)
    findings.problem("data.inodes", inodes, more);
  else if (facts.free_inodes < facts.inodes / 10)
    findings.warning("data.inodes", inodes, more);
  else
    findings.ok("data.inodes", inodes);
}

void judge_sync(const DiskFacts& facts, Findings& findings) {
  if (!facts.sync) return;
  const auto what = fmt::format("a synced write takes {:.1f} ms", static_cast<double>(facts.sync->count()) / 1000);
  if (*facts.sync <= std::chrono::milliseconds(20)) return findings.ok("data.sync", what);
  findings.warning("data.sync", what + "; every push waits for one or more",
                   "look for what else keeps this disk busy, or use a faster one: 1 to 10 ms is usual");
}

/// Is the index open, and in which process? Only asks: taking a lock for a moment could stop a berth that starts.
void look_for_holder(const std::string& directory, DataFacts& facts) {
  const Descriptor lock(::open((directory + "/index/LOCK").c_str(), O_RDONLY | O_CLOEXEC));
  struct flock wish {};
  wish.l_type = F_WRLCK;
  wish.l_whence = SEEK_SET;
  if (!lock || ::fcntl(lock.get(), F_GETLK, &wish) != 0 || wish.l_type == F_UNLCK) return;
  facts.held = true;
  facts.running = std::max<pid_t>(wish.l_pid, 0);  // -1: in another name space
}

void judge_owner(const std::string& path, const struct stat& info, Findings& findings) {
  const auto mode = info.st_mode & 07777;
  if ((mode & 0077) != 0)
    findings.warning("data.mode", fmt::format("{} may be entered by others (mode {:04o})", path, mode),
                     fmt::format("chmod 0700 {}: it holds every image and the keys of tokens", path));
  else
    findings.ok("data.mode", fmt::format("{} is for its owner alone", path));
  struct stat index {};
  if (::stat((path + "/index").c_str(), &index) == 0 && index.st_uid != info.st_uid)
    findings.problem("data.owner", fmt::format("{} belongs to user {}, and index in it to user {}", path, info.st_uid, index.st_uid),
                     fmt::format("chown -R both to the user that runs berth; as root it may have been started once by mistake"));
  else if (::geteuid() != 0 && info.st_uid != ::geteuid())
    findings.warning("data.owner", fmt::format("{} belongs to user {}, not to who asks here ({})", path, info.st_uid, ::geteuid()),
                     "run `berth doctor` as the user that runs berth, or as root, to see all of it");
  else
    findings.ok("data.owner", fmt::format("{} belongs to user {}", path, info.st_uid));
}

}  // namespace

DiskFacts read_disk(const std::string& path) {
  DiskFacts facts;
  facts.path = path;
  std::error_code ignored;
  const std::string there = fs::is_directory(path, ignored) ? path : above(path);
  struct statfs info {};
  if (::statfs(there.c_str(), &info) != 0) return facts;
  const auto block = static_cast<std::uint64_t>(info.f_bsize);
  facts.kind = static_cast<std::uint32_t>(info.f_type);
  facts.read_only = (info.f_flags & ST_RDONLY) != 0;
  facts.size_bytes = info.f_blocks * block;
  facts.free_bytes = info.f_bavail * block;
  facts.inodes = info.f_files;
  facts.free_inodes = info.f_ffree;
  if (!facts.read_only) facts.sync = measure_sync(there);
  return facts;
}

void judge_disk(const DiskFacts& facts, const config::Settings& settings, Findings& findings) {
  if (facts.kind == 0) return;
  judge_kind(facts, findings);
  if (facts.read_only)
    return findings.problem("data.writable", facts.path + " is on a file system that is mounted read-only",
                            "mount it for writing; a kernel that met an error of the disk does this, see dmesg");
  judge_space(facts, settings, findings);
  judge_sync(facts, findings);
}

DataFacts check_data(const config::Settings& settings, Findings& findings) {
  const auto& path = settings.data.directory;
  DataFacts facts;
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) {
    const int error = errno;
    if (error == ENOENT && ::access(above(path).c_str(), W_OK) == 0) {
      facts.usable = true;
      findings.ok("data.directory", path + " is not there yet; the first start makes it");
    } else if (error == ENOENT) {
      findings.problem("data.directory", fmt::format("{} is not there and cannot be made: {}: {}", path, above(path), std::strerror(errno)),
                       "make it for the user that runs berth (install -d -m 0700 -o berth), or mount the disk that belongs there");
    } else {
      findings.problem("data.directory", fmt::format("{}: {}", path, std::strerror(error)), "run `berth doctor` as the user that runs berth");
    }
    return facts;
  }
  if (!S_ISDIR(info.st_mode)) {
    findings.problem("data.directory", path + " is something else, not a directory", "name another in data.directory");
    return facts;
  }
  facts.usable = true;
  judge_owner(path, info, findings);
  facts.indexed = ::access((path + "/index/CURRENT").c_str(), F_OK) == 0;
  if (facts.indexed)
    findings.ok("data.directory", path + " has an index");
  else if (fs::exists(path + "/blobs"))
    findings.problem("data.index", path + " has blobs and no index: nothing says which images they are of",
                     "restore the folder `index` from the same moment as `blobs`; started like this, berth begins with an empty index");
  else
    findings.ok("data.directory", path + " holds no registry yet");
  look_for_holder(path, facts);
  findings.ok("data.lock", !facts.held           ? "no berth has it open"
                           : facts.running == 0 ? "a berth has it open"
                                                : fmt::format("the berth of process {} has it open", facts.running));
  return facts;
}

void judge_format(const Result<DataFormats>& formats, bool held, Findings& findings) {
  const std::string check = "data.format";
  if (!formats) {
    const auto& what = formats.error().message;
    if (held)
      return findings.warning(check, "which format the data has cannot be seen: " + what,
                              "ask again: the berth that has it open may have changed a file just then");
    return findings.problem(check, what, "run `berth doctor` as the user that runs berth; if that was it, restore the data directory");
  }
  const auto text = [](const DataFormat& one) { return fmt::format("{}.{}", one.major, one.minor); };
  const auto& known = formats->known;
  if (!formats->there) return findings.ok(check, "the index says no format yet; the first start writes " + text(known));
  const auto& there = *formats->there;
  const auto both = fmt::format("the data has format {}, and this berth reads {}.0 to {}", text(there), known.major, text(known));
  const auto needed = fmt::format("use a berth that reads format {} (the one that wrote it, or a later one), "
                                  "or restore a copy of the data directory from before that one ran", text(there));
  if (there.major > known.major || formats->foreign_part) return findings.problem(check, both + ": it refuses to start", needed);
  if (there.major < known.major) return findings.problem(check, both + ": there was none of that number", "restore the data directory");
  if (there.minor > known.minor) return findings.warning(check, both + "; it starts, and leaves alone what it does not know", needed);
  if (there.minor == known.minor) return findings.ok(check, "the data has format " + text(there));
  findings.ok(check, fmt::format("{}; the next start makes it {}, and a berth that reads no more than {} cannot open it then", both, text(known), text(there)));
}

}  // namespace berth::cli
