#include "registry/upload_content.h"

#include <catch2/catch.hpp>
#include <random>

namespace berth::registry {
namespace {

constexpr std::size_t kInlineMax = 1000;
const char* const kId = "00000000-0000-4000-8000-000000000001";

struct World {
  std::unique_ptr<storage::BlobStore> blobs = storage::make_memory_blob_store();
  MemoryBudget memory{1500};
  UploadContent::Parts parts() { return {*blobs, memory, kInlineMax}; }
  std::size_t staged() { return blobs->staged().value().size(); }
};

std::string bytes(std::size_t size) {
  std::string text(size, '\0');
  std::mt19937_64 random(size);
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

void feed(UploadContent& content, std::string_view text) {
  if (!content.keep(as_bytes(text))) REQUIRE(content.write(as_bytes(text)).has_value());
}

oci::Digest digest_of(UploadContent& content, oci::Algorithm algorithm) {
  content.hash_with(algorithm);
  while (!content.is_hashed()) REQUIRE(content.hash_slice().has_value());
  return content.digest();
}

TEST_CASE("any split of an upload gives the same digest, with and without a restart in between") {
  const auto seed = Catch::rngSeed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 200; ++round) {
    World world;
    const std::string text = bytes(random() % (3 * kInlineMax));
    const auto algorithm = random() % 2 == 0 ? oci::Algorithm::sha256 : oci::Algorithm::sha512;
    auto content = std::make_unique<UploadContent>(world.parts(), kId, "note", oci::Algorithm::sha256);
    std::size_t done = 0;
    while (done < text.size()) {
      const std::size_t piece = std::min<std::size_t>(text.size() - done, 1 + random() % 700);
      feed(*content, std::string_view(text).substr(done, piece));
      done += piece;
      REQUIRE(content->size() == done);
      switch (random() % 8) {
        case 0: {  // the process is killed after an acknowledged chunk
          REQUIRE(content->save().has_value());
          content.reset();
          REQUIRE(world.memory.in_use_bytes() == 0);
          content = std::make_unique<UploadContent>(world.parts(), kId, "note", oci::Algorithm::sha256, done);
          REQUIRE(content->needs_restore());
          REQUIRE(content->restore().has_value());
          break;
        }
        case 1: {  // a chunk that was too long is taken back
          const std::size_t keep = random() % (done + 1);
          REQUIRE(content->truncate(keep).has_value());
          done = keep;
          break;
        }
        case 2: digest_of(*content, algorithm); break;  // a commit that failed for a passing reason
        case 3: content->mark(); break;  // the next request begins
        case 4: {  // nobody comes for a while
          REQUIRE(content->save().has_value());
          content->park();
          REQUIRE(content->restore().has_value());
          break;
        }
        default: break;
      }
    }
    REQUIRE(digest_of(*content, algorithm) == oci::hash(algorithm, as_bytes(text)));
    if (content->in_memory()) {
      REQUIRE(*content->memory() == text);
    } else {
      auto staging = content->take_staging();
      REQUIRE(staging.has_value());
      REQUIRE((*staging)->size().value() == text.size());
    }
  }
}

TEST_CASE("small content stays in memory and costs no file until it is saved") {
  World world;
  UploadContent content(world.parts(), kId, "note", oci::Algorithm::sha256);
  feed(content, bytes(kInlineMax));
  CHECK(content.in_memory());
  CHECK(world.staged() == 0);
  CHECK(content.unsaved());
  REQUIRE(content.save().has_value());
  CHECK_FALSE(content.unsaved());
  CHECK(world.staged() == 1);
  CHECK(content.in_memory());  // the commit need not read it again
  feed(content, "x");
  CHECK_FALSE(content.in_memory());
  CHECK(world.memory.in_use_bytes() == 0);
  REQUIRE(content.discard().has_value());
  CHECK(world.staged() == 0);
}

TEST_CASE("a parked session keeps no memory, and has its content back when it is used again") {
  World world;
  UploadContent content(world.parts(), kId, "note", oci::Algorithm::sha256);
  feed(content, bytes(900));
  content.park();
  CHECK(content.in_memory());  // nowhere else
  REQUIRE(content.save().has_value());
  content.park();
  CHECK(world.memory.in_use_bytes() == 0);
  CHECK(content.size() == 900);
  CHECK_FALSE(content.unsaved());
  REQUIRE(content.needs_restore());
  REQUIRE(content.restore().has_value());
  CHECK(content.in_memory());
  CHECK(*content.memory() == bytes(900));
  CHECK(world.memory.in_use_bytes() == 900);
  content.park();
  // Others have the memory now.
  REQUIRE(world.memory.take(1500));
  REQUIRE(content.restore().has_value());
  CHECK_FALSE(content.in_memory());
  CHECK(digest_of(content, oci::Algorithm::sha256) == oci::sha256(bytes(900)));
  content.park();
  REQUIRE(content.discard().has_value());
  CHECK(world.staged() == 0);
  world.memory.give_back(1500);
}

TEST_CASE("a truncation to where a request began costs no hashing, any other does") {
  World world;
  UploadContent content(world.parts(), kId, "note", oci::Algorithm::sha256);
  const std::string text = bytes(5000);
  feed(content, text.substr(0, 3000));
  for (int request = 0; request < 3; ++request) {
    content.mark();
    feed(content, "what is taken back");
    REQUIRE(content.truncate(3000).has_value());
    CHECK(content.is_hashed());
  }
  content.mark();
  REQUIRE(content.truncate(2000).has_value());
  CHECK_FALSE(content.is_hashed());
  while (!content.is_hashed()) REQUIRE(content.hash_slice().has_value());
  feed(content, text.substr(2000, 1500));
  REQUIRE(content.truncate(3000).has_value());
  CHECK_FALSE(content.is_hashed());  // the mark was of what was there before
  feed(content, text.substr(3000));
  content.mark();
  feed(content, "x");
  content.hash_with(oci::Algorithm::sha512);
  while (!content.is_hashed()) REQUIRE(content.hash_slice().has_value());
  REQUIRE(content.truncate(5000).has_value());
  CHECK_FALSE(content.is_hashed());
  CHECK(digest_of(content, oci::Algorithm::sha512) == oci::hash(oci::Algorithm::sha512, as_bytes(text)));
  CHECK(digest_of(content, oci::Algorithm::sha256) == oci::sha256(text));
}

TEST_CASE("what does not fit into the shared memory goes to its file") {
  World world;
  UploadContent first(world.parts(), kId, "note", oci::Algorithm::sha256);
  feed(first, bytes(900));
  UploadContent second(world.parts(), "00000000-0000-4000-8000-000000000002", "note", oci::Algorithm::sha256);
  feed(second, bytes(900));
  CHECK(first.in_memory());
  CHECK_FALSE(second.in_memory());
  CHECK(digest_of(second, oci::Algorithm::sha256) == oci::sha256(bytes(900)));
}

TEST_CASE("bytes that became a blob can only be asked for their digest") {
  World world;
  UploadContent content(world.parts(), kId, "note", oci::Algorithm::sha256);
  feed(content, bytes(2000));
  const oci::Digest digest = digest_of(content, oci::Algorithm::sha256);
  auto staging = content.take_staging();
  REQUIRE(world.blobs->publish(std::move(*staging), kId, digest).has_value());
  content.forget_staging();
  CHECK(digest_of(content, oci::Algorithm::sha256) == digest);
  CHECK(content.write(as_bytes("x")).failed_with(ErrorCode::upload_unknown));
  CHECK(content.truncate(1).failed_with(ErrorCode::upload_unknown));
  CHECK(content.take_staging().failed_with(ErrorCode::upload_unknown));
  CHECK(content.discard().has_value());
  CHECK(world.blobs->recent_places().value().size() == 1);
}

}  // namespace
}  // namespace berth::registry
