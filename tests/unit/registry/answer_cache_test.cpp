#include "registry/answer_cache.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "registry/keys.h"

namespace berth::registry {
namespace {

CachedAnswer manifest(std::string bytes) {
  ResolvedManifest answer;
  answer.media_type = "m";
  answer.bytes = std::move(bytes);
  return {std::make_shared<const ResolvedManifest>(std::move(answer)), {}};
}

CachedAnswer blob(std::string bytes) { return {{}, std::make_shared<const std::string>(std::move(bytes))}; }

std::string found(AnswerCache& cache, std::string_view key) {
  const CachedAnswer answer = cache.find(key);
  return answer.manifest ? answer.manifest->bytes : "(none)";
}

void forget(AnswerCache& cache, const std::string& key, std::uint64_t version) {
  const std::vector<std::string> touched{key};
  cache.invalidate(touched, version);
}

TEST_CASE("the cache gives back what was kept; a manifest and a blob of one digest are apart") {
  AnswerCache cache(1 << 20);
  cache.insert("a", manifest("one"), 1);
  cache.insert("b", blob("two"), 1);
  CHECK(found(cache, "a") == "one");
  CHECK_FALSE(cache.find("a").blob);
  CHECK(found(cache, "b") == "(none)");
  CHECK(*cache.find("b").blob == "two");
  CHECK(found(cache, "c") == "(none)");
  cache.insert("a", blob("three"), 1);
  CHECK(found(cache, "a") == "one");
  CHECK(*cache.find("a").blob == "three");
  CHECK(cache.entries() == 2);
  forget(cache, "a", 2);
  forget(cache, "b", 2);
  CHECK_FALSE(cache.find("a").blob);
  CHECK(cache.size_bytes() == 0);
}

TEST_CASE("a touch without a reference forgets the whole repository and nothing else") {
  AnswerCache cache(1 << 20);
  const std::string one = cache_key(kLocalNamespace, "team/app", ""), other = cache_key(kLocalNamespace, "team/app2", "");
  for (const char* tag : {"a", "b", "c"}) {
    cache.insert(cache_key(kLocalNamespace, "team/app", tag), manifest(tag), 4);
    cache.insert(cache_key(kLocalNamespace, "team/app2", tag), manifest(tag), 4);
  }
  forget(cache, one, 5);
  for (const char* tag : {"a", "b", "c"}) {
    const std::string key = cache_key(kLocalNamespace, "team/app", tag);
    CHECK(found(cache, key) == "(none)");
    CHECK(found(cache, cache_key(kLocalNamespace, "team/app2", tag)) == tag);
    cache.insert(key, manifest("old"), 4);
    CHECK(found(cache, key) == "(none)");
    cache.insert(key, manifest("new"), 5);
    CHECK(found(cache, key) == "new");
  }
  CHECK(cache.entries() == 6);
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
  CHECK(found(cache, "a") == "new too");
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
