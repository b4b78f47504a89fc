// Every operation that RocksDB makes of its disk, failed in turn, and the power cut there, beneath a whole registry.
//
// The script runs in a process of its own, because a failed write of the index ends the process by design (and Debian's
// RocksDB ends it by itself now and then). What was acknowledged is noted in a file that no fault reaches.
#include <fcntl.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "registry/registry.h"
#include "storage/kv/rocksdb_kv.h"
#include "tests/faults/script.h"
#include "tests/faults/world.h"
#include "tests/support/faulty_env.h"
#include "tests/support/faulty_files.h"

using namespace berth;
using namespace berth::faults;
using berth::test::DiskFault;

extern char** environ;

namespace {

enum ChildExit : int { kUntouched = 0, kRefusedToOpen = 75, kSurvived = 76, kFatal = 78 };

constexpr std::size_t kWriteBufferBytes = 64 << 10;  // small, so that the script flushes

kv::RocksDbOptions index_options(const std::string& directory) {
  kv::RocksDbOptions options;
  options.directory = directory + "/index";
  options.write_buffer_bytes = kWriteBufferBytes;
  return options;
}

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

void note(int fd, char what, std::size_t step) {
  const std::string line = what + std::to_string(step) + '\n';
  if (::write(fd, line.data(), line.size()) != static_cast<ssize_t>(line.size())) die("the notes cannot be written");
}

int run_child() {
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  const std::string directory = variable("BERTH_FAULTS_DIRECTORY");
  const int notes = ::open((directory + "/notes").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  const auto nth = std::stoull(variable("BERTH_FAULTS_NTH"));
  test::FaultyEnv env(static_cast<DiskFault>(std::stoi(variable("BERTH_FAULTS_KIND"))), nth, nth);
  {
    kv::RocksDbOptions options = index_options(directory);
    options.env = env.env();
    auto store = kv::open_rocksdb(registry::schema(), options);
    if (!store.has_value()) return kRefusedToOpen;
    test::ManualClock clock;
    auto world = World::open({.store = **store,
                              .files = storage::posix_file_system(),
                              .directory = directory,
                              .clock = clock,
                              .on_fatal = [](const Error&) { ::_exit(kFatal); }});
    if (!world.has_value()) return kRefusedToOpen;
    run_script(**world, [&](std::size_t step) { note(notes, 'b', step); },
               [&](std::size_t step, StepEnd end) { note(notes, end == StepEnd::done ? 'd' : 'f', step); });
    world->reset();
    ignore((*store)->flush());  // so that writing and installing its files fails, too
  }
  return env.operations() < nth ? kUntouched : kSurvived;
}

struct ChildEnd {
  int status = 0;
  std::string error_output;
};

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

ChildEnd run(const std::string& directory, DiskFault kind, std::uint64_t nth) {
  std::vector<std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) variables.emplace_back(*entry);
  variables.push_back(std::string(kChildVariable) + "=1");
  variables.push_back("BERTH_FAULTS_DIRECTORY=" + directory);
  variables.push_back("BERTH_FAULTS_KIND=" + std::to_string(static_cast<int>(kind)));
  variables.push_back("BERTH_FAULTS_NTH=" + std::to_string(nth));
  std::vector<char*> environment;
  for (std::string& entry : variables) environment.push_back(entry.data());
  environment.push_back(nullptr);

  std::string program = "/proc/self/exe", name = "child: the script over a faulty index";
  char* arguments[] = {program.data(), name.data(), nullptr};
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  const std::string errors = directory + "/stderr";
  ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errors.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t child = 0;
  const int failure = ::posix_spawn(&child, program.c_str(), &actions, nullptr, arguments, environment.data());
  ::posix_spawn_file_actions_destroy(&actions);
  REQUIRE(failure == 0);
  ChildEnd end;
  REQUIRE(::waitpid(child, &end.status, 0) == child);
  end.error_output = read_text(errors);
  return end;
}

Expectation expectation(const std::string& notes) {
  Expectation expected;
  std::optional<std::size_t> running;
  std::size_t at = 0;
  while (at < notes.size()) {
    const std::size_t line_end = notes.find('\n', at);
    const std::size_t step = std::stoul(notes.substr(at + 1, line_end - at - 1));
    if (notes[at] == 'b') running = step;
    if (notes[at] != 'b') {
      expected.apply(step, notes[at] == 'd' ? StepEnd::done : StepEnd::failed);
      running.reset();
    }
    at = line_end + 1;
  }
  if (running) expected.apply(*running, StepEnd::unknown);
  return expected;
}

bool is_acceptable(const ChildEnd& end, DiskFault kind) {
  // Our own checks speak before they abort; RocksDB's assertions may end the process, and a restart heals that.
  if (end.error_output.find("berth: ") != std::string::npos) return false;
  if (WIFSIGNALED(end.status)) return WTERMSIG(end.status) == SIGABRT;
  switch (WEXITSTATUS(end.status)) {
    case kUntouched:
    case kRefusedToOpen:
    case kSurvived:
    case kFatal: return true;
    case test::kPowerCutExit: return kind == DiskFault::power_cut;
    default: return false;
  }
}

std::string joined(const std::vector<std::string>& lines) {
  std::string out;
  for (const std::string& line : lines) out += "\n  " + line;
  return out;
}

}  // namespace

TEST_CASE("child: the script over a faulty index", "[.]") {
  if (variable(kChildVariable).empty()) {
    WARN("only for the tests of this file, which start it");
    return;
  }
  std::_Exit(run_child());
}

TEST_CASE("every operation of the index on its disk may fail") {
  struct Row {
    const char* name;
    DiskFault kind;
  };
  const Row row = GENERATE(Row{"one operation fails", DiskFault::io_error_once},
                           Row{"the disk is full from then on", DiskFault::disk_full},
                           Row{"the power is cut", DiskFault::power_cut});
  // All of them take minutes; each run of the short set takes another part, the same one for the same kind.
  const std::uint64_t stride = variable("BERTH_FAULTS_ALL").empty() ? 7 : 1;
  for (std::uint64_t nth = 1 + static_cast<std::uint64_t>(row.kind) % stride;; nth += stride) {
    INFO(row.name << ", operation " << nth);
    REQUIRE(nth < 5000);
    test::TemporaryDirectory directory(test::TemporaryDirectory::Kind::memory);
    const ChildEnd end = run(directory.path(), row.kind, nth);
    INFO("status " << end.status << "\n" << end.error_output);
    REQUIRE(is_acceptable(end, row.kind));

    const Expectation expected = expectation(read_text(directory.path() + "/notes"));
    auto store = kv::open_rocksdb(registry::schema(), index_options(directory.path()));
    if (!store.has_value()) FAIL(store.error().message << ": " << store.error().log_detail);
    test::ManualClock clock;
    auto world = World::open({**store, storage::posix_file_system(), directory.path(), clock, 2});
    if (!world.has_value()) FAIL(world.error().message << ": " << world.error().log_detail);
    REQUIRE(joined(check_world(**world, expected.possible())) == "");
    REQUIRE(joined(check_nothing_left(**world, directory.path())) == "");
    if (WIFEXITED(end.status) && WEXITSTATUS(end.status) == kUntouched) break;
  }
}
