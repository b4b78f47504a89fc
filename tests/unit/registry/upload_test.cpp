#include "registry/upload.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <random>
#include <thread>

#include "tests/support/hooked_blobs.h"
#include "tests/support/test_registry.h"

namespace berth::registry {
namespace {

using test::Engines;
using test::TestRegistry;
using test::TestRegistryOptions;

constexpr const char* kRepository = "team/app";
constexpr std::size_t kSmall = 40'000;
constexpr std::size_t kLarge = 900'000;

std::string content(std::size_t size, std::uint64_t seed = 1) {
  std::mt19937_64 random(seed);
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

template <class T>
std::string code(const Result<T>& result) {
  return result ? "ok" : std::string(to_string(result.error().code));
}

TestRegistryOptions over(Engines engines) {
  TestRegistryOptions options;
  options.engines = engines;
  return options;
}

/// Waits for jobs in the background (files that are discarded, sessions that are handed on).
template <class Condition>
bool soon(Condition condition) {
  for (int i = 0; i < 2000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return condition();
}

bool nothing_staged(TestRegistry& registry) {
  return soon([&] { return registry.blobs().staged().value().empty(); });
}

/// One way for a client to move a blob in.
struct Way {
  const char* name;
  bool single_request;
  std::size_t chunk;        ///< bytes a PATCH; 0: none, all of it comes with the PUT
  bool restart;             ///< kill -9 after the first chunk
};

Result<void> push(TestRegistry& registry, const Way& way, const std::string& bytes, const oci::Digest& digest) {
  BERTH_TRY(auto upload, registry.start_upload(kRepository, oci::Algorithm::sha256, way.single_request));
  const std::string id = upload->id();
  std::size_t done = 0;
  while (way.chunk != 0 && done < bytes.size()) {
    const std::string chunk = bytes.substr(done, way.chunk);
    upload.reset();
    BERTH_TRY(upload, registry.claim_upload(kRepository, id));
    BERTH_CHECK(registry.append(*upload, chunk));
    BERTH_CHECK(registry.run(upload->flush()));
    done += chunk.size();
    if (upload->offset() != done) return make_error(ErrorCode::internal, "a wrong offset");
    if (way.restart && done == chunk.size()) {
      upload.reset();
      registry.reopen(TestRegistry::End::killed);
      BERTH_TRY(const std::uint64_t offset, registry.run(registry->upload_offset(
                                                TestRegistry::actor(), TestRegistry::name(kRepository), id)));
      if (offset != done) return make_error(ErrorCode::internal, "a wrong offset after the restart");
      BERTH_TRY(upload, registry.claim_upload(kRepository, id));
    }
  }
  if (!way.single_request) {
    upload.reset();
    BERTH_TRY(upload, registry.claim_upload(kRepository, id));
  }
  BERTH_CHECK(registry.append(*upload, bytes.substr(done)));
  return registry.run(upload->commit(digest));
}

TEST_CASE("every way of pushing, every size, both algorithms, over memory and over files") {
  const Engines engines = GENERATE(Engines::memory, Engines::files);
  const Way way = GENERATE(Way{"POST with the body", true, 0, false}, Way{"POST and PUT with the body", false, 0, false},
                           Way{"one PATCH", false, 10'000'000, false}, Way{"chunks", false, 100'000, false},
                           Way{"chunks and a restart", false, 30'000, true});
  TestRegistry registry(over(engines));
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, kSmall, std::size_t{128 << 10},
                                 std::size_t{(128 << 10) + 1}, kLarge}) {
    for (const auto algorithm : {oci::Algorithm::sha256, oci::Algorithm::sha512}) {
      if (way.restart && size == 0) continue;  // a session without a byte does not outlive a restart
      CAPTURE(way.name, size, to_string(algorithm));
      const std::string bytes = content(size, size + 7);
      const oci::Digest digest = oci::hash(algorithm, as_bytes(bytes));
      REQUIRE(code(push(registry, way, bytes, digest)) == "ok");
      const auto pulled = registry.pull_blob(kRepository, digest);
      REQUIRE(code(pulled) == "ok");
      REQUIRE(*pulled == bytes);
    }
  }
  CHECK(nothing_staged(registry));
  CHECK(registry.local().core().uploads.size() == 0);
  CHECK(registry.local().core().upload_memory.in_use_bytes() == 0);
}

TEST_CASE("a request says what it waited for, and nobody who does not ask pays for it") {
  using Duration = Waits::Duration;
  TestRegistry registry(over(Engines::files));
  Actor actor = TestRegistry::actor();
  Waits waits;
  actor.waits = &waits;
  const auto before = std::chrono::steady_clock::now();
  const auto push_as = [&](const Actor& who, const std::string& bytes) {
    auto upload =
        registry.run(registry->start_upload(who, TestRegistry::name(kRepository), oci::Algorithm::sha256, true));
    REQUIRE(code(upload) == "ok");
    REQUIRE(code(registry.append(**upload, bytes)) == "ok");
    REQUIRE(code(registry.run((*upload)->commit(oci::sha256(bytes)))) == "ok");
  };
  push_as(actor, content(kLarge));
  const Waits large = *actor.waits;
  CHECK(large.write > Duration{});
  CHECK(large.hash > Duration{});
  CHECK(large.file > Duration{});
  CHECK(large.commit > Duration{});
  CHECK(large.write + large.hash + large.file + large.commit <= std::chrono::steady_clock::now() - before);

  *actor.waits = {};
  push_as(actor, content(1000));
  CHECK(actor.waits->file == Duration{});  // small content goes into the index
  CHECK(actor.waits->commit > Duration{});

  *actor.waits = {};
  push_as(TestRegistry::actor(), content(kLarge, 2));
  PutManifestRequest request{.repository = TestRegistry::name(kRepository),
                             .reference = TestRegistry::tag("t"),
                             .content_type = "application/vnd.oci.image.manifest.v1+json",
                             .body = TestRegistry::image_manifest({content(1000)}),
                             .extra_tags = {},
                             .expected_digest = {},
                             .precondition = {}};
  CHECK(actor.waits->commit == Duration{});
  REQUIRE(code(registry.run(registry->put_manifest(actor, std::move(request)))) == "ok");
  CHECK(actor.waits->commit > Duration{});
  *actor.waits = {};
  REQUIRE(code(registry.run(registry->delete_tag(actor, TestRegistry::name(kRepository), TestRegistry::tag("t"), {},
                                                 TagSet::everything()))) == "ok");
  CHECK(actor.waits->commit > Duration{});

  *actor.waits = {};
  const oci::Digest in_file = oci::sha256(content(kLarge)), in_index = oci::sha256(content(1000));
  REQUIRE(code(registry.run(registry->open_blob(actor, TestRegistry::name(kRepository), in_file))) == "ok");
  CHECK(actor.waits->read > Duration{});  // its file is opened
  CHECK(actor.waits->queue > Duration{});
  REQUIRE(code(registry.run(registry->open_blob(actor, TestRegistry::name(kRepository), in_index))) == "ok");
  *actor.waits = {};
  REQUIRE(code(registry.run(registry->open_blob(actor, TestRegistry::name(kRepository), in_index))) == "ok");
  CHECK(actor.waits->read == Duration{});  // from memory
  CHECK(actor.waits->queue == Duration{});
}

TEST_CASE("content that does not hash to its digest is refused and leaves nothing") {
  const std::size_t size = GENERATE(std::size_t{0}, kSmall, kLarge);
  const bool patched = GENERATE(false, true);
  TestRegistry registry(over(Engines::files));
  auto upload = registry.start_upload(kRepository).value();
  const std::string id = upload->id();
  REQUIRE(code(registry.append(*upload, content(size))) == "ok");
  if (patched) REQUIRE(code(registry.run(upload->flush())) == "ok");
  const oci::Digest wrong = oci::sha256("something else");
  CHECK(code(registry.run(upload->commit(wrong))) == "digest_mismatch");
  upload.reset();
  CHECK(code(registry.claim_upload(kRepository, id)) == "upload_unknown");
  CHECK(code(registry.pull_blob(kRepository, wrong)) == "blob_unknown");
  CHECK(code(registry.pull_blob(kRepository, oci::sha256(content(size)))) == "blob_unknown");
  CHECK(nothing_staged(registry));
  CHECK(registry.blobs().recent_places().value().empty());
}

TEST_CASE("a session belongs to its repository and its actor") {
  TestRegistry registry;
  const std::string id = registry.start_upload(kRepository).value()->id();
  const auto name = TestRegistry::name(kRepository);
  CHECK(code(registry.claim_upload("team/other", id)) == "upload_unknown");
  CHECK(code(registry.run(registry->claim_upload(TestRegistry::actor(7), name, id))) == "upload_unknown");
  CHECK(code(registry.run(registry->upload_offset(TestRegistry::actor(7), name, id))) == "upload_unknown");
  CHECK(code(registry.claim_upload(kRepository, "00000000-0000-4000-8000-000000000000")) == "upload_unknown");
  CHECK(code(registry.claim_upload(kRepository, id)) == "ok");
}

TEST_CASE("bytes of a request that was cut off are kept, also when nobody flushed") {
  const std::size_t size = GENERATE(kSmall, kLarge);
  TestRegistry registry(over(Engines::files));
  auto upload = registry.start_upload(kRepository).value();
  const std::string id = upload->id();
  REQUIRE(code(registry.append(*upload, content(size))) == "ok");
  upload.reset();  // in the middle of the body
  auto again = registry.claim_upload(kRepository, id).value();
  CHECK(again->offset() == size);
  again.reset();
  registry.local().core().disk.wait();
  registry.reopen(TestRegistry::End::killed);
  again = registry.claim_upload(kRepository, id).value();
  CHECK(again->offset() == size);
  CHECK(code(registry.run(again->commit(oci::sha256(content(size))))) == "ok");
}

TEST_CASE("a chunk that is taken back leaves the session as it was") {
  const std::size_t before = GENERATE(std::size_t{0}, kSmall, kLarge);
  const std::size_t chunk = GENERATE(std::size_t{10}, kLarge);
  TestRegistry registry;
  const std::string first = content(before, 1), rest = content(50, 3);
  auto upload = registry.start_upload(kRepository).value();
  REQUIRE(code(registry.append(*upload, first)) == "ok");
  REQUIRE(code(registry.run(upload->flush())) == "ok");
  REQUIRE(code(registry.append(*upload, content(chunk, 2))) == "ok");
  REQUIRE(code(registry.run(upload->truncate(before))) == "ok");
  CHECK(upload->offset() == before);
  REQUIRE(code(registry.append(*upload, rest)) == "ok");
  CHECK(code(registry.run(upload->commit(oci::sha256(first + rest)))) == "ok");
  CHECK(registry.pull_blob(kRepository, oci::sha256(first + rest)).value() == first + rest);
}

TEST_CASE("limits: the size of a blob, the number of sessions, their idle time") {
  TestRegistryOptions options;
  options.registry.blob_bytes_max = kSmall;
  options.registry.uploads_open_max = 3;
  options.registry.upload_ttl = std::chrono::hours(1);
  TestRegistry registry(options);
  auto upload = registry.start_upload(kRepository).value();
  CHECK(code(registry.append(*upload, content(kSmall))) == "ok");
  CHECK(code(registry.append(*upload, "x")) == "denied");
  CHECK(upload->offset() == kSmall);
  CHECK(code(registry.run(upload->commit(oci::sha256(content(kSmall))))) == "ok");
  upload.reset();

  std::vector<std::string> ids;
  for (int i = 0; i < 3; ++i) {
    const auto used = registry.start_upload(kRepository).value();
    REQUIRE(code(registry.append(*used, "x")) == "ok");
    REQUIRE(code(registry.run(used->flush())) == "ok");
    ids.push_back(used->id());
  }
  CHECK(code(registry.start_upload(kRepository)) == "too_many_requests");
  registry.clock().advance(std::chrono::minutes(40));
  {
    const auto held = registry.claim_upload(kRepository, ids[0]).value();
    const auto used = registry.claim_upload(kRepository, ids[1]);
    registry.clock().jump_wall(std::chrono::hours(9000));
    registry.collect_now();
    CHECK(registry.local().core().uploads.size() == 3);  // a wall clock that jumps ends nothing
    registry.clock().advance(std::chrono::minutes(30));
    registry.collect_now();
  }
  CHECK(code(registry.claim_upload(kRepository, ids[0])) == "ok");
  CHECK(code(registry.claim_upload(kRepository, ids[1])) == "ok");
  CHECK(code(registry.claim_upload(kRepository, ids[2])) == "upload_unknown");
  CHECK(code(registry.start_upload(kRepository)) == "ok");
}

TEST_CASE("sessions that clients left behind empty do not keep others from pushing") {
  TestRegistryOptions options;
  options.registry.uploads_open_max = 4;
  TestRegistry registry(options);
  auto used = registry.start_upload(kRepository).value();
  const std::string used_id = used->id();
  REQUIRE(code(registry.append(*used, content(kSmall))) == "ok");
  REQUIRE(code(registry.run(used->flush())) == "ok");
  used.reset();
  std::vector<std::string> left;
  for (int i = 0; i < 2; ++i) left.push_back(registry.start_upload(kRepository).value()->id());
  registry.clock().advance(std::chrono::minutes(2));
  const auto young = registry.start_upload(kRepository).value()->id();
  REQUIRE(code(registry.start_upload(kRepository)) == "too_many_requests");
  registry.collect_now();
  for (const std::string& id : left) CHECK(code(registry.claim_upload(kRepository, id)) == "upload_unknown");
  CHECK(code(registry.claim_upload(kRepository, young)) == "ok");
  auto another = registry.start_upload(kRepository);
  REQUIRE(code(another) == "ok");
  CHECK(code(registry.run((*another)->cancel())) == "ok");
  // With room for more they have the time that is promised.
  registry.clock().advance(std::chrono::minutes(2));
  registry.collect_now();
  CHECK(code(registry.claim_upload(kRepository, young)) == "ok");
  CHECK(registry.claim_upload(kRepository, used_id).value()->offset() == kSmall);
}

TEST_CASE("one account cannot have all the sessions") {
  TestRegistryOptions options;
  options.registry.uploads_open_max = 6;
  options.registry.uploads_open_of_one_max = 3;
  TestRegistry registry(options);
  const auto open = [&registry](ActorId actor) {
    const auto name = oci::RepositoryName::parse(kRepository).value();
    return registry.run(registry->start_upload({actor, "test"}, name, oci::Algorithm::sha256, false));
  };
  constexpr ActorId kGreedy = 7, kOther = 8;
  std::vector<std::string> ids;
  for (int i = 0; i < 3; ++i) ids.push_back(open(kGreedy).value()->id());
  CHECK(code(open(kGreedy)) == "too_many_requests");
  CHECK(code(open(kOther)) == "ok");
  // One ends: its place is free again, for the same account too, and only once.
  const auto name = oci::RepositoryName::parse(kRepository).value();
  REQUIRE(code(registry.run(registry.run(registry->claim_upload({kGreedy, "test"}, name, ids[0])).value()->cancel())) == "ok");
  CHECK(code(open(kGreedy)) == "ok");
  CHECK(code(open(kGreedy)) == "too_many_requests");
  // Whoever has no name is everybody: up to the limit.
  CHECK(code(open(kAnonymousActor)) == "ok");
  CHECK(code(open(kAnonymousActor)) == "ok");
  CHECK(code(open(kOther)) == "too_many_requests");
}

TEST_CASE("an account has a tenth of the sessions, and all who have none have half") {
  TestRegistryOptions options;
  options.registry.uploads_open_max = 20;
  options.registry.uploads_open_of_nobody_max = 10;
  TestRegistry registry(options);
  const auto open = [&registry](ActorId actor) {
    const auto name = oci::RepositoryName::parse(kRepository).value();
    return registry.run(registry->start_upload({actor, "test"}, name, oci::Algorithm::sha256, false));
  };
  for (int i = 0; i < 2; ++i) CHECK(code(open(7)) == "ok");
  CHECK(code(open(7)) == "too_many_requests");
  for (int i = 0; i < 10; ++i) CHECK(code(open(kAnonymousActor)) == "ok");
  CHECK(code(open(kAnonymousActor)) == "too_many_requests");
  CHECK(code(open(8)) == "ok");
}

TEST_CASE("when few places are left, sessions end that nobody touched for an hour") {
  TestRegistryOptions options;
  options.registry.uploads_open_max = 8;
  options.registry.uploads_open_of_one_max = 8;
  TestRegistry registry(options);
  std::vector<std::string> ids;
  const auto start = [&] {
    const auto used = registry.start_upload(kRepository).value();
    REQUIRE(code(registry.append(*used, "x")) == "ok");
    REQUIRE(code(registry.run(used->flush())) == "ok");
    ids.push_back(used->id());
  };
  for (int i = 0; i < 6; ++i) start();
  registry.clock().advance(std::chrono::minutes(61));
  registry.collect_now();
  CHECK(registry.local().core().uploads.size() == 6);  // there is room for more
  start();
  registry.collect_now();
  CHECK(registry.local().core().uploads.size() == 1);
  CHECK(code(registry.claim_upload(kRepository, ids.back())) == "ok");
}

/// How many files of uploads/ this process has open.
std::size_t open_staging_files(TestRegistry& registry) {
  std::size_t count = 0;
  const std::string uploads = registry.directory() / "uploads";
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;  // the descriptor that lists them
    const auto target = std::filesystem::read_symlink(entry.path(), gone);
    if (!gone && target.string().starts_with(uploads)) ++count;
  }
  return count;
}

TEST_CASE("a session that nobody works on keeps no descriptor, and goes on where it was") {
  const std::size_t size = GENERATE(kSmall, kLarge);
  TestRegistry registry(over(Engines::files));
  std::vector<std::string> ids;
  const std::string first = content(size), second = content(size / 2);
  for (int i = 0; i < 3; ++i) {
    auto upload = registry.start_upload(kRepository).value();
    ids.push_back(upload->id());
    REQUIRE(code(registry.append(*upload, first)) == "ok");
    REQUIRE(code(registry.run(upload->flush())) == "ok");
  }
  CHECK(open_staging_files(registry) == 3);
  registry.clock().advance(std::chrono::minutes(1));
  registry.collect_now();
  CHECK(open_staging_files(registry) == 0);

  // Goes on as it is; is cut back first; and is cut back, left again, and goes on after a restart.
  auto upload = registry.claim_upload(kRepository, ids[0]).value();
  REQUIRE(code(registry.append(*upload, second)) == "ok");
  CHECK(code(registry.run(upload->commit(oci::sha256(first + second)))) == "ok");
  upload = registry.claim_upload(kRepository, ids[1]).value();
  REQUIRE(code(registry.run(upload->truncate(10))) == "ok");
  REQUIRE(code(registry.append(*upload, second)) == "ok");
  CHECK(code(registry.run(upload->commit(oci::sha256(first.substr(0, 10) + second)))) == "ok");
  upload = registry.claim_upload(kRepository, ids[2]).value();
  REQUIRE(code(registry.run(upload->truncate(10))) == "ok");
  upload.reset();
  registry.clock().advance(std::chrono::minutes(1));
  registry.collect_now();
  registry.reopen(TestRegistry::End::killed);
  upload = registry.claim_upload(kRepository, ids[2]).value();
  CHECK(upload->offset() == 10);
  CHECK(code(registry.run(upload->commit(oci::sha256(first.substr(0, 10))))) == "ok");
  CHECK(registry.pull_blob(kRepository, oci::sha256(first + second)).value() == first + second);
}

TEST_CASE("a session outlives a moment without descriptors") {
  std::atomic<bool> failing{false};
  TestRegistryOptions options = over(Engines::files);
  options.wrap_blobs = [&](std::unique_ptr<storage::BlobStore> blobs) {
    auto hook = [&](std::string_view operation) -> Result<void> {
      const bool opens = operation == "reopen" || operation == "create";
      return failing && opens ? storage::error_from_errno(EMFILE, "open") : Result<void>();
    };
    return std::make_unique<test::HookedBlobs>(std::move(blobs), hook);
  };
  TestRegistry registry(options);
  auto upload = registry.start_upload(kRepository).value();
  const std::string id = upload->id();
  failing = true;
  REQUIRE(code(registry.append(*upload, content(kSmall))) == "ok");
  CHECK(code(registry.run(upload->flush())) == "unavailable");
  failing = false;
  REQUIRE(code(registry.append(*upload, content(kLarge))) == "ok");
  REQUIRE(code(registry.run(upload->flush())) == "ok");
  upload.reset();
  registry.collect_now();
  failing = true;
  CHECK(code(registry.claim_upload(kRepository, id)) == "unavailable");
  failing = false;
  const std::string whole = content(kSmall) + content(kLarge);
  upload = registry.claim_upload(kRepository, id).value();
  CHECK(upload->offset() == whole.size());
  CHECK(code(registry.run(upload->commit(oci::sha256(whole)))) == "ok");
  CHECK(registry.pull_blob(kRepository, oci::sha256(whole)).value() == whole);
}

TEST_CASE("a chunk that is taken back does not have the whole session read again") {
  std::atomic<int> reads{0};
  TestRegistryOptions options = over(Engines::files);
  options.wrap_blobs = [&](std::unique_ptr<storage::BlobStore> blobs) {
    auto hook = [&](std::string_view operation) -> Result<void> {
      if (operation == "read") ++reads;
      return {};
    };
    return std::make_unique<test::HookedBlobs>(std::move(blobs), hook);
  };
  TestRegistry registry(options);
  auto upload = registry.start_upload(kRepository).value();
  const std::string id = upload->id();
  REQUIRE(code(registry.append(*upload, content(kLarge))) == "ok");
  REQUIRE(code(registry.run(upload->flush())) == "ok");
  for (int request = 0; request < 3; ++request) {
    upload.reset();
    upload = registry.claim_upload(kRepository, id).value();
    REQUIRE(upload->offset() == kLarge);
    REQUIRE(code(registry.append(*upload, content(kSmall))) == "ok");
    REQUIRE(code(registry.run(upload->truncate(kLarge))) == "ok");
  }
  CHECK(code(registry.run(upload->commit(oci::sha256(content(kLarge))))) == "ok");
  CHECK(reads == 0);
  CHECK(registry.pull_blob(kRepository, oci::sha256(content(kLarge))).value() == content(kLarge));
}

TEST_CASE("idle sessions of small content do not keep the memory for it") {
  TestRegistry registry(over(Engines::files));
  auto upload = registry.start_upload(kRepository).value();
  const std::string id = upload->id();
  REQUIRE(code(registry.append(*upload, content(kSmall))) == "ok");
  REQUIRE(code(registry.run(upload->flush())) == "ok");
  CHECK(registry.local().core().upload_memory.in_use_bytes() == kSmall);
  upload.reset();
  registry.collect_now();
  CHECK(registry.local().core().upload_memory.in_use_bytes() == 0);
  upload = registry.claim_upload(kRepository, id).value();
  CHECK(upload->offset() == kSmall);
  CHECK(code(registry.run(upload->commit(oci::sha256(content(kSmall))))) == "ok");
  CHECK(registry.pull_blob(kRepository, oci::sha256(content(kSmall))).value() == content(kSmall));
}

TEST_CASE("an expired session leaves no file") {
  TestRegistryOptions options = over(Engines::files);
  options.registry.upload_ttl = std::chrono::hours(1);
  TestRegistry registry(options);
  auto upload = registry.start_upload(kRepository).value();
  REQUIRE(code(registry.append(*upload, content(kLarge))) == "ok");
  REQUIRE(code(registry.run(upload->flush())) == "ok");
  upload.reset();
  registry.reopen(TestRegistry::End::killed);
  registry.clock().advance(std::chrono::minutes(59));  // idle time counts from the start
  registry.collect_now();
  CHECK(registry.blobs().staged().value().size() == 1);
  registry.clock().advance(std::chrono::minutes(1));
  registry.collect_now();
  CHECK(nothing_staged(registry));
}

TEST_CASE("a cancelled session is gone with its bytes, and a push in one request never leaves any") {
  TestRegistry registry(over(Engines::files));
  auto upload = registry.start_upload(kRepository).value();
  const std::string id = upload->id();
  REQUIRE(code(registry.append(*upload, content(kLarge))) == "ok");
  CHECK(code(registry.run(upload->cancel())) == "ok");
  CHECK(code(registry.append(*upload, "x")) == "upload_unknown");
  upload.reset();
  CHECK(code(registry.claim_upload(kRepository, id)) == "upload_unknown");
  upload = registry.start_upload(kRepository, oci::Algorithm::sha256, true).value();
  REQUIRE(code(registry.append(*upload, content(kLarge))) == "ok");
  upload.reset();  // the connection was lost
  CHECK(nothing_staged(registry));
  CHECK(soon([&] { return registry.local().core().uploads.size() == 0; }));
}

TEST_CASE("a newer request takes a session over from an older one") {
  TestRegistry registry;
  auto older = registry.start_upload(kRepository).value();
  const std::string id = older->id();
  REQUIRE(code(registry.append(*older, content(kSmall))) == "ok");
  int interrupts = 0;
  older->on_superseded([&] { ++interrupts; });

  // The first newer one waits; the second takes its place in line; the older one is told once.
  struct Claimed {
    std::string code;
    std::unique_ptr<Upload> upload;
  };
  Claimed second, third;
  const Actor actor = TestRegistry::actor();
  const auto name = TestRegistry::name(kRepository);
  const auto claim = [&](Claimed& into) {
    auto done = [&into](std::exception_ptr, Result<std::unique_ptr<Upload>> result) {
      into.code = code(result);
      if (result) into.upload = *std::move(result);
    };
    asio::co_spawn(registry.io(), registry->claim_upload(actor, name, id), std::move(done));
    registry.io().restart();
    registry.io().poll();
  };
  claim(second);
  CHECK(second.code.empty());
  CHECK(interrupts == 1);
  CHECK(code(registry.append(*older, "x")) == "aborted");
  CHECK(code(registry.run(older->flush())) == "aborted");
  claim(third);
  registry.io().poll();
  CHECK(second.code == "aborted");
  CHECK(third.code.empty());
  older.reset();
  CHECK(soon([&] {
    registry.io().restart();
    registry.io().poll();
    return !third.code.empty();
  }));
  REQUIRE(third.code == "ok");
  CHECK(interrupts == 1);
  CHECK(third.upload->offset() == kSmall);
  CHECK(code(registry.append(*third.upload, "tail")) == "ok");
  CHECK(code(registry.run(third.upload->commit(oci::sha256(content(kSmall) + "tail")))) == "ok");
}

/// Runs what is ready on the registry's io_context until `condition` holds.
template <class Condition>
bool soon_on(TestRegistry& registry, Condition condition) {
  return soon([&] {
    registry.io().restart();
    registry.io().poll();
    return condition();
  });
}

TEST_CASE("a commit that has begun is not stopped by a newer request, which learns how it ended") {
  std::atomic<bool> publishing{false}, go_on{false};
  TestRegistryOptions options = over(Engines::files);
  options.wrap_blobs = [&](std::unique_ptr<storage::BlobStore> blobs) {
    auto hook = [&](std::string_view operation) -> Result<void> {
      if (operation != "publish") return {};
      publishing = true;
      while (!go_on) std::this_thread::yield();
      return {};
    };
    return std::make_unique<test::HookedBlobs>(std::move(blobs), hook);
  };
  TestRegistry registry(options);
  const oci::Digest digest = oci::sha256(content(kLarge));
  auto upload = registry.start_upload(kRepository).value();
  const std::string id = upload->id();
  REQUIRE(code(registry.append(*upload, content(kLarge))) == "ok");
  std::string committed, claimed;
  auto commit_done = [&](std::exception_ptr, Result<void> result) { committed = code(result); };
  asio::co_spawn(registry.io(), upload->commit(digest), std::move(commit_done));
  REQUIRE(soon_on(registry, [&] { return publishing.load(); }));
  auto claim_done = [&](std::exception_ptr, Result<std::unique_ptr<Upload>> result) { claimed = code(result); };
  const Actor actor = TestRegistry::actor();
  const auto name = TestRegistry::name(kRepository);
  asio::co_spawn(registry.io(), registry->claim_upload(actor, name, id), std::move(claim_done));
  for (int i = 0; i < 50; ++i) {
    registry.io().restart();
    registry.io().poll();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  CHECK(claimed.empty());
  CHECK(committed.empty());
  go_on = true;
  REQUIRE(soon_on(registry, [&] { return !claimed.empty() && !committed.empty(); }));
  CHECK(committed == "ok");
  CHECK(claimed == "upload_unknown");
  CHECK(registry.pull_blob(kRepository, digest).value() == content(kLarge));
}

Task<void> race(Registry& registry, BufferPool& buffers, std::string id, std::uint64_t seed, std::string bytes,
                std::atomic<int>& commits) {
  std::mt19937_64 random(seed);
  const oci::Digest digest = oci::sha256(bytes);
  for (int attempt = 0; attempt < 400; ++attempt) {
    auto claimed =
        co_await registry.claim_upload(test::TestRegistry::actor(), test::TestRegistry::name(kRepository), id);
    if (claimed.failed_with(ErrorCode::upload_unknown)) co_return Result<void>{};
    if (!claimed) continue;
    auto& upload = *claimed;
    const std::uint64_t offset = upload->offset();
    // Each continues where the session stands, as a client does that asked for its offset.
    const std::size_t size = std::min<std::size_t>(bytes.size() - offset, random() % 100'000);
    auto outcome = co_await test::append_all(buffers, *upload, bytes.substr(offset, size));
    if (outcome) outcome = co_await upload->flush();
    if (!outcome) continue;
    if (upload->offset() != offset + size) co_return make_error(ErrorCode::internal, "bytes were mixed");
    if (upload->offset() < bytes.size()) continue;
    auto committed = co_await upload->commit(digest);
    if (committed) ++commits;
    if (committed.failed_with(ErrorCode::digest_mismatch)) co_return std::move(committed).error();
  }
  co_return Result<void>{};
}

TEST_CASE("requests that fight over one session never mix their bytes") {
  const auto seed = Catch::rngSeed();
  CAPTURE(seed);
  TestRegistry registry(over(GENERATE(Engines::memory, Engines::files)));
  const std::string bytes = content(kLarge, seed);
  const std::string id = registry.start_upload(kRepository).value()->id();
  std::atomic<int> commits{0};
  std::vector<std::string> outcomes(4, "never ended");
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    threads.emplace_back([&, i] {
      asio::io_context io;
      auto done = [&, i](std::exception_ptr, Result<void> result) { outcomes[i] = code(result); };
      asio::co_spawn(io, race(*registry, registry.buffers(), id, seed + i, bytes, commits), std::move(done));
      io.run();
      kv::ViewSource::release_thread_cache();
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& outcome : outcomes) CHECK(outcome == "ok");
  // All may have been overtaken to the last; then one lone client ends it.
  if (commits == 0) {
    auto upload = registry.claim_upload(kRepository, id).value();
    REQUIRE(code(registry.append(*upload, bytes.substr(upload->offset()))) == "ok");
    REQUIRE(code(registry.run(upload->commit(oci::sha256(bytes)))) == "ok");
    ++commits;
  }
  CHECK(commits == 1);
  CHECK(registry.pull_blob(kRepository, oci::sha256(bytes)).value() == bytes);
}

TEST_CASE("the sidecar: what is written is read, and nothing else") {
  UploadFacts facts;
  facts.repository = "team/app";
  facts.actor = 42;
  facts.algorithm = oci::Algorithm::sha512;
  facts.started = WallTime(std::chrono::milliseconds(1'767'225'600'123));
  const std::string text = facts.encode();
  CHECK(text == "berth upload 1\nteam/app\n42\nsha512\n1767225600123\n");
  const auto back = UploadFacts::decode(text);
  REQUIRE(back.has_value());
  CHECK(back->repository == facts.repository);
  CHECK(back->actor == facts.actor);
  CHECK(back->algorithm == facts.algorithm);
  CHECK(back->started == facts.started);
  const char* const damaged[] = {
      "",
      "berth upload 2\nteam/app\n42\nsha512\n1\n",
      "berth upload 1\nTEAM\n42\nsha512\n1\n",
      "berth upload 1\nteam/app\nx\nsha512\n1\n",
      "berth upload 1\nteam/app\n42\nmd5\n1\n",
      "berth upload 1\nteam/app\n42\nsha512\n1",
      "berth upload 1\nteam/app\n42\nsha512\n1\nmore\n",
  };
  for (const char* const bad : damaged) {
    CAPTURE(bad);
    CHECK(UploadFacts::decode(bad).failed_with(ErrorCode::corrupt));
  }
}

}  // namespace
}  // namespace berth::registry
