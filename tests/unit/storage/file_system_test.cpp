#include "storage/file_system.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cerrno>
#include <string>

#include "tests/support/faulty_files.h"

using namespace berth;
using namespace berth::storage;
using berth::test::ForgetfulFiles;
using berth::test::TemporaryDirectory;

namespace {

std::string read_all(FileSystem& files, const std::string& path) {
  auto fd = files.open(path, OpenMode::read);
  if (!fd.has_value()) return "<absent>";
  std::string text(1000, '\0');
  auto size = files.read_at(fd->get(), std::as_writable_bytes(std::span(text)), 0);
  text.resize(size.value());
  return text;
}

mode_t mode_of(const std::string& path) {
  struct stat info {};
  REQUIRE(::stat(path.c_str(), &info) == 0);
  return info.st_mode & 0777;
}

}  // namespace

TEST_CASE("errno becomes an error in one place") {
  struct Row {
    int error_number;
    ErrorCode code;
  };
  const Row row = GENERATE(Row{ENOSPC, ErrorCode::storage_full}, Row{EDQUOT, ErrorCode::storage_full},
                           Row{EMFILE, ErrorCode::unavailable}, Row{ENFILE, ErrorCode::unavailable},
                           Row{ENOMEM, ErrorCode::unavailable}, Row{EIO, ErrorCode::io_error},
                           Row{ENOENT, ErrorCode::io_error}, Row{EROFS, ErrorCode::io_error});
  const Error error = error_from_errno(row.error_number, "open /secret/path");
  CHECK(error.code == row.code);
  CHECK(error.message.find("secret") == std::string::npos);
  CHECK(error.log_detail.find("/secret/path") != std::string::npos);
}

TEST_CASE("files of the real file system") {
  TemporaryDirectory directory;
  FileSystem& files = posix_file_system();
  const std::string path = directory.path() + "/file";
  {
    auto fd = files.open(path, OpenMode::create_new);
    REQUIRE(fd.has_value());
    CHECK(files.write_at(fd->get(), as_bytes("hello world"), 0).has_value());
    CHECK(files.write_at(fd->get(), as_bytes("W"), 6).has_value());
    CHECK(files.sync_data(fd->get()).has_value());
    CHECK(files.file_size(fd->get()).value() == 11);
    files.start_writeback(fd->get(), 0, 11);
  }
  CHECK(mode_of(path) == 0600);
  CHECK(read_all(files, path) == "hello World");
  CHECK(files.open(path, OpenMode::create_new).failed_with(ErrorCode::io_error));

  auto fd = files.open(path, OpenMode::read_write);
  REQUIRE(fd.has_value());
  std::byte out[4];
  CHECK(files.read_at(fd->get(), out, 9).value() == 2);
  CHECK(files.read_at(fd->get(), out, 100).value() == 0);
  CHECK(files.truncate(fd->get(), 5).has_value());
  CHECK(read_all(files, path) == "hello");
  CHECK(files.allocate(fd->get(), 64 << 10).has_value());
  CHECK(files.file_size(fd->get()).value() == 64 << 10);

  REQUIRE(::symlink(path.c_str(), (directory.path() + "/link").c_str()) == 0);
  CHECK(files.open(directory.path() + "/link", OpenMode::read).failed_with(ErrorCode::io_error));

  CHECK(files.rename(path, directory.path() + "/other").has_value());
  CHECK_FALSE(files.exists(path).value());
  CHECK(files.exists(directory.path() + "/other").value());
  CHECK(files.remove(directory.path() + "/other").has_value());
  CHECK(files.remove(directory.path() + "/other").has_value());
  CHECK(files.open(directory.path() + "/other", OpenMode::read).failed_with(ErrorCode::io_error));
}

TEST_CASE("folders of the real file system") {
  TemporaryDirectory directory;
  FileSystem& files = posix_file_system();
  const std::string path = directory.path() + "/folder";
  CHECK(files.make_directory(path).has_value());
  CHECK(files.make_directory(path).has_value());
  CHECK(mode_of(path) == 0700);
  CHECK(files.sync_directory(path).has_value());
  CHECK(files.list(path).value().empty());
  REQUIRE(files.open(path + "/a", OpenMode::create_new).has_value());
  REQUIRE(files.open(path + "/b", OpenMode::create_new).has_value());
  auto names = files.list(path).value();
  std::sort(names.begin(), names.end());
  CHECK(names == std::vector<std::string>{"a", "b"});
  CHECK(files.make_directory(path + "/a").failed_with(ErrorCode::io_error));
  CHECK(files.make_directory(path + "/no/such").failed_with(ErrorCode::io_error));
  CHECK(files.list(path + "/none").failed_with(ErrorCode::io_error));
  CHECK(files.sync_directory(path + "/none").failed_with(ErrorCode::io_error));

  const SpaceInfo space = files.space(path).value();
  CHECK(space.size_bytes > 0);
  CHECK(space.free_bytes <= space.size_bytes);
  CHECK(space.free_inodes > 0);
}

TEST_CASE("the model of a power cut forgets what was not synced") {
  TemporaryDirectory directory;
  ForgetfulFiles files(posix_file_system(), directory.path());
  const std::string dir = directory.path() + "/dir", other = directory.path() + "/other";
  REQUIRE(files.make_directory(dir).has_value());
  REQUIRE(files.make_directory(other).has_value());
  REQUIRE(files.sync_directory(directory.path()).has_value());

  const auto make = [&](const std::string& path, bool sync) {
    auto fd = files.open(path, OpenMode::create_new);
    REQUIRE(fd.has_value());
    REQUIRE(files.write_at(fd->get(), as_bytes("bytes"), 0).has_value());
    if (sync) REQUIRE(files.sync_data(fd->get()).has_value());
  };
  make(dir + "/synced", true);
  make(dir + "/named", false);
  make(dir + "/moved", true);
  REQUIRE(files.sync_directory(dir).has_value());
  make(dir + "/late", true);
  make(dir + "/travels", true);
  REQUIRE(files.rename(dir + "/travels", other + "/travels").has_value());
  REQUIRE(files.sync_directory(other).has_value());
  REQUIRE(files.rename(dir + "/moved", other + "/moved").has_value());
  REQUIRE(files.remove(dir + "/named").has_value());

  SECTION("names too") {
    files.crash(ForgetfulFiles::Names::lost);
    CHECK(read_all(files, dir + "/synced") == "bytes");
    CHECK(read_all(files, dir + "/named").empty());
    CHECK(read_all(files, dir + "/moved") == "bytes");
    CHECK(read_all(files, dir + "/late") == "<absent>");
    CHECK(read_all(files, other + "/travels") == "bytes");
    CHECK(read_all(files, dir + "/travels") == "<absent>");
    CHECK(read_all(files, other + "/moved") == "<absent>");
  }
  SECTION("names by luck not") {
    files.crash(ForgetfulFiles::Names::kept);
    CHECK(read_all(files, dir + "/named") == "<absent>");
    CHECK(read_all(files, dir + "/late") == "bytes");
    CHECK(read_all(files, other + "/moved") == "bytes");
  }
}
