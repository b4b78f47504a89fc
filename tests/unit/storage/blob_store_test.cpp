// One contract for every blob store, then what only the local one can get wrong: restarts, faults and power cuts.
#include "storage/blobs/blob_store.h"

#include <sys/stat.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "storage/blobs/group_sync.h"
#include "storage/blobs/place.h"
#include "tests/support/faulty_files.h"

using namespace berth;
using namespace berth::storage;
using berth::test::FaultyFiles;
using berth::test::FileCall;
using berth::test::FileFault;
using berth::test::FilesOver;
using berth::test::ForgetfulFiles;
using berth::test::TemporaryDirectory;

namespace {

std::string upload_id(int n) {
  char text[37];
  std::snprintf(text, sizeof text, "00000000-0000-4000-8000-%012d", n);
  return text;
}

std::string content_of(const OpenBlob& blob) {
  std::string text(blob.size, '\0');
  const auto size = posix_file_system().read_at(blob.fd.get(), std::as_writable_bytes(std::span(text)), 0);
  REQUIRE(size.value() == blob.size);
  return text;
}

std::string content_at(BlobStore& store, const Place& place) {
  auto blob = store.open(place);
  return blob.has_value() ? content_of(*blob) : "<absent>";
}

/// The whole way in. The error of the first step that fails.
Result<Place> push(BlobStore& store, int n, const std::string& content) {
  BERTH_TRY(auto staging, store.create(upload_id(n), "sidecar " + std::to_string(n)));
  BERTH_CHECK(staging->write(as_bytes(content), 0));
  return store.publish(std::move(staging), upload_id(n), oci::sha256(content));
}

std::unique_ptr<BlobStore> open_local(FileSystem& files, const std::string& directory, std::uint32_t bucket_files = 100) {
  auto store = open_local_blob_store(
      files, LocalBlobStoreOptions{.directory = directory, .bucket_files_max = bucket_files, .writeback_bytes = 64});
  REQUIRE(store.has_value());
  return std::move(*store);
}

/// Skips the real syncs, which only cost time where faults are injected above them.
struct NoSync final : FilesOver {
  NoSync() : FilesOver(posix_file_system()) {}
  Result<void> sync_data(int) override { return {}; }
  Result<void> sync_directory(const std::string&) override { return {}; }
};

std::set<std::string> names(const std::vector<Place>& places) {
  std::set<std::string> out;
  for (const Place& place : places) out.insert(place.name);
  return out;
}

std::string bucket_of(const Place& place) { return place.name.substr(0, place.name.find('/')); }

}  // namespace

