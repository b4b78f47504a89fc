#include "registry/registry.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "registry/queries.h"
#include "tests/support/hooked_blobs.h"
#include "tests/support/test_registry.h"

namespace berth::registry {
namespace {

using test::Engines;
using test::TestRegistry;
using test::TestRegistryOptions;

/// Bytes that no other call gives, of a fixed seed.
std::string content(std::size_t size, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

template <class T>
std::string code(const Result<T>& result) {
  return result ? "ok" : std::string(to_string(result.error().code));
}

constexpr std::size_t kSmall = 1000;
constexpr std::size_t kLarge = 700'000;
const TagSet kAllTags = TagSet::everything();

TEST_CASE("an image that was pushed is pulled as it was, and outlives a restart") {
  const Engines engines = GENERATE(Engines::memory, Engines::files);
  TestRegistryOptions options;
  options.engines = engines;
  TestRegistry registry(options);
  const std::vector<std::string> blobs{content(kSmall, 1), content(kLarge, 2), content(0, 3)};
  const std::string manifest = TestRegistry::image_manifest(blobs);
  REQUIRE(code(registry.push_image("team/app", "v1", blobs)) == "ok");
  for (int round = 0; round < 2; ++round) {
    for (const std::string& blob : blobs) {
      const auto pulled = registry.pull_blob("team/app", oci::sha256(blob));
      REQUIRE(code(pulled) == "ok");
      CHECK(*pulled == blob);
      CHECK(registry.run(registry->blob_size(Actor{}, TestRegistry::name("team/app"), oci::sha256(blob))).value() ==
            blob.size());
    }
    CHECK(registry.pull_manifest("team/app", "v1").value() == manifest);
    CHECK(registry.pull_manifest("team/app", oci::sha256(manifest).to_string()).value() == manifest);
    CHECK(registry.run(registry->list_tags(Actor{}, TestRegistry::name("team/app"), 10, "")).value().tags ==
          std::vector<std::string>{"v1"});
    registry.reopen(round == 0 ? TestRegistry::End::killed : TestRegistry::End::orderly);
  }
}

TestRegistryOptions over(Engines engines) {
  TestRegistryOptions options;
  options.engines = engines;
  return options;
}

/// Runs what is ready on the registry's io_context until `condition` holds.
template <class Condition>
bool soon_on(TestRegistry& registry, Condition condition) {
  for (int i = 0; i < 5000; ++i) {
    registry.io().restart();
    registry.io().poll();
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return condition();
}

/// The files of blobs on the disk.
std::vector<std::filesystem::path> blob_files(TestRegistry& registry) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(registry.directory() / "blobs")) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  return files;
}

/// Damages what the index holds, as a failing disk would.
struct Overwrite {
  struct Outcome {};
  kv::Family family = 0;
  std::string key;
  std::string value;
  Result<Outcome> apply(kv::Transaction& transaction) {
    transaction.put(family, key, value);
    return Outcome{};
  }
};

TEST_CASE("many pushes of one blob at once all succeed and leave one copy") {
  const std::size_t size = GENERATE(kSmall, kLarge);
  TestRegistry registry(over(Engines::files));
  const std::string bytes = content(size, 5);
  const oci::Digest digest = oci::sha256(bytes);
  constexpr std::size_t kPushers = 16;
  std::size_t ended = 0, succeeded = 0;
  for (std::size_t i = 0; i < kPushers; ++i) {
    const auto name = TestRegistry::name(i % 2 == 0 ? "team/even" : "team/odd");
    auto done = [&](std::exception_ptr, Result<void> result) {
      ++ended;
      if (result) ++succeeded;
    };
    asio::co_spawn(registry.io(),
                   test::push_blob(*registry, registry.buffers(), TestRegistry::actor(), name, bytes, digest),
                   std::move(done));
  }
  REQUIRE(soon_on(registry, [&] { return ended == kPushers; }));
  CHECK(succeeded == kPushers);
  CHECK(registry.pull_blob("team/even", digest).value() == bytes);
  registry.clock().advance(std::chrono::minutes(2));
  registry.collect_now();
  CHECK(blob_files(registry).size() == (size == kLarge ? 1 : 0));
  CHECK(registry.pull_blob("team/odd", digest).value() == bytes);
  // The copy was verified: another push needs no second one.
  CHECK(code(registry.push_blob("team/third", bytes)) == "ok");
  CHECK(blob_files(registry).size() == (size == kLarge ? 1 : 0));
  CHECK(registry.pull_blob("team/third", digest).value() == bytes);
}

TEST_CASE("a blob's file that was damaged is never served whole, and heals by the next push") {
  const bool missing = GENERATE(false, true);
  TestRegistry registry(over(Engines::files));
  const std::string bytes = content(kLarge, 6);
  const oci::Digest digest = oci::sha256(bytes);
  REQUIRE(code(registry.push_image("team/app", "v1", {content(kSmall, 1), bytes})) == "ok");
  const auto file = blob_files(registry).at(0);
  if (missing) {
    std::filesystem::remove(file);
  } else {
    std::filesystem::resize_file(file, kLarge - 1);
  }
  CHECK(code(registry.pull_blob("team/app", digest)) == "corrupt");
  CHECK(code(registry.pull_blob("team/app", digest)) == "blob_unknown");  // so that a client pushes it again
  CHECK(code(registry.run(registry->blob_size(Actor{}, TestRegistry::name("team/app"), digest))) == "blob_unknown");
  REQUIRE(code(registry.push_blob("team/app", bytes)) == "ok");
  CHECK(registry.pull_blob("team/app", digest).value() == bytes);
  registry.clock().advance(std::chrono::minutes(2));
  registry.collect_now();
  CHECK(blob_files(registry).size() == 1);
}

TEST_CASE("a file that failed a reader is read again, and quarantined only if it is damaged") {
  struct Row {
    const char* name;
    bool rotten;
    int open_fails_with;  // errno; 0: it does not
    const char* seen;     // by a HEAD after the collector has looked
  };
  const auto row = GENERATE(values<Row>({{"sound", false, 0, "ok"},
                                         {"other bytes", true, 0, "blob_unknown"},
                                         {"the disk fails", false, EIO, "blob_unknown"},
                                         {"no descriptors", false, EMFILE, "ok"}}));
  INFO(row.name);
  std::atomic<bool> failing{false};
  TestRegistryOptions options = over(Engines::files);
  options.wrap_blobs = [&](std::unique_ptr<storage::BlobStore> blobs) {
    auto hook = [&](std::string_view operation) -> Result<void> {
      if (failing && operation == "open") return storage::error_from_errno(row.open_fails_with, "open");
      return {};
    };
    return std::make_unique<test::HookedBlobs>(std::move(blobs), hook);
  };
  TestRegistry registry(options);
  const std::string bytes = content(kLarge, 8);
  const oci::Digest digest = oci::sha256(bytes);
  const auto name = TestRegistry::name("team/app");
  REQUIRE(code(registry.push_blob("team/app", bytes)) == "ok");
  const auto opened = registry.run(registry->open_blob(Actor{}, name, digest)).value();
  REQUIRE(opened.report_unreadable);
  opened.report_unreadable();
  if (row.rotten) {
    const auto file = blob_files(registry).at(0);
    std::fstream(file, std::ios::in | std::ios::out | std::ios::binary).seekp(1000) << "rot";
  }
  failing = row.open_fails_with != 0;
  registry.collect_now();
  failing = false;
  CHECK(code(registry.run(registry->blob_size(Actor{}, name, digest))) == row.seen);
  REQUIRE(code(registry.push_blob("team/app", bytes)) == "ok");
  registry.collect_now();
  CHECK(registry.pull_blob("team/app", digest).value() == bytes);
}

TEST_CASE("a push after a restart replaces the stored copy, so bits that rotted silently heal") {
  TestRegistry registry(over(Engines::files));
  const std::string bytes = content(kLarge, 7);
  const oci::Digest digest = oci::sha256(bytes);
  REQUIRE(code(registry.push_blob("team/app", bytes)) == "ok");
  const auto file = blob_files(registry).at(0);
  std::fstream(file, std::ios::in | std::ios::out | std::ios::binary).seekp(1000) << "rot";
  registry.reopen();
  REQUIRE(code(registry.push_blob("team/app", bytes)) == "ok");
  CHECK(registry.pull_blob("team/app", digest).value() == bytes);
}

TEST_CASE("a file that cannot be opened just now quarantines nothing") {
  std::atomic<bool> failing{false};
  TestRegistryOptions options = over(Engines::files);
  options.wrap_blobs = [&](std::unique_ptr<storage::BlobStore> blobs) {
    auto hook = [&](std::string_view operation) -> Result<void> {
      if (failing && operation == "open") return storage::error_from_errno(EMFILE, "open");
      return {};
    };
    return std::make_unique<test::HookedBlobs>(std::move(blobs), hook);
  };
  TestRegistry registry(options);
  const std::string bytes = content(kLarge, 8);
  REQUIRE(code(registry.push_blob("team/app", bytes)) == "ok");
  failing = true;
  CHECK(code(registry.pull_blob("team/app", oci::sha256(bytes))) == "unavailable");
  failing = false;
  CHECK(registry.pull_blob("team/app", oci::sha256(bytes)).value() == bytes);
}

TEST_CASE("inline content is checked on the first read after a start") {
  const bool is_manifest = GENERATE(false, true);
  TestRegistry registry;
  const std::vector<std::string> blobs{content(kSmall, 1), content(kSmall, 2)};
  const std::string manifest = TestRegistry::image_manifest(blobs);
  REQUIRE(code(registry.push_image("team/app", "v1", blobs)) == "ok");
  const std::string& victim = is_manifest ? manifest : blobs[1];
  const ContentKey key{is_manifest ? ObjectKind::manifest : ObjectKind::blob, oci::sha256(victim)};
  std::string damaged = victim;
  damaged[damaged.size() / 2] ^= 1;
  REQUIRE(registry.committer().run(Overwrite{ContentKey::kFamily, key.encode(), damaged}).has_value());
  registry.reopen();
  const auto pull = [&] {
    return is_manifest ? registry.pull_manifest("team/app", "v1")
                       : registry.pull_blob("team/app", oci::sha256(victim));
  };
  CHECK(code(pull()) == "corrupt");
  CHECK(code(pull()) == (is_manifest ? "manifest_unknown" : "blob_unknown"));
  if (is_manifest) {
    REQUIRE(code(registry.put_manifest("team/app", "v1", manifest)) == "ok");
  } else {
    REQUIRE(code(registry.push_blob("team/app", victim)) == "ok");
  }
  REQUIRE(code(pull()) == "ok");
  CHECK(*pull() == victim);
}

TEST_CASE("content that the index lost is not an answer, and heals by the next push") {
  const bool is_manifest = GENERATE(false, true);
  const bool by_tag = GENERATE(false, true);
  TestRegistry registry;
  const std::vector<std::string> blobs{content(kSmall, 1), content(kSmall, 2)};
  const std::string manifest = TestRegistry::image_manifest(blobs);
  const oci::Digest digest = oci::sha256(is_manifest ? manifest : blobs[1]);
  REQUIRE(code(registry.push_image("team/app", "v1", blobs)) == "ok");
  const ContentKey key{is_manifest ? ObjectKind::manifest : ObjectKind::blob, digest};
  REQUIRE(registry.committer().run(Overwrite{ContentKey::kFamily, key.encode(), "less"}).has_value());
  registry.reopen();
  const auto pull = [&] {
    if (!is_manifest) return registry.pull_blob("team/app", digest);
    return registry.pull_manifest("team/app", by_tag ? "v1" : digest.to_string());
  };
  CHECK(code(pull()) == "corrupt");
  CHECK(code(pull()) == (is_manifest ? "manifest_unknown" : "blob_unknown"));  // so that a client pushes it again
  if (is_manifest) {
    REQUIRE(code(registry.put_manifest("team/app", "v1", manifest)) == "ok");
  } else {
    REQUIRE(code(registry.push_blob("team/app", blobs[1])) == "ok");
  }
  REQUIRE(code(pull()) == "ok");
  CHECK(*pull() == (is_manifest ? manifest : blobs[1]));
}

TEST_CASE("a manifest whose bytes the index lost heals by a push that nobody pulled before") {
  TestRegistry registry;
  const std::vector<std::string> blobs{content(kSmall, 1)};
  const std::string manifest = TestRegistry::image_manifest(blobs);
  REQUIRE(code(registry.push_image("team/app", "v1", blobs)) == "ok");
  const ContentKey key{ObjectKind::manifest, oci::sha256(manifest)};
  REQUIRE(registry.committer().run(Overwrite{ContentKey::kFamily, key.encode(), "less"}).has_value());
  registry.reopen();
  REQUIRE(code(registry.put_manifest("team/app", "v1", manifest)) == "ok");
  REQUIRE(code(registry.pull_manifest("team/app", "v1")) == "ok");
  CHECK(*registry.pull_manifest("team/app", "v1") == manifest);
}

TEST_CASE("what was deleted or replaced is not served again from memory") {
  TestRegistry registry;
  const std::vector<std::string> blobs{content(kSmall, 1), content(kSmall, 2)};
  const auto name = TestRegistry::name("team/app");
  const auto actor = TestRegistry::actor();
  const std::string one = TestRegistry::image_manifest(blobs, "one"), two = TestRegistry::image_manifest(blobs, "two");
  REQUIRE(code(registry.push_image("team/app", "v1", blobs, "one")) == "ok");
  CHECK(registry.pull_manifest("team/app", "v1").value() == one);
  REQUIRE(code(registry.put_manifest("team/app", "v1", two)) == "ok");
  CHECK(registry.pull_manifest("team/app", "v1").value() == two);
  CHECK(registry.pull_manifest("team/app", oci::sha256(one).to_string()).value() == one);

  SECTION("a tag") {
    REQUIRE(code(registry.run(registry->delete_tag(actor, name, TestRegistry::tag("v1"), {}, kAllTags))) == "ok");
    CHECK(code(registry.pull_manifest("team/app", "v1")) == "manifest_unknown");
    CHECK(registry.pull_manifest("team/app", oci::sha256(two).to_string()).value() == two);
  }
  SECTION("a manifest, and with it its tags") {
    CHECK(registry.pull_manifest("team/app", oci::sha256(two).to_string()).value() == two);
    REQUIRE(code(registry.run(registry->delete_manifest(actor, name, oci::sha256(two), {}, kAllTags))) == "ok");
    CHECK(code(registry.pull_manifest("team/app", "v1")) == "manifest_unknown");
    CHECK(code(registry.pull_manifest("team/app", oci::sha256(two).to_string())) == "manifest_unknown");
  }
  SECTION("a blob, while another repository still has it") {
    const oci::Digest digest = oci::sha256(blobs[1]);
    REQUIRE(code(registry.push_blob("team/other", blobs[1])) == "ok");
    CHECK(registry.pull_blob("team/app", digest).value() == blobs[1]);
    REQUIRE(code(registry.run(registry->delete_blob(actor, name, digest, kAllTags))) == "ok");
    CHECK(code(registry.pull_blob("team/app", digest)) == "blob_unknown");
    CHECK(registry.pull_blob("team/other", digest).value() == blobs[1]);
    CHECK(code(registry.pull_blob("team/app", digest)) == "blob_unknown");
  }
  SECTION("a whole repository") {
    CHECK(registry.pull_blob("team/app", oci::sha256(blobs[0])).value() == blobs[0]);
    REQUIRE(code(registry.run(registry->delete_repository(actor, name, kAllTags))) == "ok");
    CHECK(code(registry.pull_manifest("team/app", "v1")) == "manifest_unknown");
    CHECK(code(registry.pull_manifest("team/app", oci::sha256(one).to_string())) == "manifest_unknown");
    CHECK(code(registry.pull_blob("team/app", oci::sha256(blobs[0]))) == "blob_unknown");
    CHECK(code(registry.run(registry->list_tags(Actor{}, name, 10, ""))) == "repository_unknown");
    CHECK(code(registry.run(registry->delete_repository(actor, name, kAllTags))) == "repository_unknown");
  }
}

TEST_CASE("deletion can be switched off, every form of it") {
  TestRegistryOptions options;
  options.registry.deletion = false;
  TestRegistry registry(options);
  const std::vector<std::string> blobs{content(kSmall, 1)};
  REQUIRE(code(registry.push_image("team/app", "v1", blobs)) == "ok");
  const auto name = TestRegistry::name("team/app");
  const auto actor = TestRegistry::actor();
  const oci::Digest manifest = oci::sha256(TestRegistry::image_manifest(blobs));
  CHECK(code(registry.run(registry->delete_tag(actor, name, TestRegistry::tag("v1"), {}, kAllTags))) == "method_not_allowed");
  CHECK(code(registry.run(registry->delete_manifest(actor, name, manifest, {}, kAllTags))) == "method_not_allowed");
  CHECK(code(registry.run(registry->delete_blob(actor, name, oci::sha256(blobs[0]), kAllTags))) == "method_not_allowed");
  CHECK(code(registry.run(registry->delete_repository(actor, name, kAllTags))) == "method_not_allowed");
  CHECK(code(registry.pull_manifest("team/app", "v1")) == "ok");
}

TEST_CASE("a full disk refuses pushes while pulls and deletes go on") {
  TestRegistry registry;
  const std::vector<std::string> blobs{content(kSmall, 1), content(kLarge, 2)};
  REQUIRE(code(registry.push_image("team/app", "v1", blobs)) == "ok");
  auto upload = registry.start_upload("team/app").value();
  const auto name = TestRegistry::name("team/app");
  const auto actor = TestRegistry::actor();
  registry.ballast().report_full();
  REQUIRE_FALSE(registry->writable());
  CHECK(code(registry.start_upload("team/app")) == "storage_full");
  CHECK(code(registry.append(*upload, "x")) == "storage_full");
  CHECK(code(registry.run(upload->commit(oci::sha256("")))) == "storage_full");
  CHECK(code(registry.put_manifest("team/app", "v2", TestRegistry::image_manifest(blobs))) == "storage_full");
  CHECK(code(registry.run(registry->mount_blob(actor, TestRegistry::name("team/b"), oci::sha256(blobs[0]), name, {}))) ==
        "storage_full");
  CHECK(code(registry.pull_manifest("team/app", "v1")) == "ok");
  CHECK(code(registry.pull_blob("team/app", oci::sha256(blobs[1]))) == "ok");
  CHECK(code(registry.run(registry->delete_tag(actor, name, TestRegistry::tag("v1"), {}, kAllTags))) == "ok");
  registry.collect_now();  // looks at the disk again
  REQUIRE(registry->writable());
  CHECK(code(registry.append(*upload, "x")) == "ok");
  CHECK(code(registry.run(upload->commit(oci::sha256("x")))) == "ok");
}

/// One call of the blob store fails, once.
struct Fault {
  const char* operation;
  int error_number;
  const char* answer;     ///< of the push
  bool session_survives;
};

TEST_CASE("an error of the blob store during a push: what can go on goes on, the rest leaves nothing") {
  const Fault fault = GENERATE(Fault{"create", ENOSPC, "storage_full", true}, Fault{"write", ENOSPC, "storage_full", true},
                               Fault{"publish", ENOSPC, "storage_full", true}, Fault{"create", EIO, "io_error", false},
                               Fault{"write", EIO, "io_error", false}, Fault{"publish", EIO, "io_error", false});
  const int nth = GENERATE(1, 2, 3);
  if (nth > 1 && fault.operation != std::string_view("write")) return;
  CAPTURE(fault.operation, fault.error_number, nth);
  std::atomic<int> countdown{nth};
  TestRegistryOptions options = over(Engines::files);
  options.wrap_blobs = [&](std::unique_ptr<storage::BlobStore> blobs) {
    auto hook = [&](std::string_view operation) -> Result<void> {
      if (operation == fault.operation && --countdown == 0) return storage::error_from_errno(fault.error_number, "test");
      return {};
    };
    return std::make_unique<test::HookedBlobs>(std::move(blobs), hook);
  };
  TestRegistry registry(options);
  const std::string bytes = content(kLarge, 9);
  const oci::Digest digest = oci::sha256(bytes);
  auto upload = registry.start_upload("team/app").value();
  const std::string id = upload->id();
  auto outcome = registry.append(*upload, bytes);
  if (outcome) outcome = registry.run(upload->commit(digest));
  CHECK(code(outcome) == fault.answer);
  CHECK(code(registry.pull_blob("team/app", digest)) == "blob_unknown");
  upload.reset();
  // The disk has room again; a look at it while another one is under way may miss that.
  REQUIRE(soon_on(registry, [&] { return registry.collect_now(), registry->writable(); }));
  auto claimed = registry.claim_upload("team/app", id);
  REQUIRE(claimed.has_value() == fault.session_survives);
  if (claimed) {
    // The client goes on from the true offset, as it would after a 503.
    upload = *std::move(claimed);
    const std::uint64_t offset = upload->offset();
    REQUIRE(offset <= bytes.size());
    REQUIRE(code(registry.append(*upload, bytes.substr(offset))) == "ok");
    REQUIRE(code(registry.run(upload->commit(digest))) == "ok");
    upload.reset();
  } else {
    REQUIRE(code(registry.push_blob("team/app", bytes)) == "ok");
  }
  CHECK(registry.pull_blob("team/app", digest).value() == bytes);
  registry.reopen(TestRegistry::End::killed);
  CHECK(registry.pull_blob("team/app", digest).value() == bytes);
  CHECK(blob_files(registry).size() == 1);
  CHECK(registry.blobs().staged().value().empty());
}

TEST_CASE("a push whose record cannot be written is not acknowledged, and its file goes at the next start") {
  TestRegistry registry(over(Engines::files));
  const std::string bytes = content(kLarge, 10);
  const oci::Digest digest = oci::sha256(bytes);
  auto upload = registry.start_upload("team/app").value();
  const std::string id = upload->id();
  REQUIRE(code(registry.append(*upload, bytes)) == "ok");
  registry.committer().stop();
  CHECK(code(registry.run(upload->commit(digest))) == "unavailable");
  CHECK(code(registry.run(upload->commit(digest))) == "unavailable");  // the session has its bytes still
  upload.reset();
  CHECK(registry.run(registry->upload_offset(TestRegistry::actor(), TestRegistry::name("team/app"), id)).value() ==
        bytes.size());
  CHECK(blob_files(registry).size() == 1);
  registry.reopen(TestRegistry::End::killed);
  CHECK(blob_files(registry).empty());
  CHECK(code(registry.claim_upload("team/app", id)) == "upload_unknown");
  CHECK(code(registry.push_blob("team/app", bytes)) == "ok");
}

TEST_CASE("manifests: digests, limits, and missing blobs") {
  TestRegistryOptions options;
  options.registry.manifest_bytes_max = 300'000;
  options.registry.tags_per_push_max = 2;
  TestRegistry registry(options);
  const std::vector<std::string> blobs{content(kSmall, 1)};
  const auto name = TestRegistry::name("team/app");
  const auto actor = TestRegistry::actor();
  REQUIRE(code(registry.push_blob("team/app", blobs[0])) == "ok");
  const auto put = [&](std::string body, oci::Reference reference, std::optional<oci::Digest> expected,
                       std::vector<oci::Tag> tags) {
    PutManifestRequest request{.repository = name,
                               .reference = std::move(reference),
                               .content_type = std::string(oci::kImageManifestType),
                               .body = std::move(body),
                               .extra_tags = {},
                               .expected_digest = std::move(expected),
                               .precondition = {},
                               .may_overwrite = true};
    for (const oci::Tag& tag : tags) request.extra_tags.push_back({tag, true});
    return registry.run(registry->put_manifest(actor, std::move(request)));
  };
  // Small ones are parsed in place, large ones on a pool.
  for (const std::size_t padding : {std::size_t{10}, std::size_t{100'000}}) {
    const std::string body = TestRegistry::image_manifest(blobs, std::string(padding, 'x'));
    const oci::Digest digest = oci::sha256(body), sha512 = oci::hash(oci::Algorithm::sha512, as_bytes(body));
    CHECK(code(put(body, oci::sha256("other"), {}, {})) == "digest_mismatch");
    CHECK(code(put(body, TestRegistry::tag("v"), oci::sha256("other"), {})) == "digest_mismatch");
    CHECK(code(put(body + "{", TestRegistry::tag("v"), {}, {})) == "manifest_invalid");
    const std::vector<oci::Tag> two{TestRegistry::tag("a"), TestRegistry::tag("b")};
    const auto done = put(body, digest, {}, two);
    REQUIRE(code(done) == "ok");
    CHECK(done->digest == digest);
    CHECK(done->created);
    CHECK(registry.pull_manifest("team/app", "b").value() == body);
    const auto other = put(body, TestRegistry::tag("v"), sha512, {});
    REQUIRE(code(other) == "ok");
    CHECK(other->digest == sha512);
    CHECK(registry.run(registry->get_manifest(Actor{}, name, TestRegistry::tag("v"), false)).value()->digest == sha512);
  }
  CHECK(code(put(TestRegistry::image_manifest(blobs, std::string(300'000, 'x')), TestRegistry::tag("v"), {}, {})) ==
        "manifest_too_large");
  const std::string body = TestRegistry::image_manifest(blobs);
  const std::vector<oci::Tag> three{TestRegistry::tag("a"), TestRegistry::tag("b"), TestRegistry::tag("c")};
  CHECK(code(put(body, oci::sha256(body), {}, three)) == "too_many_tags");
  const auto missing = put(TestRegistry::image_manifest({"absent"}), TestRegistry::tag("w"), {}, {});
  REQUIRE(code(missing) == "manifest_blob_unknown");
  CHECK(missing.error().subjects == std::vector<std::string>{oci::sha256("absent").to_string()});
}

TEST_CASE("mounts: from a named repository, from any, and not at all") {
  const bool anonymous = GENERATE(true, false);
  TestRegistryOptions options;
  options.registry.anonymous_mount = anonymous;
  TestRegistry registry(options);
  const std::string bytes = content(kSmall, 1);
  const oci::Digest digest = oci::sha256(bytes);
  REQUIRE(code(registry.push_blob("team/source", bytes)) == "ok");
  const auto actor = TestRegistry::actor();
  const auto mount = [&](const char* target, std::optional<const char*> from, Visibility visibility) {
    std::optional<oci::RepositoryName> source;
    if (from) source = TestRegistry::name(*from);
    return registry.run(registry->mount_blob(actor, TestRegistry::name(target), digest, source, visibility)).value();
  };
  const auto everything = Visibility::everything();
  const Visibility team{.patterns = {RepositoryPattern::parse("team/**").value()}};
  const Visibility other{.patterns = {RepositoryPattern::parse("other/**").value()}};
  CHECK(mount("team/a", "team/source", everything));
  CHECK(registry.pull_blob("team/a", digest).value() == bytes);
  CHECK_FALSE(mount("team/b", "team/nowhere", everything));
  CHECK(code(registry.pull_blob("team/b", digest)) == "blob_unknown");
  CHECK(mount("team/c", {}, everything) == anonymous);
  CHECK_FALSE(mount("team/d", {}, {}));
  CHECK_FALSE(mount("team/d", {}, other));
  CHECK(mount("team/d", {}, team) == anonymous);
  CHECK(mount("team/source", {}, {}));  // it is there already
}

TEST_CASE("pulls are counted where they are asked to be") {
  TestRegistry registry;
  const std::vector<std::string> blobs{content(kSmall, 1)};
  REQUIRE(code(registry.push_image("team/app", "v1", blobs)) == "ok");
  const auto name = TestRegistry::name("team/app");
  const std::string digest = oci::sha256(TestRegistry::image_manifest(blobs)).to_string();
  for (int i = 0; i < 3; ++i) CHECK(code(registry.pull_manifest("team/app", "v1")) == "ok");
  CHECK(code(registry.pull_manifest("team/app", digest)) == "ok");
  CHECK(code(registry.run(registry->get_manifest(Actor{}, name, TestRegistry::tag("v1"), false))) == "ok");
  CHECK(code(registry.pull_manifest("team/app", "absent")) == "manifest_unknown");
  const auto pulls = [&](const std::string& reference) {
    const auto view = registry.committer().view();
    const kv::Reader& reader = view->reader(kv::Tier::any);
    const auto repository = find_repository(reader, kLocalNamespace, name).value();
    return get(reader, PullsKey{repository.value(), reference}).value().value_or(PullsRecord{});
  };
  CHECK(pulls("v1").pulls == 0);
  registry.collect_now();
  CHECK(pulls("v1").pulls == 3);
  CHECK(pulls("v1").last_pull == registry.clock().wall());
  CHECK(pulls(digest).pulls == 1);
  CHECK(code(registry.pull_manifest("team/app", "v1")) == "ok");
  registry.reopen();  // an orderly stop loses none
  CHECK(pulls("v1").pulls == 4);
}

TEST_CASE("lists go page by page") {
  TestRegistry registry;
  const std::vector<std::string> blobs{content(kSmall, 1)};
  for (const char* const tag : {"c", "a", "b"}) REQUIRE(code(registry.push_image("team/app", tag, blobs)) == "ok");
  REQUIRE(code(registry.push_image("other", "x", blobs)) == "ok");
  const auto name = TestRegistry::name("team/app");
  auto page = registry.run(registry->list_tags(Actor{}, name, 2, "")).value();
  CHECK(page.tags == std::vector<std::string>{"a", "b"});
  CHECK(page.more);
  page = registry.run(registry->list_tags(Actor{}, name, 2, "b")).value();
  CHECK(page.tags == std::vector<std::string>{"c"});
  CHECK_FALSE(page.more);
  const auto catalog = registry.run(registry->list_repositories(Actor{}, Visibility::everything(), 10, "")).value();
  CHECK(catalog.names == std::vector<std::string>{"other", "team/app"});
  const Visibility team{.patterns = {RepositoryPattern::parse("team/*").value()}};
  CHECK(registry.run(registry->list_repositories(Actor{}, team, 10, "")).value().names == std::vector<std::string>{"team/app"});
  CHECK(registry.run(registry->list_repositories(Actor{}, {}, 10, "")).value().names.empty());
  const auto referrers =
      registry.run(registry->list_referrers(Actor{}, name, oci::sha256("none").to_string(), {}, 10, 1 << 20, "")).value();
  CHECK(referrers.descriptors.empty());
  CHECK(code(registry.run(registry->list_referrers(Actor{}, name, oci::sha256("none").to_string(), {}, 10, 1 << 20, "?"))) ==
        "page_invalid");
}

// ---- many threads ----

/// Runs a Task on a thread's own io_context, as the server's I/O threads do.
template <class T>
Result<T> run_on(asio::io_context& io, Task<T> task) {
  std::optional<Result<T>> outcome;
  auto done = [&](std::exception_ptr, Result<T> result) { outcome = std::move(result); };
  asio::co_spawn(io, std::move(task), std::move(done));
  io.restart();
  io.run();
  return *std::move(outcome);
}

TEST_CASE("a reader never finds less than was acknowledged before it asked") {
  TestRegistry registry(over(GENERATE(Engines::memory, Engines::files)));
  const std::vector<std::string> blobs{content(kSmall, 1)};
  REQUIRE(code(registry.push_blob("team/app", blobs[0])) == "ok");
  const auto name = TestRegistry::name("team/app");
  const auto actor = TestRegistry::actor();
  const oci::Reference tag = TestRegistry::tag("moving");
  constexpr int kVersions = 150;
  // Every third version is a delete. Odd numbers while a change is under way.
  std::atomic<int> acknowledged{0};
  std::atomic<bool> stop{false};
  std::atomic<int> stale{0}, reads{0};
  std::vector<std::string> bodies;
  for (int i = 0; i <= kVersions; ++i) bodies.push_back(TestRegistry::image_manifest(blobs, std::to_string(i)));

  const auto read = [&] {
    asio::io_context io;
    while (!stop) {
      const int before = acknowledged;
      const auto answer = run_on(io, registry->get_manifest(Actor{}, name, tag, true));
      const int after = acknowledged;
      ++reads;
      // What is seen must have been the state at some moment between the two.
      const int newest = std::min(kVersions, after + 1);
      bool possible = false;
      for (int i = before; i <= newest && !possible; ++i) {
        possible = i == 0 || i % 3 == 0 ? answer.failed_with(ErrorCode::manifest_unknown)
                                        : answer.has_value() && (*answer)->bytes == bodies[static_cast<std::size_t>(i)];
      }
      if (!possible) ++stale;
    }
    kv::ViewSource::release_thread_cache();
  };
  const auto write = [&] {
    asio::io_context io;
    for (int i = 1; i <= kVersions; ++i) {
      if (i % 3 == 0) {
        REQUIRE(run_on(io, registry->delete_tag(actor, name, std::get<oci::Tag>(tag), {}, kAllTags)).has_value());
      } else {
        PutManifestRequest request{.repository = name,
                                   .reference = tag,
                                   .content_type = std::string(oci::kImageManifestType),
                                   .body = bodies[static_cast<std::size_t>(i)],
                                   .extra_tags = {},
                                   .expected_digest = {},
                                   .precondition = {},
                                   .may_overwrite = true};
        REQUIRE(run_on(io, registry->put_manifest(actor, std::move(request))).has_value());
      }
      acknowledged = i;
    }
    kv::ViewSource::release_thread_cache();
  };
  std::thread first(read), second(read);
  std::thread collecting([&] {
    while (!stop) registry.collect_now();
    kv::ViewSource::release_thread_cache();
  });
  write();
  while (reads < 20) std::this_thread::yield();
  stop = true;
  first.join();
  second.join();
  collecting.join();
  CHECK(stale == 0);
}

}  // namespace
}  // namespace berth::registry
