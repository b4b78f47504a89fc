// The format of a data directory, asked from outside.
#include "registry/data_format.h"

#include <catch2/catch.hpp>
#include <map>

#include "registry/keys.h"
#include "registry/records.h"
#include "registry/registry.h"
#include "storage/kv/rocksdb_kv.h"
#include "tests/support/test_registry.h"

namespace berth::registry {
namespace {

namespace fs = std::filesystem;

std::unique_ptr<kv::Store> open(const fs::path& index, kv::Schema families = schema()) {
  kv::RocksDbOptions options;
  options.directory = index;
  auto store = kv::open_rocksdb(std::move(families), options);
  REQUIRE(store.has_value());
  return *std::move(store);
}

void write(kv::Store& store, const FormatRecord& format) {
  const std::vector<kv::Write> writes = {{FormatKey::kFamily, FormatKey{}.encode(), encode(format)}};
  REQUIRE(store.write(writes).has_value());
}

/// Names, sizes and times of all files.
std::map<std::string, std::pair<std::uintmax_t, fs::file_time_type>> files(const fs::path& folder) {
  std::map<std::string, std::pair<std::uintmax_t, fs::file_time_type>> all;
  for (const auto& entry : fs::directory_iterator(folder)) {
    all[entry.path().filename()] = {entry.file_size(), entry.last_write_time()};
  }
  return all;
}

TEST_CASE("the format of a data directory is read without a lock and without a change") {
  const test::TemporaryFolder folder;
  const fs::path index = folder.path() / "index";
  constexpr DataFormat kKnown{kFormatMajor, kFormatMinor};
  SECTION("nothing is there") {
    CHECK(read_data_formats(index).failed_with(ErrorCode::io_error));
    CHECK_FALSE(fs::exists(index));
  }
  SECTION("an index that says none yet") {
    open(index).reset();
    const auto formats = read_data_formats(index).value();
    CHECK(formats.known == kKnown);
    CHECK_FALSE(formats.there);
    CHECK_FALSE(formats.foreign_family);
  }
  SECTION("a newer one, which is open, and whose log was not written out") {
    const auto store = open(index);
    write(*store, {kFormatMajor + 1, 7});
    const auto before = files(index);
    const auto formats = read_data_formats(index).value();
    CHECK(formats.there == DataFormat{kFormatMajor + 1, 7});
    CHECK(files(index) == before);
    write(*store, {kFormatMajor + 1, 8});  // and the one that has it open goes on
    REQUIRE(store->flush().has_value());
    CHECK(read_data_formats(index).value().there == DataFormat{kFormatMajor + 1, 8});
  }
  SECTION("a family of a newer one") {
    kv::Schema newer = schema();
    newer.push_back({"holograms", kv::Access::point});
    write(*open(index, std::move(newer)), {kFormatMajor, kFormatMinor + 1});
    const auto before = files(index);
    const auto formats = read_data_formats(index).value();
    CHECK(formats.there == DataFormat{kFormatMajor, kFormatMinor + 1});
    CHECK(formats.foreign_family);
    CHECK(files(index) == before);
  }
  SECTION("what this berth makes") {
    test::TestRegistryOptions options;
    options.engines = test::Engines::files;
    options.directory = folder.path();
    test::TestRegistry registry(options);
    const auto formats = read_data_formats(registry.directory() / "index").value();
    CHECK(formats.there == kKnown);
    CHECK_FALSE(formats.foreign_family);
  }
  SECTION("a record that is none") {
    const auto store = open(index);
    const std::vector<kv::Write> writes = {{FormatKey::kFamily, FormatKey{}.encode(), std::string("\xff\xff")}};
    REQUIRE(store->write(writes).has_value());
    CHECK(read_data_formats(index).failed_with(ErrorCode::corrupt));
  }
}

}  // namespace
}  // namespace berth::registry