TEST_CASE("the contract of a blob store") {
  TemporaryDirectory directory;
  const std::string kind = GENERATE("local", "memory");
  INFO(kind);
  std::unique_ptr<BlobStore> store =
      kind == "local" ? open_local(posix_file_system(), directory.path() + "/data") : make_memory_blob_store();

  SECTION("bytes go in, get a place and come out") {
    auto staging = store->create(upload_id(1), "sidecar").value();
    CHECK(staging->size().value() == 0);
    CHECK(staging->write(as_bytes("hello "), 0).has_value());
    CHECK(staging->write(as_bytes("worXX"), 6).has_value());
    CHECK(staging->truncate(9).has_value());
    CHECK(staging->write(as_bytes("ld"), 9).has_value());
    CHECK(staging->size().value() == 11);
    std::byte out[32];
    CHECK(staging->read(out, 6).value() == 5);
    CHECK(as_text(Bytes(out, 5)) == "world");
    CHECK(staging->read(out, 11).value() == 0);

    const oci::Digest digest = oci::sha256("hello world");
    const Place place = store->publish(std::move(staging), upload_id(1), digest).value();
    CHECK(place.name.find("/sha256-" + digest.hex() + "." + upload_id(1)) != std::string::npos);
    CHECK(check_place(place).has_value());
    CHECK(content_at(*store, place) == "hello world");
    CHECK(store->staged().value().empty());
    CHECK(store->recent_places().value() == std::vector<Place>{place});
  }
  SECTION("sha512 and empty content") {
    auto staging = store->create(upload_id(1), "").value();
    const oci::Digest digest = oci::hash(oci::Algorithm::sha512, {});
    const Place place = store->publish(std::move(staging), upload_id(1), digest).value();
    CHECK(place.name.find("/sha512-") != std::string::npos);
    CHECK(store->open(place).value().size == 0);
  }
  SECTION("the same content twice has two places, and each goes alone") {
    const Place first = push(*store, 1, "same").value();
    const Place second = push(*store, 2, "same").value();
    CHECK(first.name != second.name);
    auto open = store->open(first).value();
    CHECK(store->remove(first).has_value());
    CHECK(store->remove(first).has_value());
    CHECK(content_of(open) == "same");  // who has it open reads on
    CHECK(store->open(first).failed_with(ErrorCode::corrupt));
    CHECK(content_at(*store, second) == "same");
    CHECK(store->recent_places().value() == std::vector<Place>{second});
  }
  SECTION("sessions are found with their sidecars and go on") {
    for (int n = 1; n <= 3; ++n) {
      auto staging = store->create(upload_id(n), std::string("side\0car\n", 9) + std::to_string(n)).value();
      CHECK(staging->write(as_bytes("abc"), 0).has_value());
    }
    CHECK(store->discard(upload_id(2)).has_value());
    CHECK(store->discard(upload_id(2)).has_value());
    auto staged = store->staged().value();
    REQUIRE(staged.size() == 2);
    std::sort(staged.begin(), staged.end(), [](auto& a, auto& b) { return a.upload_id < b.upload_id; });
    CHECK(staged[1].upload_id == upload_id(3));
    CHECK(staged[1].sidecar == std::string("side\0car\n3", 10));
    CHECK(staged[1].size == 3);

    auto again = store->reopen(upload_id(3)).value();
    CHECK(again->size().value() == 3);
    CHECK(again->write(as_bytes("def"), 3).has_value());
    const Place place = store->publish(std::move(again), upload_id(3), oci::sha256("abcdef")).value();
    CHECK(content_at(*store, place) == "abcdef");
  }
  SECTION("what is not there") {
    CHECK(store->reopen(upload_id(9)).failed_with(ErrorCode::io_error));
    const Place nowhere{"00000001/" + place_file_name(oci::sha256(""), upload_id(9))};
    CHECK(store->open(nowhere).failed_with(ErrorCode::corrupt));
    CHECK(store->remove(nowhere).has_value());
    auto first = store->create(upload_id(1), "").value();
    CHECK(store->create(upload_id(1), "").failed_with(ErrorCode::io_error));
  }
  SECTION("a failed create leaves the session that has the id") {
    auto first = store->create(upload_id(1), "mine").value();
    CHECK(store->create(upload_id(1), "yours").failed_with(ErrorCode::io_error));
    REQUIRE(store->staged().value().size() == 1);
    CHECK(store->staged().value()[0].sidecar == "mine");
  }
  SECTION("nothing but an upload id becomes a file name") {
    const std::string bad = GENERATE(as<std::string>{}, "", "../../etc/passwd", "0000000g-0000-4000-8000-000000000001",
                                     "00000000-0000-4000-8000-00000000000A", "../../../../../../../../../tmp/x/y/z/aa",
                                     "00000000-0000-4000-8000-0000000000011");
    CHECK(store->create(bad, "").failed_with(ErrorCode::internal));
    CHECK_FALSE(store->reopen(bad).has_value());
    CHECK(store->discard(bad).failed_with(ErrorCode::internal));
  }
  SECTION("nothing but a place is opened") {
    const std::string good = place_file_name(oci::sha256(""), upload_id(1));
    const std::string bad = GENERATE_COPY(as<std::string>{}, "", "x", good, "1/" + good, "00000000/" + good, "../" + good,
                                          "00000001/../" + good, "00000001/" + good + "0", "00000001/../../passwd",
                                          "00000001/sha256-", "00000001/md5-" + good.substr(7));
    CHECK(store->open(Place{bad}).failed_with(ErrorCode::corrupt));
    CHECK(store->remove(Place{bad}).failed_with(ErrorCode::corrupt));
  }
  SECTION("a staging object publishes its own upload only") {
    auto staging = store->create(upload_id(1), "").value();
    CHECK(store->publish(std::move(staging), upload_id(2), oci::sha256("")).failed_with(ErrorCode::internal));
    CHECK(store->publish(nullptr, upload_id(2), oci::sha256("")).failed_with(ErrorCode::internal));
  }
  SECTION("many threads at once") {
    constexpr int kThreads = 8, kEach = 40;
    std::vector<std::vector<Result<Place>>> places(kThreads);
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < kEach; ++i) {
          const int n = t * kEach + i;
          places[t].push_back(push(*store, n, "content " + std::to_string(n)));
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    std::set<std::string> seen;
    for (int t = 0; t < kThreads; ++t) {
      for (int i = 0; i < kEach; ++i) {
        REQUIRE(places[t][i].has_value());
        CHECK(seen.insert(places[t][i]->name).second);
        CHECK(content_at(*store, *places[t][i]) == "content " + std::to_string(t * kEach + i));
      }
    }
    CHECK(store->staged().value().empty());
  }
}

