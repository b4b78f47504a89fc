// One I/O after the other beneath RocksDB goes wrong: what was acknowledged is there afterwards, whatever happened.
//
// Debian's RocksDB has its assertions on and ends the process on some failures, and a power cut ends it on purpose. So
// each trial is a process of its own, forked from one that has never used RocksDB (its threads would not be forked).
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>

#include "tests/support/faulty_env.h"
#include "tests/unit/storage/kv_engines.h"

namespace berth::kv {
namespace {

namespace fs = std::filesystem;
using test::DiskFault;
using test::FaultyEnv;

constexpr Family kFacts = 0;
constexpr Family kLog = 1;
constexpr int kChanges = 8;

Schema test_schema() { return {{"facts", Access::point}, {"log", Access::log}}; }

std::string log_key(std::uint64_t number) {
  std::string key;
  append_u64(key, number);
  return key;
}
/// Every third spans several blocks of RocksDB's log, so that it can be torn.
std::string value_of(std::uint64_t number) {
  return std::string(number % 3 == 0 ? 70'000 : 200, static_cast<char>('a' + number % 26));
}

RocksDbOptions options_for(const fs::path& directory, rocksdb::Env* env) {
  RocksDbOptions options;
  options.directory = directory;
  options.block_cache_bytes = 4 << 20;
  options.env = env;
  return options;
}

/// How a trial's process ended.
struct Ended {
  int exit_code = -1;  ///< -1: by a signal
  int signal = 0;
  std::string said;
};

constexpr int kTrialFailed = 99;  ///< what the trial found is in `said`

/// Runs `body` in a forked process; it says things by writing to the descriptor it is given.
Ended run_forked(const std::function<int(int say)>& body) {
  int pipe_ends[2];
  if (pipe(pipe_ends) != 0) std::abort();
  const pid_t child = fork();
  if (child < 0) std::abort();
  if (child == 0) {
    close(pipe_ends[0]);
    const rlimit no_core{0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    std::signal(SIGABRT, SIG_DFL);  // the test framework's handler would tell of a failure
    if (std::freopen("/dev/null", "w", stderr) == nullptr) std::abort();
    _exit(body(pipe_ends[1]));
  }
  close(pipe_ends[1]);
  Ended ended;
  char buffer[256];
  for (ssize_t size = 0; (size = read(pipe_ends[0], buffer, sizeof buffer)) > 0;) {
    ended.said.append(buffer, static_cast<std::size_t>(size));
  }
  close(pipe_ends[0]);
  int status = 0;
  if (waitpid(child, &status, 0) != child) std::abort();
  if (WIFEXITED(status)) ended.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) ended.signal = WTERMSIG(status);
  return ended;
}

void say(int fd, const std::string& text) {
  if (write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size())) std::abort();
}

/// Opens, makes changes 'first'… and says a dot for each that is acknowledged; 'F' when it was not hit by its fault.
int make_changes(const fs::path& directory, std::uint64_t first, DiskFault fault, std::uint64_t at, std::uint64_t seed,
                 bool close_in_order, int fd) {
  FaultyEnv env(fault, at, seed);
  {
    auto store = open_rocksdb(test_schema(), options_for(directory, env.env()));
    if (!store) return 1;
    // A failed change ends the process, as it does in production. (Closing waits a second for the background's sake.)
    for (std::uint64_t number = first; number < first + kChanges; ++number) {
      const std::vector<Write> writes{{kFacts, "k" + std::to_string(number), value_of(number)},
                                      {kLog, log_key(number), "change"}};
      if (!(*store)->write(writes).has_value()) _exit(1);
      say(fd, ".");
      if (number == first + kChanges / 2 && !(*store)->flush().has_value()) _exit(1);
    }
    if (!close_in_order) _exit(2);
    if (!(*store)->flush().has_value()) _exit(1);
  }
  if (env.operations() < at) say(fd, "F");
  return 0;
}

/// Opens with a healthy disk and says what is wrong: between `acknowledged` and one change more must be there.
int check_changes(const fs::path& directory, std::uint64_t acknowledged, std::uint64_t attempted, int fd) {
  const auto wrong = [&](const std::string& what) { return say(fd, what), kTrialFailed; };
  auto store = open_rocksdb(test_schema(), options_for(directory, nullptr));
  if (!store) return wrong(store.error().message + ": " + store.error().log_detail);
  auto last = (*store)->last_log_number(kLog);
  if (!last) return wrong("last_log_number: " + last.error().log_detail);
  if (*last < acknowledged || *last > attempted || *last > acknowledged + 1) {
    return wrong("acknowledged " + std::to_string(acknowledged) + ", there are " + std::to_string(*last));
  }
  auto view = (*store)->view();
  if (!view) return wrong("view");
  const Reader& reader = (*view)->reader(Tier::any);
  for (std::uint64_t number = 1; number <= attempted; ++number) {
    auto fact = reader.get(kFacts, "k" + std::to_string(number));
    auto entry = reader.get(kLog, log_key(number));
    if (!fact || !entry) return wrong("unreadable: " + std::to_string(number));
    if (fact->has_value() != (number <= *last) || entry->has_value() != (number <= *last)) {
      return wrong("half of change " + std::to_string(number));
    }
    if (*fact && **fact != value_of(number)) return wrong("wrong bytes of change " + std::to_string(number));
  }
  // And it takes changes again.
  const Write write{kFacts, "more", "v"};
  if (!(*store)->write({&write, 1}).has_value()) return wrong("does not take changes");
  return 0;
}

/// One trial over a fresh copy of `base`; an empty text when all is well, "end" when the fault was not reached.
std::string trial(const fs::path& base, std::uint64_t first, DiskFault fault, std::uint64_t at, std::uint64_t seed) {
  TempDirectory work;
  const fs::path directory = work.path() / "db";
  if (fs::exists(base)) fs::copy(base, directory, fs::copy_options::recursive);
  const Ended made =
      run_forked([&](int fd) { return make_changes(directory, first, fault, at, seed, /*close_in_order=*/true, fd); });
  if (made.signal != 0 && made.signal != SIGABRT) return "ended by signal " + std::to_string(made.signal);
  const auto acknowledged = static_cast<std::uint64_t>(std::count(made.said.begin(), made.said.end(), '.'));
  const Ended checked =
      run_forked([&](int fd) { return check_changes(directory, first - 1 + acknowledged, first - 1 + kChanges, fd); });
  if (checked.signal != 0) return "opening again ended by signal " + std::to_string(checked.signal);
  if (checked.exit_code != 0) return checked.said;
  return made.said.ends_with('F') ? "end" : "";
}

/// RocksDB has not been used in this process: this case runs in one of its own (see the case below).
int run_all_trials() {
  spdlog::set_level(spdlog::level::off);
  TempDirectory home;
  const fs::path existing = home.path() / "existing";
  // A store that was killed: the next opening has changes to replay.
  const Ended made = run_forked(
      [&](int fd) { return make_changes(existing, 1, DiskFault::none, 0, 0, /*close_in_order=*/false, fd); });
  if (made.exit_code != 2) return std::puts("could not make the store to begin with"), 1;

  struct Row {
    const char* name;
    DiskFault fault;
  };
  const Row rows[] = {{"an I/O error", DiskFault::io_error_once},
                      {"a full disk", DiskFault::disk_full},
                      {"a power cut", DiskFault::power_cut}};
  // BERTH_FAULT_STRIDE=1 goes through all of them, in a minute or two.
  const char* every = std::getenv("BERTH_FAULT_STRIDE");
  const std::uint64_t stride = every != nullptr ? std::strtoull(every, nullptr, 10) : 32;
  const std::uint64_t seed = std::random_device{}();
  int failures = 0;
  for (const Row& row : rows) {
    for (const bool fresh : {false, true}) {
      std::uint64_t at = 1 + seed % stride;
      for (;; at += stride) {
        const auto outcome =
            trial(fresh ? home.path() / "none" : existing, fresh ? 1 : kChanges + 1, row.fault, at, seed + at);
        if (outcome == "end") break;
        if (outcome.empty()) continue;
        std::printf("%s at operation %llu, %s store, seed %llu: %s\n", row.name, static_cast<unsigned long long>(at),
                    fresh ? "new" : "existing", static_cast<unsigned long long>(seed + at), outcome.c_str());
        ++failures;
      }
      std::printf("%s, %s store: %llu operations\n", row.name, fresh ? "new" : "existing",
                  static_cast<unsigned long long>(at));
      if (at < 30) ++failures, std::puts("too few to be true");
    }
  }
  return failures;
}

}  // namespace

TEST_CASE("rocksdb trials", "[.rocksdb-trials]") { REQUIRE(run_all_trials() == 0); }

TEST_CASE("rocksdb: acknowledged changes survive an I/O error, a full disk and a power cut at any operation") {
  // In a process of its own, since this one may have RocksDB's threads already.
  const std::string self = fs::read_symlink("/proc/self/exe").string();
  CHECK(std::system(("'" + self + "' '[.rocksdb-trials]'").c_str()) == 0);
}

}  // namespace berth::kv
