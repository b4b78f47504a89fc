// Direct writes of large blobs: whatever fails in between, the content is what was accepted.
#include "storage/blobs/write_behind.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <random>

#include "oci/digest.h"
#include "storage/blobs/blob_store.h"
#include "tests/support/faulty_files.h"

using namespace berth;
using namespace berth::storage;
using namespace berth::test;

namespace {

const char* const kId = "00000000-0000-4000-8000-000000000001";
const char* const kOther = "00000000-0000-4000-8000-000000000002";

constexpr DirectWritesOptions kSmall{.from_bytes = 5000, .chunk_bytes = 8192, .threads = 1, .pace_min_bytes = 0};

std::unique_ptr<BlobStore> open_store(FileSystem& files, const TemporaryDirectory& directory,
                                      const DirectWritesOptions& direct = kSmall) {
  auto store = open_local_blob_store(files, {.directory = directory.path() + "/data", .direct = direct});
  REQUIRE(store.has_value());
  return *std::move(store);
}

std::string random_text(std::size_t size, std::mt19937_64& random) {
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

std::string content_at(BlobStore& store, const Place& place) {
  const OpenBlob blob = store.open(place).value();
  std::string text(blob.size, '\0');
  REQUIRE(posix_file_system().read_at(blob.fd.get(), std::as_writable_bytes(std::span(text)), 0).value() == blob.size);
  return text;
}

/// Counts direct writes; answers to them as it is told.
struct Counting : FilesOver {
  Counting() : FilesOver(posix_file_system()) {}
  Result<std::optional<Fd>> open_direct(const std::string& path) override {
    if (has_none) return std::optional<Fd>();
    return FilesOver::open_direct(path);
  }
  Result<bool> write_direct(int fd, Bytes bytes, std::uint64_t offset) override {
    ++direct;
    if (!refuses) return FilesOver::write_direct(fd, bytes, offset);
    ignore(FilesOver::write_direct(fd, bytes.first(kDirectAlignment), offset));
    return false;
  }
  bool has_none = false;
  bool refuses = false;
  std::atomic<int> direct = 0;
};

/// As an upload session does: on a full disk the content goes back to what it was.
void write_until_taken(Staging& staging, std::string_view bytes, std::uint64_t offset) {
  for (int tries = 0;; ++tries) {
    REQUIRE(tries < 20);
    const auto written = staging.write(as_bytes(bytes), offset);
    if (written.has_value()) return;
    REQUIRE(written.failed_with(ErrorCode::storage_full));
    REQUIRE(staging.truncate(offset).has_value());
  }
}

}  // namespace

TEST_CASE("whatever order of writes, cuts, reads and full disks, the content is what was accepted") {
  const auto seed = Catch::rngSeed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 60; ++round) {
    CAPTURE(round);
    TemporaryDirectory directory(TemporaryDirectory::Kind::memory);
    FaultyFiles files(posix_file_system());
    auto store = open_store(files, directory);
    auto staging = store->create(kId, "").value();
    std::string model;
    for (int step = 0; step < 40; ++step) {
      const auto effect = random() % 2 == 0 ? FileFault::Effect::none : FileFault::Effect::part;
      if (random() % 4 == 0) {
        files.arm({.nth = 1 + random() % 3, .error_number = ENOSPC, .effect = effect, .calls = {FileCall::write}});
      }
      switch (random() % 8) {
        case 0: {
          const std::size_t size = random() % (model.size() + 1);
          REQUIRE(staging->truncate(size).has_value());
          model.resize(size);
          break;
        }
        case 1: {
          while (!staging->flush().has_value()) continue;
          REQUIRE_FALSE(staging->unflushed());
          break;
        }
        case 2: {
          std::string out(3000, '\0');
          const std::size_t from = random() % (model.size() + 1);
          files.disarm();
          const std::size_t size = staging->read(std::as_writable_bytes(std::span(out)), from).value();
          REQUIRE(out.substr(0, size) == model.substr(from, 3000));
          break;
        }
        case 3: {  // the process goes away between two requests
          while (!staging->flush().has_value()) continue;
          staging.reset();
          files.disarm();
          staging = store->reopen(kId).value();
          break;
        }
        default: {
          const std::string text = random_text(random() % 20'000, random);
          write_until_taken(*staging, text, model.size());
          model += text;
        }
      }
      files.disarm();
    }
    REQUIRE(staging->size().value() == model.size());
    const Place place = store->publish(std::move(staging), kId, oci::sha256(model)).value();
    REQUIRE(content_at(*store, place) == model);
  }
}

TEST_CASE("what a power cut leaves of a direct write that was published is all of it") {
  std::mt19937_64 random(1);
  const std::string content = random_text(60'001, random);
  for (std::uint64_t nth = 1;; ++nth) {
    CAPTURE(nth);
    REQUIRE(nth < 200);
    TemporaryDirectory directory(TemporaryDirectory::Kind::memory);
    ForgetfulFiles disk(posix_file_system(), directory.path());
    FaultyFiles files(disk);
    std::optional<Place> published;
    files.arm({.nth = nth, .sticky = true});
    if (auto store = open_local_blob_store(files, {.directory = directory.path() + "/data", .direct = kSmall})) {
      if (auto staging = (*store)->create(kId, ""); staging.has_value()) {
        bool taken = true;
        for (std::size_t at = 0; taken && at < content.size(); at += 7000) {
          taken = (*staging)->write(as_bytes(std::string_view(content).substr(at, 7000)), at).has_value();
        }
        if (taken) {
          auto place = (*store)->publish(*std::move(staging), kId, oci::sha256(content));
          if (place.has_value()) published = *place;
        }
      }
    }
    const bool cut = files.fired();
    files.disarm();
    disk.crash(ForgetfulFiles::Names::lost);
    auto store = open_store(files, directory);
    if (published) CHECK(content_at(*store, *published) == content);
    if (!cut) {
      CHECK(published.has_value());
      break;
    }
  }
}

TEST_CASE("a write that failed on its way is not forgotten") {
  TemporaryDirectory directory(TemporaryDirectory::Kind::memory);
  FaultyFiles files(posix_file_system());
  auto store = open_store(files, directory);
  auto staging = store->create(kId, "").value();
  const std::string text(30'000, 'x');
  files.arm({.nth = 3, .calls = {FileCall::write}});
  const bool taken = staging->write(as_bytes(text), 0).has_value();
  CHECK((!taken || staging->size().failed_with(ErrorCode::io_error)));
  files.disarm();
  CHECK(staging->write(as_bytes("y"), text.size()).failed_with(ErrorCode::io_error));
  CHECK(store->publish(std::move(staging), kId, oci::sha256(text)).failed_with(ErrorCode::io_error));
}

TEST_CASE("where direct writes cannot be had, the bytes go the usual way") {
  TemporaryDirectory directory(TemporaryDirectory::Kind::memory);
  Counting files;
  DirectWritesOptions options = kSmall;
  std::mt19937_64 random(2);
  const std::string text = random_text(50'000, random);
  int direct_most = 0;
  SECTION("by the file system") { files.has_none = true; }
  SECTION("by the file system, which says so late") {
    files.refuses = true;
    direct_most = 2;  // the second is under way already
  }
  SECTION("by the operator") { options.enabled = false; }
  SECTION("before the place where they begin") { options.from_bytes = 50'000; }
  SECTION("on a disk that is slow at them") {
    options.pace_min_bytes = ~std::uint64_t{0};
    options.pace_window_bytes = 16'384;
    direct_most = 3;
  }
  auto store = open_store(files, directory, options);
  for (const char* id : {kId, kOther}) {
    auto staging = store->create(id, "").value();
    for (std::size_t at = 0; at < text.size(); at += 1000) {
      REQUIRE(staging->write(as_bytes(std::string_view(text).substr(at, 1000)), at).has_value());
    }
    CHECK(content_at(*store, store->publish(std::move(staging), id, oci::sha256(text)).value()) == text);
  }
  CHECK(files.direct <= direct_most);
  CHECK((direct_most == 0 || files.direct > 0));
}

TEST_CASE("so many large blobs at once are written directly, and a place that is left is taken again") {
  TemporaryDirectory directory(TemporaryDirectory::Kind::memory);
  Counting files;
  DirectWritesOptions options = kSmall;
  options.streams_max = 1;
  auto store = open_store(files, directory, options);
  const std::string text(40'000, 'x');
  auto first = store->create(kId, "").value();
  auto second = store->create(kOther, "").value();
  REQUIRE(first->write(as_bytes(text), 0).has_value());
  REQUIRE(second->write(as_bytes(text), 0).has_value());
  CHECK(first->unflushed());
  CHECK_FALSE(second->unflushed());
  first.reset();
  REQUIRE(second->write(as_bytes(text), text.size()).has_value());
  CHECK(second->unflushed());
}