TEST_CASE("names of buckets and files") {
  CHECK(bucket_name(1) == "00000001");
  CHECK(bucket_name(123456789) == "123456789");
  CHECK(parse_bucket_name("00000042") == 42u);
  CHECK(parse_bucket_name("123456789") == 123456789u);
  for (const char* bad : {"", "1", "00000000", "0000001x", "-0000001", "012345678", "99999999999"}) {
    CHECK_FALSE(parse_bucket_name(bad).has_value());
  }
  const std::string file = place_file_name(oci::hash(oci::Algorithm::sha512, {}), upload_id(1));
  CHECK(is_place_file_name(file));
  CHECK_FALSE(is_place_file_name(file.substr(1)));
  CHECK_FALSE(is_place_file_name("sha256" + file.substr(6)));
}

TEST_CASE("a restart of the local store") {
  TemporaryDirectory directory;
  FileSystem& files = posix_file_system();
  const std::string path = directory.path() + "/data";
  auto store = open_local(files, path, 4);

  SECTION("finds every blob and goes on in the bucket that is less than half full") {
    const Place first = push(*store, 1, "one").value();
    store = open_local(files, path + "//", 4);
    const Place second = push(*store, 2, "two").value();
    CHECK(content_at(*store, first) == "one");
    CHECK(bucket_of(first) == bucket_of(second));
    CHECK(names(store->recent_places().value()) == names({first, second}));
  }
  SECTION("takes a new bucket when the last is past half, and no more folders however often") {
    std::vector<Place> places;
    for (int n = 0; n < 3; ++n) places.push_back(push(*store, n, "x").value());
    CHECK(bucket_of(places[0]) == bucket_of(places[2]));
    for (int i = 0; i < 5; ++i) store = open_local(files, path, 4);
    places.push_back(push(*store, 10, "y").value());
    CHECK(bucket_of(places[3]) > bucket_of(places[2]));
    CHECK(files.list(path + "/blobs").value().size() == 3);
    CHECK(names(store->recent_places().value()) == names(places));
  }
  SECTION("finds the newest two buckets that hold files") {
    std::vector<Place> places;
    for (int n = 0; n < 10; ++n) places.push_back(push(*store, n, "x").value());
    CHECK(bucket_of(places[3]) < bucket_of(places[4]));
    CHECK(bucket_of(places[7]) < bucket_of(places[8]));
    store = open_local(files, path, 4);
    CHECK(names(store->recent_places().value()) == names({places.begin() + 4, places.end()}));
  }
  SECTION("when all was removed uses the folders that are there") {
    std::vector<Place> places;
    for (int n = 0; n < 10; ++n) places.push_back(push(*store, n, "x").value());
    for (const Place& place : places) REQUIRE(store->remove(place).has_value());
    const std::size_t folders = files.list(path + "/blobs").value().size();
    store = open_local(files, path, 4);
    CHECK(store->recent_places().value().empty());
    for (int n = 10; n < 20; ++n) REQUIRE(push(*store, n, "x").has_value());
    CHECK(files.list(path + "/blobs").value().size() == folders);
  }
  SECTION("drops sessions that are not whole and nothing else") {
    const std::string uploads = path + "/uploads/";
    const auto write = [&](const std::string& name, const std::string& text) {
      auto fd = files.open(uploads + name, OpenMode::create_new);
      REQUIRE(fd.has_value());
      REQUIRE(files.write_at(fd->get(), as_bytes(text), 0).has_value());
    };
    auto whole = store->create(upload_id(1), "whole").value();
    write(upload_id(2), "no sidecar");
    write(upload_id(3) + ".session", "no file");
    write(upload_id(4), "empty sidecar");
    write(upload_id(4) + ".session", "");
    write(upload_id(5), "wrong sum");
    write(upload_id(5) + ".session", oci::sha256("x").to_string() + "\ny");
    write(upload_id(6), "a sidecar of zeros");
    write(upload_id(6) + ".session", std::string(100, '\0'));
    write("lost+found", "not ours");
    store = open_local(files, path, 4);
    const auto staged = store->staged().value();
    REQUIRE(staged.size() == 1);
    CHECK(staged[0].sidecar == "whole");
    auto left = files.list(uploads).value();
    std::sort(left.begin(), left.end());
    CHECK(left == std::vector<std::string>{upload_id(1), upload_id(1) + ".session", "lost+found"});
  }
}

