#include "server/data_directory.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <string>

using namespace berth;
using server::DataDirectory;

namespace {

/// A folder for the length of a test.
struct Folder {
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "berth-data-XXXXXX").string();
    REQUIRE(mkdtemp(pattern.data()) != nullptr);
    path = pattern;
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string path;
};

}  // namespace

TEST_CASE("the data directory is made for its owner alone") {
  Folder folder;
  auto suffix = GENERATE("/data", "/data/", "/./data");
  auto opened = DataDirectory::open(folder.path + suffix);
  REQUIRE(opened);
  struct stat info {};
  REQUIRE(::stat((folder.path + "/data").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0700);
  CHECK(std::filesystem::exists(folder.path + "/data/berth.lock"));
}

TEST_CASE("a directory that is there is taken as it is") {
  Folder folder;
  ::chmod(folder.path.c_str(), 0750);
  REQUIRE(DataDirectory::open(folder.path));
  struct stat info {};
  REQUIRE(::stat(folder.path.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0750);
}

TEST_CASE("a directory belongs to one at a time") {
  Folder folder;
  {
    auto first = DataDirectory::open(folder.path);
    REQUIRE(first);
    auto second = DataDirectory::open(folder.path);
    REQUIRE(second.failed_with(ErrorCode::unavailable));
    CHECK(second.error().message == "the data directory " + folder.path + " is in use by another berth (process " +
                                        std::to_string(::getpid()) + "); stop that one, or give this one a directory of "
                                        "its own with --data");
  }
  CHECK(DataDirectory::open(folder.path));
}

TEST_CASE("the lock ends with its process, however that ends") {
  Folder folder;
  pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    bool opened = DataDirectory::open(folder.path).has_value();
    ::_exit(opened ? 0 : 1);  // as a kill would: nothing is cleaned up
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(status == 0);
  CHECK(DataDirectory::open(folder.path));
}

TEST_CASE("what cannot be a data directory is refused with a sentence") {
  Folder folder;
  SECTION("its parent is missing") {
    auto opened = DataDirectory::open(folder.path + "/missing/data");
    REQUIRE(opened.failed_with(ErrorCode::io_error));
    CHECK_THAT(opened.error().message, Catch::Contains("cannot be made because " + folder.path + "/missing"));
    CHECK_FALSE(std::filesystem::exists(folder.path + "/missing"));
  }
  SECTION("it is a file") {
    std::ofstream(folder.path + "/file") << "x";
    auto opened = DataDirectory::open(folder.path + "/file");
    REQUIRE(opened.failed_with(ErrorCode::io_error));
    CHECK_THAT(opened.error().message, Catch::EndsWith("/file is something else, not a directory"));
  }
  SECTION("the lock is a folder") {
    std::filesystem::create_directory(folder.path + "/berth.lock");
    auto opened = DataDirectory::open(folder.path);
    REQUIRE(opened.failed_with(ErrorCode::io_error));
    CHECK_THAT(opened.error().message, Catch::Contains("cannot open berth.lock: Is a directory"));
  }
}
