// Every call that the blob store makes of the file system, failed in turn beneath a whole registry.
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>

#include "registry/registry.h"
#include "storage/kv/memory_kv.h"
#include "tests/faults/script.h"
#include "tests/faults/world.h"
#include "tests/support/faulty_files.h"

using namespace berth;
using namespace berth::faults;
using berth::test::FaultyFiles;
using berth::test::FileFault;

namespace {

/// Real syncs only cost time where nothing is cut.
struct NoSync final : test::FilesOver {
  NoSync() : FilesOver(storage::posix_file_system()) {}
  Result<void> sync_data(int) override { return {}; }
  Result<void> sync_directory(const std::string&) override { return {}; }
};

std::string joined(const std::vector<std::string>& lines) {
  std::string out;
  for (const std::string& line : lines) out += "\n  " + line;
  return out;
}

}  // namespace

TEST_CASE("the script itself, on a disk without faults") {
  test::TemporaryDirectory directory(test::TemporaryDirectory::Kind::memory);
  NoSync files;
  test::ManualClock clock;
  auto store = kv::make_memory_store(registry::schema());
  Expectation expected;
  {
    auto world = World::open({*store, files, directory.path(), clock}).value();
    run_script(*world, [](std::size_t) {},
               [&](std::size_t step, StepEnd end) {
                 INFO(step_name(step));
                 CHECK(end == StepEnd::done);
                 expected.apply(step, end);
               });
    CHECK(joined(check_world(*world, expected.possible())) == "");
  }
  auto world = World::open({*store, files, directory.path(), clock, 2}).value();
  CHECK(joined(check_world(*world, expected.possible())) == "");
  CHECK(joined(check_nothing_left(*world, directory.path())) == "");
}

TEST_CASE("every call to the file system may fail") {
  struct Row {
    const char* name;
    bool sticky;
    int error_number;
    FileFault::Effect effect;
  };
  const Row row = GENERATE(Row{"one call fails", false, EIO, FileFault::Effect::none},
                           Row{"one call does half", false, EIO, FileFault::Effect::part},
                           Row{"one call does it all and says it failed", false, EIO, FileFault::Effect::whole},
                           Row{"the disk is full once", false, ENOSPC, FileFault::Effect::part},
                           Row{"the disk dies", true, EIO, FileFault::Effect::none},
                           Row{"the disk is full for good", true, ENOSPC, FileFault::Effect::part});
  for (std::uint64_t nth = 1;; ++nth) {
    REQUIRE(nth < 2000);
    test::TemporaryDirectory directory(test::TemporaryDirectory::Kind::memory);
    NoSync disk;
    FaultyFiles files(disk);
    test::ManualClock clock;
    auto store = kv::make_memory_store(registry::schema());
    Expectation expected;
    bool opened = false;
    {
      files.arm({.nth = nth, .sticky = row.sticky, .error_number = row.error_number, .effect = row.effect});
      auto world = World::open({*store, files, directory.path(), clock});
      opened = world.has_value();
      if (opened) {
        run_script(**world, [](std::size_t) {},
                   [&](std::size_t step, StepEnd end) { expected.apply(step, end); });
      }
    }
    const bool fired = files.fired();
    files.disarm();
    INFO(row.name << ", call " << nth << ", " << to_string(files.fired_at()) << ", opened " << opened);
    auto world = World::open({*store, files, directory.path(), clock, 2});
    REQUIRE(world.has_value());
    REQUIRE(joined(check_world(**world, expected.possible())) == "");
    REQUIRE(joined(check_nothing_left(**world, directory.path())) == "");
    if (!fired) break;
  }
}