TEST_CASE("early write-back follows the writes") {
  /// Remembers what it was asked for.
  struct Hints : FilesOver {
    using FilesOver::FilesOver;
    void start_writeback(int, std::uint64_t offset, std::uint64_t size) override { seen.emplace_back(offset, size); }
    std::vector<std::pair<std::uint64_t, std::uint64_t>> seen;
  };
  TemporaryDirectory directory;
  Hints files(posix_file_system());
  auto store = open_local(files, directory.path());  // every 64 bytes
  auto staging = store->create(upload_id(1), "").value();
  for (std::uint64_t offset = 0; offset < 200; offset += 40) {
    REQUIRE(staging->write(as_bytes(std::string(40, 'x')), offset).has_value());
  }
  CHECK(files.seen == std::vector<std::pair<std::uint64_t, std::uint64_t>>{{0, 80}, {80, 80}});
  files.seen.clear();
  REQUIRE(staging->truncate(10).has_value());
  REQUIRE(staging->write(as_bytes(std::string(70, 'x')), 10).has_value());
  CHECK(files.seen == std::vector<std::pair<std::uint64_t, std::uint64_t>>{{10, 70}});
}

TEST_CASE("one folder sync serves all who wait, and each answer covers its own change") {
  /// Holds every sync of a folder until it is let go.
  struct Gate : FilesOver {
    using FilesOver::FilesOver;
    Result<void> sync_directory(const std::string&) override {
      std::unique_lock lock(mutex);
      const int mine = ++begun;
      changed.notify_all();
      changed.wait(lock, [&] { return allowed >= mine; });
      if (mine == failing) return error_from_errno(EIO, "gate");
      return {};
    }
    void wait_begun(int n) {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return begun >= n; });
    }
    void allow(int n) {
      const std::lock_guard lock(mutex);
      allowed = n;
      changed.notify_all();
    }
    std::mutex mutex;
    std::condition_variable changed;
    int begun = 0, allowed = 0, failing = 0;
  };
  Gate files(posix_file_system());
  GroupSync group(files, "folder");
  files.failing = 2;

  std::vector<Result<void>> outcomes(6);
  std::vector<std::thread> threads;
  threads.emplace_back([&] { outcomes[0] = group.sync(); });
  files.wait_begun(1);
  for (int i = 1; i < 6; ++i) {
    threads.emplace_back([&, i] { outcomes[i] = group.sync(); });
  }
  // All five are about to wait; those who are not yet would begin a third sync, which is right as well but fails no one.
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  files.allow(100);
  for (std::thread& thread : threads) thread.join();
  CHECK(outcomes[0].has_value());
  CHECK(files.begun <= 3);
  const auto failed = std::count_if(outcomes.begin(), outcomes.end(), [](auto& o) { return !o.has_value(); });
  CHECK(failed >= 1);
  if (files.begun == 2) CHECK(failed == 5);
}

