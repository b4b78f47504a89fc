#include "storage/ballast.h"

#include <fcntl.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "tests/support/faulty_files.h"

using namespace berth;
using namespace berth::storage;
using berth::test::FaultyFiles;
using berth::test::FileCall;
using berth::test::SmallDisk;
using berth::test::TemporaryDirectory;

namespace {

constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::uint64_t kGiB = 1 << 30;

struct Fixture {
  explicit Fixture(std::uint64_t size_bytes) : disk(posix_file_system(), size_bytes) {}
  /// A start of the process.
  void open() {
    ballast = std::make_unique<Ballast>(disk, BallastOptions{.directory = directory.path()});
    REQUIRE(ballast->open().has_value());
  }
  bool held() const { return disk.allocated_bytes() == ballast->size_bytes(); }
  /// Leaves `free` bytes beside whatever is allocated now.
  void fill_to(std::uint64_t free) { disk.others_bytes = disk.size_bytes - disk.allocated_bytes() - free; }

  TemporaryDirectory directory;
  SmallDisk disk;
  std::unique_ptr<Ballast> ballast;
};

}  // namespace

TEST_CASE("the ballast's size follows from the disk's") {
  struct Row {
    const char* name;
    std::uint64_t disk, size, low_water;
  };
  const Row row = GENERATE(Row{"a tiny tmpfs", 12 * kMiB, 12 * kMiB / 10, 12 * kMiB / 8},
                           Row{"a tiny loop disk", 24 * kMiB, 24 * kMiB / 10, 2 * kMiB},
                           Row{"the minimum", 100 * kMiB, 4 * kMiB, 2 * kMiB},
                           Row{"one percent", 10 * kGiB, 10 * kGiB / 100, 10 * kGiB / 200},
                           Row{"the maximum", 1000 * kGiB, 256 * kMiB, 128 * kMiB});
  INFO(row.name);
  Fixture f(row.disk);
  f.open();
  CHECK(f.ballast->size_bytes() == row.size);
  CHECK(f.ballast->low_water_bytes() == row.low_water);
  CHECK(f.held());
  CHECK(f.ballast->writable());
}

TEST_CASE("the log says once that pushes stopped, and once that they go on") {
  Fixture f(kGiB);
  const std::string path = f.directory.path() + "/log";
  const Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  REQUIRE(file);
  log::setup(log::Level::info, log::Format::text, file.get());
  f.open();
  for (int turn = 0; turn < 3; ++turn) f.ballast->check();
  f.fill_to(f.ballast->low_water_bytes() - 1);
  for (int turn = 0; turn < 3; ++turn) f.ballast->check();
  f.ballast->report_full();
  f.fill_to(f.ballast->low_water_bytes() * 2);
  for (int turn = 0; turn < 3; ++turn) f.ballast->check();
  f.ballast->report_full();
  log::shutdown();

  std::vector<std::string> lines;
  std::ifstream stream(path);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  REQUIRE(lines.size() == 3);
  CHECK_THAT(lines[0], Catch::Contains("warning the disk is nearly full: pushes are refused until there is more room"));
  CHECK_THAT(lines[1], Catch::Contains("info    there is room on the disk again: pushes are taken"));
  CHECK_THAT(lines[2], Catch::Contains("nearly full"));
}

TEST_CASE("pushes stop before the index, and come back after it") {
  Fixture f(kGiB);
  f.open();
  const std::uint64_t low = f.ballast->low_water_bytes();

  f.fill_to(low);
  f.ballast->check();
  CHECK(f.ballast->writable());

  f.fill_to(low - 1);
  f.ballast->check();
  CHECK_FALSE(f.ballast->writable());
  CHECK(f.held());

  f.fill_to(low);  // a little more than staying is wanted, against flapping
  f.ballast->check();
  CHECK_FALSE(f.ballast->writable());

  f.fill_to(low / 2 - 1);
  f.ballast->check();
  CHECK_FALSE(f.ballast->writable());
  CHECK(f.disk.allocated_bytes() == 0);
  CHECK(f.disk.free_bytes() > f.ballast->size_bytes());

  f.ballast->check();  // its release is no room for pushes
  CHECK_FALSE(f.ballast->writable());
  CHECK(f.disk.allocated_bytes() == 0);

  f.disk.others_bytes = 0;
  f.ballast->check();
  CHECK(f.ballast->writable());
  CHECK(f.held());
}

