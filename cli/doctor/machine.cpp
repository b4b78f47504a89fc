#include <spdlog/fmt/chrono.h>
#include <sys/resource.h>
#include <sys/timex.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <sstream>

#include "cli/doctor/checks.h"
#include "config/keys.h"

namespace berth::cli {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;
/// Threads, the allocator, RocksDB's own tables: what a berth needs beside what the settings size.
constexpr std::uint64_t kOtherMemory = 128 * kMiB;
/// Files that are open beside connections: tables of the index, blobs being read, logs.
constexpr std::uint64_t kOtherFiles = 2048;
/// 2026-01-01: a clock that is before this berth is wrong.
constexpr std::time_t kThisBerth = 1'767'225'600;

std::uint64_t number_in(const std::string& path) {
  std::ifstream file(path);
  std::string word;
  file >> word;
  return word.empty() || word.find_first_not_of("0123456789") != word.npos ? 0 : std::strtoull(word.c_str(), nullptr, 10);
}

/// "MemTotal:  123 kB"
std::uint64_t memory() {
  std::ifstream file("/proc/meminfo");
  std::string name;
  std::uint64_t kibibytes = 0;
  while (file >> name >> kibibytes) {
    if (name == "MemTotal:") return kibibytes << 10;
    file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return 0;
}

std::string of_process(pid_t pid, std::string_view file) {
  return fmt::format("/proc/{}/{}", pid == 0 ? "self" : std::to_string(pid), file);
}

/// The least memory.max from the process's control group up to the root.
std::uint64_t memory_limit(pid_t pid) {
  std::ifstream groups(of_process(pid, "cgroup"));
  std::string path;
  for (std::string line; std::getline(groups, line);)
    if (line.starts_with("0::")) path = line.substr(3);
  std::uint64_t least = 0;
  for (;;) {
    const auto limit = number_in("/sys/fs/cgroup" + path + "/memory.max");
    if (limit != 0) least = least == 0 ? limit : std::min(least, limit);
    const auto slash = path.rfind('/');
    if (slash == path.npos) return least;
    path.resize(slash);
  }
}

/// The hard limit, to which berth raises the soft one. 0: cannot be read.
std::uint64_t open_files(pid_t pid) {
  if (pid == 0) {
    rlimit limit{};
    return ::getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_max : 0;
  }
  std::ifstream file(of_process(pid, "limits"));
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("Max open files")) continue;
    std::istringstream words(line.substr(14));
    std::string soft, hard;
    words >> soft >> hard;
    return hard == "unlimited" ? std::numeric_limits<std::uint64_t>::max() : std::strtoull(hard.c_str(), nullptr, 10);
  }
  return 0;
}

bool synchronized() {
  timex clock{};
  // Some containers may not ask; then nothing is known against it.
  return ::adjtimex(&clock) < 0 || (clock.status & STA_UNSYNC) == 0;
}

void judge_memory(const MachineFacts& facts, const config::Settings& settings, Findings& findings) {
  const bool limited = facts.memory_limit_bytes != 0 && facts.memory_limit_bytes < facts.memory_bytes;
  const auto there = limited ? facts.memory_limit_bytes : facts.memory_bytes;
  if (there == 0) return;
  const auto& password = settings.auth.password;
  const auto need = settings.data.block_cache_bytes + settings.limits.body_buffers_bytes + settings.cache.manifests_bytes +
                    (config::accounts_on(settings.auth) ? password.memory_bytes * password.workers : 0) + kOtherMemory;
  const auto what = fmt::format("{} MiB{}", there / kMiB, limited ? " by the limit of the control group" : "");
  if (there >= need)
    return findings.ok("machine.memory", what + fmt::format(", of which berth may come to use {} MiB", need / kMiB));
  findings.warning("machine.memory", what + fmt::format("; with these settings berth may come to need {} MiB", need / kMiB),
                   fmt::format("{}, or lower data.block_cache, limits.body_memory and cache.manifests",
                               limited ? "raise the limit (MemoryMax of the unit, resources.limits.memory of the pod)"
                                       : "give the machine more"));
}

void judge_open_files(const MachineFacts& facts, const config::Settings& settings, Findings& findings) {
  if (facts.open_files_max == 0) return;
  const auto need = settings.limits.connections + kOtherFiles;
  const auto what = fmt::format("{} may open {} files", facts.open_files_of, facts.open_files_max);
  if (facts.open_files_max >= need) return findings.ok("machine.open_files", what);
  findings.warning("machine.open_files",
                   fmt::format("{}; limits.connections lets {} clients in, each of which is one and may read another", what,
                               settings.limits.connections),
                   "raise it (LimitNOFILE=65536 in the unit, --ulimit nofile=65536:65536 for docker, `ulimit -Hn` in a "
                   "shell), or lower limits.connections");
}

}  // namespace

MachineFacts read_machine(pid_t running) {
  MachineFacts facts;
  utsname name{};
  if (::uname(&name) == 0) facts.kernel = name.release;
  facts.open_files_max = open_files(running);
  facts.open_files_of = running == 0 ? "a program that this shell starts" : fmt::format("the running berth (process {})", running);
  if (facts.open_files_max == 0 && running != 0) {
    facts.open_files_max = open_files(0);
    facts.open_files_of = "a program that this shell starts";
  }
  facts.memory_bytes = memory();
  facts.memory_limit_bytes = memory_limit(running);
  facts.clock_synchronized = synchronized();
  facts.now = std::chrono::system_clock::now();
  return facts;
}

void judge_clock(const MachineFacts& facts, Findings& findings) {
  const auto now = std::chrono::system_clock::to_time_t(facts.now);
  const auto shown = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(now));
  if (now < kThisBerth)
    return findings.problem("machine.clock", "the clock says " + shown + ", which is before this berth was made",
                            "set it, and let chrony or systemd-timesyncd keep it right: tokens and certificates are judged by it");
  if (facts.clock_synchronized) return findings.ok("machine.clock", shown + ", kept right by a time service");
  findings.warning("machine.clock", "the clock says " + shown + ", and nothing keeps it right",
                   "let chrony or systemd-timesyncd do it: tokens and certificates are judged by it. In a container it is "
                   "the host that must");
}

void judge_machine(const MachineFacts& facts, const config::Settings& settings, Findings& findings) {
  // 5.10 is the oldest long-term kernel that was still mended in 2026.
  const int major = std::atoi(facts.kernel.c_str());
  const auto dot = facts.kernel.find('.');
  const int minor = dot == facts.kernel.npos ? 0 : std::atoi(facts.kernel.c_str() + dot + 1);
  if (major > 5 || (major == 5 && minor >= 10))
    findings.ok("machine.kernel", "Linux " + facts.kernel);
  else
    findings.warning("machine.kernel", "Linux " + facts.kernel + " is older than any kernel that is still mended",
                     "run berth on Linux 5.10 or newer");
  judge_memory(facts, settings, findings);
  judge_open_files(facts, settings, findings);
  judge_clock(facts, findings);
}

}  // namespace berth::cli