TEST_CASE("after a failed write or sync the bytes are not trusted again") {
  TemporaryDirectory directory;
  FaultyFiles files(posix_file_system());
  auto store = open_local(files, directory.path());
  auto staging = store->create(upload_id(1), "").value();
  REQUIRE(staging->write(as_bytes("abc"), 0).has_value());

  SECTION("a write that failed") {
    files.arm({.effect = FileFault::Effect::part, .calls = {FileCall::write}});
    CHECK(staging->write(as_bytes("def"), 3).failed_with(ErrorCode::io_error));
    CHECK(staging->write(as_bytes("def"), 3).failed_with(ErrorCode::io_error));
    CHECK(store->publish(std::move(staging), upload_id(1), oci::sha256("abcdef")).failed_with(ErrorCode::io_error));
  }
  SECTION("but a full disk is waited out") {
    files.arm({.error_number = ENOSPC, .effect = FileFault::Effect::part, .calls = {FileCall::write}});
    CHECK(staging->write(as_bytes("def"), 3).failed_with(ErrorCode::storage_full));
    CHECK(staging->write(as_bytes("def"), 3).has_value());
    const auto place = store->publish(std::move(staging), upload_id(1), oci::sha256("abcdef"));
    REQUIRE(place.has_value());
    CHECK(content_at(*store, *place) == "abcdef");
  }
  SECTION("a sync that failed drops the staging file at once") {
    files.arm({.calls = {FileCall::sync_data}});
    CHECK(store->publish(std::move(staging), upload_id(1), oci::sha256("abc")).failed_with(ErrorCode::io_error));
    CHECK(store->staged().value().empty());
    CHECK(store->recent_places().value().empty());
  }
}

TEST_CASE("when the next bucket cannot be made, the one in use takes more") {
  TemporaryDirectory directory;
  FaultyFiles files(posix_file_system());
  auto store = open_local(files, directory.path(), 4);
  files.arm({.sticky = true, .error_number = ENOSPC, .calls = {FileCall::make_directory}});
  std::vector<Place> places;
  for (int n = 0; n < 40; ++n) places.push_back(push(*store, n, "x").value());
  CHECK(bucket_of(places.back()) == "00000002");  // the one made ahead at the start
  files.disarm();
  for (int n = 40; n < 80; ++n) places.push_back(push(*store, n, "x").value());
  CHECK(bucket_of(places.back()) > "00000002");
}

TEST_CASE("a full disk does not keep the store from starting") {
  TemporaryDirectory directory;
  FaultyFiles files(posix_file_system());
  std::vector<Place> places;
  {
    auto store = open_local(files, directory.path(), 4);
    for (int n = 0; n < 3; ++n) places.push_back(push(*store, n, "x").value());
  }
  REQUIRE(files.list(directory.path() + "/blobs").value().size() == 2);
  REQUIRE(std::filesystem::remove(directory.path() + "/blobs/00000002"));
  /// Making a folder that is not there takes room.
  struct Full : FilesOver {
    using FilesOver::FilesOver;
    Result<void> make_directory(const std::string& path) override {
      BERTH_TRY(const bool there, base_.exists(path));
      return there ? Result<void>() : error_from_errno(ENOSPC, "mkdir");
    }
  };
  Full full(posix_file_system());
  auto store = open_local(full, directory.path(), 4);
  CHECK(content_at(*store, places[0]) == "x");
  CHECK(store->remove(places[0]).has_value());
  CHECK(bucket_of(push(*store, 10, "y").value()) == "00000001");
}

TEST_CASE("every call of a push may fail: a clean error, nothing acknowledged lost") {
  const int error_number = GENERATE(EIO, ENOSPC);
  const bool sticky = GENERATE(false, true);
  const auto effect = GENERATE(FileFault::Effect::none, FileFault::Effect::part, FileFault::Effect::whole);
  for (std::uint64_t nth = 1;; ++nth) {
    REQUIRE(nth < 200);
    TemporaryDirectory directory;
    NoSync disk;
    FaultyFiles files(disk);
    std::map<std::string, std::string> acknowledged;
    {
      auto store = open_local(files, directory.path(), 4);
      files.arm({.nth = nth, .sticky = sticky, .error_number = error_number, .effect = effect});
      for (int n = 0; n < 8; ++n) {  // two rolls of the bucket
        const std::string content = "content " + std::to_string(n);
        const auto place = push(*store, n, content);
        if (place.has_value()) {
          acknowledged[place->name] = content;
        } else {
          CHECK(place.error().code == (error_number == EIO ? ErrorCode::io_error : ErrorCode::storage_full));
        }
      }
    }
    INFO("call " << nth << ", " << to_string(files.fired_at()) << ", sticky " << sticky << ", errno " << error_number);
    const bool fired = files.fired();
    files.disarm();
    auto store = open_local(files, directory.path(), 4);
    for (const auto& [name, content] : acknowledged) CHECK(content_at(*store, Place{name}) == content);
    CHECK(store->staged().has_value());
    CHECK(push(*store, 100, "afterwards").has_value());
    if (!fired) {
      CHECK(acknowledged.size() == 8);
      break;
    }
  }
}

