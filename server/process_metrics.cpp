#include "server/process_metrics.h"

#include <dirent.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "base/log.h"

namespace berth::server {
namespace {

std::string text_of(const char* path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return std::move(text).str();
}

/// The fields of /proc/self/stat from the third one on (proc(5) counts from 1): the name before them may hold anything.
std::vector<std::string> stat_fields() {
  const std::string text = text_of("/proc/self/stat");
  std::vector<std::string> fields;
  const auto end_of_name = text.rfind(')');
  if (end_of_name == std::string::npos) return fields;
  std::istringstream rest(text.substr(end_of_name + 1));
  for (std::string field; rest >> field;) fields.push_back(field);
  return fields;
}

double number_at(const std::vector<std::string>& fields, std::size_t number) {
  const std::size_t index = number - 3;
  return index < fields.size() ? std::strtod(fields[index].c_str(), nullptr) : 0;
}

double seconds_of(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

/// Seconds since 1970 at which the machine started. From its clocks, for a service manager's sandbox hides /proc/stat.
double boot_time() {
  static std::atomic<double> told{0};
  const double now = seconds_of(CLOCK_REALTIME) - seconds_of(CLOCK_BOOTTIME);
  // The same from scrape to scrape, unless somebody has set the clock.
  if (std::abs(now - told.load()) > 1) told.store(now);
  return told.load();
}

/// Without the one that the look itself needs.
double open_descriptors() {
  DIR* const folder = ::opendir("/proc/self/fd");
  if (folder == nullptr) return 0;
  int count = -1;
  while (const dirent* entry = ::readdir(folder)) {
    if (entry->d_name[0] != '.') ++count;
  }
  ::closedir(folder);
  return count;
}

void read_process(metrics::Sink& sink) {
  const auto fields = stat_fields();
  const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  const auto page = static_cast<double>(::sysconf(_SC_PAGESIZE));
  sink.counter("process_cpu_seconds_total", "Processor time used, in user and system mode.", {},
               (number_at(fields, 14) + number_at(fields, 15)) / ticks);
  sink.gauge("process_threads", "Threads of the process.", {}, number_at(fields, 20));
  sink.gauge("process_start_time_seconds", "When the process started, in seconds since 1970.", {},
             boot_time() + number_at(fields, 22) / ticks);
  sink.gauge("process_virtual_memory_bytes", "Size of the address space.", {}, number_at(fields, 23));
  sink.gauge("process_resident_memory_bytes", "Memory in use, mapped files included.", {},
             number_at(fields, 24) * page);
  sink.gauge("process_open_fds", "Open file descriptors.", {}, open_descriptors());
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  sink.gauge("process_max_fds", "How many file descriptors may be open.", {}, static_cast<double>(limit.rlim_cur));
}

void read_allocator(metrics::Sink& sink) {
  const auto info = ::mallinfo2();
  sink.gauge("malloc_held_bytes", "Memory that the allocator has from the kernel.", {},
             static_cast<double>(info.arena + info.hblkhd));
  sink.gauge("malloc_used_bytes", "Memory of it that is in use.", {}, static_cast<double>(info.uordblks + info.hblkhd));
}

}  // namespace

void tell_build(std::string_view version, std::string_view revision, std::string_view rocksdb) {
  metrics::Family<metrics::Gauge>("build_info", "What runs.", {"version", "revision", "rocksdb", "openssl"})
      .with({version, revision, rocksdb, ::OpenSSL_version(OPENSSL_VERSION_STRING)})
      .set(1);
}

metrics::Source watch_process(const api::Lifecycle& lifecycle) {
  return metrics::add_source([&lifecycle](metrics::Sink& sink) {
    const bool ready = lifecycle.started.load() && !lifecycle.draining.load();
    sink.gauge("ready", "1: /readyz says yes.", {}, ready ? 1 : 0);
    sink.counter("log_dropped_total",
                 "Lines of the log that were lost: nobody read them in time, or they could not be written.", {},
                 static_cast<double>(log::dropped()));
    read_process(sink);
    read_allocator(sink);
  });
}

}  // namespace berth::server
