#include "registry/answer_cache.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

namespace berth::registry {
namespace {

std::shared_ptr<const ManifestAnswer> manifest(std::string bytes) {
  ManifestAnswer answer;
  answer.media_type = "m";
  answer.bytes = std::move(bytes);
  return std::make_shared<const ManifestAnswer>(std::move(answer));
}

std::string found(AnswerCache& cache, std::string_view key) {
  const CachedAnswer answer = cache.find(key);
  if (const auto* m = std::get_if<std::shared_ptr<const ManifestAnswer>>(&answer)) return (*m)->bytes;
  if (const auto* b = std::get_if<BlobBytes>(&answer)) return **b;
  return "(none)";
}

void forget(AnswerCache& cache, const std::string& key, std::uint64_t version) {
  const std::vector<std::string> touched{key};
  cache.invalidate(touched, version);
}

TEST_CASE("the cache gives back what was kept, manifests and blobs alike") {
  AnswerCache cache(1 << 20);
  cache.insert("a", manifest("one"), 1);
  cache.insert("b", BlobBytes(std::make_shared<const std::string>("two")), 1);
  CHECK(found(cache, "a") == "one");
  CHECK(found(cache, "b") == "two");
  CHECK(found(cache, "c") == "(none)");
}

TEST_CASE("an answer of an older view is refused after an invalidation, one of the new view is kept") {
  AnswerCache cache(1 << 20);
  cache.insert("a", manifest("old"), 6);
  forget(cache, "a", 7);
  CHECK(found(cache, "a") == "(none)");
  cache.insert("a", manifest("old"), 6);  // a reader of view 6 that was slow
  CHECK(found(cache, "a") == "(none)");
  cache.insert("a", manifest("new"), 7);
  CHECK(found(cache, "a") == "new");
  cache.insert("a", manifest("new too"), 8);
  CHECK(found(cache, "a") == "new");  // both are right; the first stays
}

TEST_CASE("the cache stays within its bytes and drops what was used longest ago") {
  constexpr std::size_t kMax = 256 << 10;
  AnswerCache cache(kMax);
  for (int i = 0; i < 2000; ++i) {
    cache.insert("key" + std::to_string(i), manifest(std::string(1000, 'x')), 1);
    cache.insert("hot", manifest("hot"), 1);
    REQUIRE(found(cache, "hot") == "hot");
    REQUIRE(cache.size_bytes() <= kMax);
  }
  CHECK(cache.entries() > 100);
  CHECK(found(cache, "key0") == "(none)");
  CHECK(found(cache, "key1999") != "(none)");
}

TEST_CASE("an answer too large for its room is not kept and pushes nothing out") {
  AnswerCache cache(64 << 10);
  cache.insert("small", manifest("s"), 1);
  cache.insert("large", manifest(std::string(60 << 10, 'x')), 1);
  CHECK(found(cache, "large") == "(none)");
  CHECK(found(cache, "small") == "s");
  AnswerCache none(0);
  none.insert("small", manifest("s"), 1);
  CHECK(found(none, "small") == "(none)");
}

TEST_CASE("no reader finds an older answer than the published version once that is published") {
  AnswerCache cache(1 << 20);
  std::atomic<std::uint64_t> published{1};
  std::atomic<bool> stop{false};
  std::atomic<int> stale{0};
  const auto read = [&] {
    while (!stop) {
      const std::uint64_t version = published;  // the view this reader would read
      const std::string text = found(cache, "k");
      if (text == "(none)") {
        cache.insert("k", manifest(std::to_string(version)), version);
      } else if (std::stoull(text) < version) {
        ++stale;
      }
    }
  };
  std::thread first(read), second(read);
  for (std::uint64_t version = 2; version < 3000; ++version) {
    forget(cache, "k", version);
    published = version;
  }
  stop = true;
  first.join();
  second.join();
  CHECK(stale == 0);
}

}  // namespace
}  // namespace berth::registry