TEST_CASE("after a power cut at any call everything that was published is there and whole") {
  const auto unsynced_names = GENERATE(ForgetfulFiles::Names::lost, ForgetfulFiles::Names::kept);
  for (std::uint64_t nth = 1;; ++nth) {
    INFO("power off at call " << nth << ", names " << static_cast<int>(unsynced_names));
    REQUIRE(nth < 400);
    TemporaryDirectory directory;
    NoSync no_sync;
    ForgetfulFiles disk(no_sync, directory.path());
    FaultyFiles files(disk);
    std::map<std::string, std::string> acknowledged;
    // From the making of the data directory on; no call reaches the disk after the cut.
    files.arm({.nth = nth, .sticky = true});
    for (int run = 0; run < 2; ++run) {
      auto store = open_local_blob_store(
          files, LocalBlobStoreOptions{.directory = directory.path() + "/data", .bucket_files_max = 4});
      if (!store.has_value()) continue;
      for (int n = 0; n < 6; ++n) {
        const std::string content = std::to_string(run) + " content " + std::to_string(n);
        const auto place = push(**store, run * 10 + n, content);
        if (place.has_value()) acknowledged[place->name] = content;
      }
      auto unfinished = (*store)->create(upload_id(run * 10 + 9), "sidecar");
      if (unfinished.has_value()) ignore((*unfinished)->write(as_bytes("half"), 0));
    }
    const bool cut = files.fired();
    files.disarm();
    disk.crash(unsynced_names);

    auto store = open_local(files, directory.path() + "/data", 4);
    for (const auto& [name, content] : acknowledged) CHECK(content_at(*store, Place{name}) == content);
    const auto staged = store->staged();
    REQUIRE(staged.has_value());
    for (const StagedUpload& upload : *staged) CHECK(upload.sidecar.starts_with("sidecar"));
    // What nobody was told about lies where a start looks.
    std::set<std::string> garbage;
    const auto buckets = files.list(directory.path() + "/data/blobs").value();
    for (const std::string& bucket : buckets) {
      const auto found = files.list(directory.path() + "/data/blobs/" + bucket).value();
      for (const std::string& name : found) {
        if (!acknowledged.contains(bucket + "/" + name)) garbage.insert(bucket + "/" + name);
      }
    }
    CHECK(garbage.size() <= 1);
    const auto recent = names(store->recent_places().value());
    for (const std::string& name : garbage) CHECK(recent.contains(name));
    CHECK(push(*store, 100, "afterwards").has_value());
    if (!cut) {
      CHECK(acknowledged.size() == 12);
      break;
    }
  }
}

TEST_CASE("after a power cut a removed file is back unless its removal was synced") {
  TemporaryDirectory directory;
  NoSync no_sync;
  ForgetfulFiles disk(no_sync, directory.path());
  FaultyFiles files(disk);
  auto store = open_local(files, directory.path() + "/data", 2);
  std::vector<Place> places;
  for (int n = 0; n < 6; ++n) places.push_back(push(*store, n, "content " + std::to_string(n)).value());
  REQUIRE(bucket_of(places.front()) != bucket_of(places.back()));
  const auto remove_all = [&] {
    for (const Place& place : places) CHECK(store->remove(place).has_value());
  };
  const auto there = [&] {
    std::size_t count = 0;
    for (const Place& place : places) count += store->open(place).has_value() ? 1 : 0;
    return count;
  };
  remove_all();
  store.reset();
  disk.crash(ForgetfulFiles::Names::lost);
  store = open_local(files, directory.path() + "/data", 2);
  CHECK(there() == places.size());

  remove_all();
  files.arm({.nth = 2, .calls = {FileCall::sync_directory}});
  CHECK(store->sync_removals(places).failed_with(ErrorCode::io_error));
  CHECK(store->sync_removals(places).has_value());
  store.reset();
  disk.crash(ForgetfulFiles::Names::lost);
  store = open_local(files, directory.path() + "/data", 2);
  CHECK(there() == 0);
  CHECK(store->sync_removals({}).has_value());
  // Whoever took the folder took what was in it.
  std::filesystem::remove_all(directory.path() + "/data/blobs/" + bucket_of(places.front()));
  CHECK(store->sync_removals(std::span(places).first(1)).has_value());
}