TEST_CASE("a reported failure stops pushes until room was proved") {
  Fixture f(kGiB);
  f.open();

  SECTION("the disk is full by now") {
    f.fill_to(0);
    f.ballast->report_full();
    CHECK_FALSE(f.ballast->writable());
    CHECK(f.disk.allocated_bytes() == 0);
    f.disk.others_bytes = 0;
    CHECK_FALSE(f.ballast->writable());
    f.ballast->check();
    CHECK(f.ballast->writable());
    CHECK(f.held());
  }
  SECTION("somebody has made room already") {
    f.ballast->report_full();
    CHECK_FALSE(f.ballast->writable());
    f.ballast->check();
    CHECK(f.ballast->writable());
  }
  SECTION("a quota that statvfs does not show") {
    f.disk.quota_bytes = f.ballast->size_bytes();
    f.ballast->report_full();
    CHECK(f.disk.allocated_bytes() == 0);  // given up: the index is under the same quota
    f.ballast->check();
    f.ballast->check();
    CHECK_FALSE(f.ballast->writable());
    f.disk.quota_bytes = kGiB;
    f.ballast->check();
    CHECK(f.ballast->writable());
    CHECK(f.held());
  }
}

TEST_CASE("a disk without inodes takes no pushes") {
  Fixture f(kGiB);
  f.open();
  f.disk.free_inodes = 10;
  f.ballast->check();
  CHECK_FALSE(f.ballast->writable());
  f.disk.free_inodes = 10'000;
  f.ballast->check();
  CHECK(f.ballast->writable());
}

TEST_CASE("starting again") {
  Fixture f(kGiB);
  f.open();
  const std::uint64_t size = f.ballast->size_bytes();

  SECTION("finds the ballast") {
    f.open();
    CHECK(f.held());
    CHECK(f.ballast->writable());
  }
  SECTION("on a full disk gives it up, so that the index can recover, and makes it again after that") {
    f.fill_to(size - 1);
    f.open();
    CHECK(f.disk.allocated_bytes() == 0);
    CHECK_FALSE(f.ballast->writable());
    f.ballast->check();
    CHECK(f.held());
    CHECK(f.ballast->writable());
  }
  SECTION("with the ballast given up and no room for it") {
    f.fill_to(0);
    f.ballast->check();
    REQUIRE(f.disk.allocated_bytes() == 0);
    f.open();
    CHECK_FALSE(f.ballast->writable());
    CHECK(f.disk.allocated_bytes() == 0);
  }
  SECTION("many times on a nearly full disk does not shrink it") {
    for (int i = 0; i < 5; ++i) {
      f.fill_to(f.ballast->low_water_bytes() / 4);
      f.ballast->check();
      f.open();
    }
    CHECK(f.ballast->size_bytes() == size);
    CHECK_FALSE(f.ballast->writable());
  }
  SECTION("finds one of another size") {
    f.disk.size_bytes = 2 * kGiB;
    f.open();
    CHECK(f.ballast->size_bytes() == 2 * kGiB / 100);
    CHECK(f.held());
  }
}

TEST_CASE("a ballast that cannot be made") {
  TemporaryDirectory directory;
  SmallDisk disk(posix_file_system(), kGiB);
  FaultyFiles files(disk);
  Ballast ballast(files, BallastOptions{.directory = directory.path()});

  SECTION("for a failing disk is an error") {
    files.arm({.sticky = true, .calls = {FileCall::allocate}});
    CHECK(ballast.open().failed_with(ErrorCode::io_error));
  }
  SECTION("for a full disk refuses pushes") {
    disk.others_bytes = kGiB - kMiB;
    CHECK(ballast.open().has_value());
    CHECK_FALSE(ballast.writable());
    disk.others_bytes = 0;
    ballast.check();
    CHECK(ballast.writable());
  }
}

TEST_CASE("every call of a check may fail once") {
  for (std::uint64_t nth = 1;; ++nth) {
    INFO("call " << nth);
    REQUIRE(nth < 100);
    TemporaryDirectory directory;
    SmallDisk disk(posix_file_system(), kGiB);
    FaultyFiles files(disk);
    Ballast ballast(files, BallastOptions{.directory = directory.path()});
    REQUIRE(ballast.open().has_value());
    files.arm({.nth = nth});
    disk.others_bytes = kGiB - ballast.size_bytes();
    ballast.report_full();
    CHECK_FALSE(ballast.writable());
    ballast.check();
    disk.others_bytes = 0;
    ballast.check();
    const bool fired = files.fired();
    files.disarm();
    ballast.check();  // whatever failed is over: one look puts all right
    CHECK(ballast.writable());
    CHECK(disk.allocated_bytes() == ballast.size_bytes());
    if (!fired) break;
  }
}
