// Commands one by one against the in-memory engine: what each changes, what each refuses, and that the index is whole
// after every one of them.
#include <algorithm>

#include "registry/commands/totals.h"
#include "tests/unit/registry/command_harness.h"

namespace berth::registry {
namespace {

using namespace testing;
using Names = std::vector<std::string>;

oci::Reference by(const oci::Digest& digest) { return oci::Reference(digest); }

TEST_CASE("a blob that is committed is visible in its repository and in no other") {
  TestIndex index;
  auto done = index.push_blob("team/app", "layer");
  REQUIRE(done.has_value());
  CHECK(done->stored);
  CHECK(!done->bytes_needed);
  CHECK(index.sees_blob("team/app", "layer"));
  CHECK(!index.sees_blob("team/other", "layer"));
  CHECK(index.tags("team/app").empty());
  CHECK(index.catalog().empty());  // no manifest yet
  CHECK(index.usage("team/app") == UsageRecord{.logical_bytes = 5, .unique_bytes = 5, .held = 1});
  index.check();
}

TEST_CASE("what becomes of the content of a blob that is committed") {
  struct Row {
    const char* name;
    bool there;        ///< a copy is stored already, as a file
    bool quarantined;  ///< and failed a check
    int content;       ///< 0 existing copy, 1 inline, 2 file
    bool replace;
    bool bytes_needed;
    bool stored;
    Names reaped;
  };
  const std::string old_file = TestIndex::place("x", "old").name;
  const std::string new_file = TestIndex::place("x", "new").name;
  const std::vector<Row> rows = {
      {"nothing there, none given", false, false, 0, false, true, false, {}},
      {"nothing there, inline", false, false, 1, false, false, true, {}},
      {"nothing there, a file", false, false, 2, false, false, true, {}},
      {"there, none given", true, false, 0, false, false, false, {}},
      {"there, inline", true, false, 1, false, false, false, {}},
      {"there, a file that is not needed", true, false, 2, false, false, false, {new_file}},
      {"there, inline replaces", true, false, 1, true, false, true, {old_file}},
      {"there, a file replaces", true, false, 2, true, false, true, {old_file}},
      {"quarantined, none given", true, true, 0, false, true, false, {}},
      {"quarantined, inline heals", true, true, 1, false, false, true, {old_file}},
      {"quarantined, a file heals", true, true, 2, false, false, true, {old_file}},
  };
  for (const Row& row : rows) {
    INFO(row.name);
    TestIndex index;
    if (row.there) REQUIRE(index.push_file("a", "x", "old").has_value());
    if (row.quarantined) {
      Quarantine command{.context = {}, .digest = oci::sha256("x"), .file = old_file};
      REQUIRE(index.run(std::move(command)).value().quarantined);
      CHECK(!index.sees_blob("a", "x"));
    }
    CommitBlob command{.context = {},
                       .repository = repository("b"),
                       .digest = oci::sha256("x"),
                       .size = 1,
                       .content = {},
                       .replace_copy = row.replace,
                       .periods = index.periods};
    if (row.content == 1) command.content = CommitBlob::Inline{shared("x")};
    if (row.content == 2) command.content = storage::Place{new_file};
    auto done = index.run(std::move(command));
    REQUIRE(done.has_value());
    CHECK(done->bytes_needed == row.bytes_needed);
    CHECK(done->stored == row.stored);
    CHECK(index.reaped() == row.reaped);
    CHECK(index.sees_blob("b", "x") == !row.bytes_needed);
    if (!row.bytes_needed && row.there) CHECK(index.sees_blob("a", "x"));
    CHECK(is_place_in_use(index.reader(), {new_file}).value() == (row.stored && row.content == 2));
    CHECK(is_place_in_use(index.reader(), {old_file}).value() == (row.there && !row.stored));
    index.check();
  }
}

TEST_CASE("a blob of another size than the stored one is refused and changes nothing") {
  TestIndex index;
  REQUIRE(index.push_blob("a", "x").has_value());
  const std::uint64_t version = index.view()->version();
  CommitBlob command{.context = {},
                     .repository = repository("b"),
                     .digest = oci::sha256("x"),
                     .size = 2,
                     .content = CommitBlob::Inline{shared("xx")},
                     .periods = index.periods};
  CHECK(index.run(std::move(command)).failed_with(ErrorCode::corrupt));
  CHECK(index.view()->version() <= version + 1);
  CHECK(index.tags("b") == Names{"(repository unknown)"});
  index.check();
}

TEST_CASE("a blob and a manifest of the same bytes are two objects") {
  TestIndex index;
  const Pushed made = index.push_image("a", {"config", {"layer"}}, "v1");
  REQUIRE(index.push_blob("a", *made.body).has_value());
  REQUIRE(index.delete_blob("a", made.digest).has_value());
  CHECK(index.sees_tag("a", "v1"));
  REQUIRE(index.push_blob("a", *made.body).has_value());
  REQUIRE(index.delete_manifest("a", made.digest).has_value());
  CHECK(!index.sees_tag("a", "v1"));
  CHECK(index.sees_blob("a", *made.body));
  index.check();
}

TEST_CASE("a blob is mounted only from where it is visible") {
  struct Row {
    const char* name;
    std::optional<std::string> from;
    bool any;
    void (*change)(TestIndex&);
    bool mounted;
  };
  const auto nothing = [](TestIndex&) {};
  const std::vector<Row> rows = {
      {"from its repository", "source", false, nothing, true},
      {"from another repository", "other", false, nothing, false},
      {"from an unknown repository", "nowhere", false, nothing, false},
      {"from a named repository even if any would do", "other", true, nothing, false},
      {"from any", {}, true, nothing, true},
      {"from none", {}, false, nothing, false},
      {"already in the target", {}, false, [](TestIndex& i) { REQUIRE(i.push_blob("target", "x").has_value()); }, true},
      {"deleted in the source", "source", true,
       [](TestIndex& i) { REQUIRE(i.delete_blob("source", oci::sha256("x")).has_value()); }, false},
      {"deleted in the only source, from any",
       {},
       true,
       [](TestIndex& i) { REQUIRE(i.delete_blob("source", oci::sha256("x")).has_value()); },
       false},
      {"the source is deleted", "source", false,
       [](TestIndex& i) { REQUIRE(i.delete_repository("source").has_value()); }, false},
      {"the only source is deleted, from any",
       {},
       true,
       [](TestIndex& i) { REQUIRE(i.delete_repository("source").has_value()); },
       false},
      {"quarantined",
       {},
       true,
       [](TestIndex& i) { REQUIRE(i.run(QuarantineRotten{{.context = {}, .digest = oci::sha256("x")}}).value().quarantined); },
       false},
      {"hidden in one, visible in another, from any",
       {},
       true,
       [](TestIndex& i) {
         i.push_image("source", {"config", {"x"}}, "v1");
         REQUIRE(i.delete_blob("source", oci::sha256("x")).has_value());
         REQUIRE(i.push_blob("third", "x").has_value());
       },
       true},
  };
  for (const Row& row : rows) {
    INFO(row.name);
    TestIndex index;
    REQUIRE(index.push_blob("source", "x").has_value());
    REQUIRE(index.push_blob("other", "y").has_value());
    row.change(index);
    auto done = index.mount("target", oci::sha256("x"), row.from,
                            row.any ? Visibility::everything() : Visibility{});
    REQUIRE(done.has_value());
    CHECK(done->mounted == row.mounted);
    CHECK(index.sees_blob("target", "x") == row.mounted);
    index.check();
  }
}

TEST_CASE("a blob is mounted without a name from visible repositories only") {
  struct Row {
    const char* name;
    std::vector<const char*> patterns;
    std::optional<std::vector<const char*>> within;
    bool mounted;
  };
  const std::vector<Row> rows = {
      {"its repository is visible", {"team/source"}, {}, true},
      {"a tree with it is", {"other/**", "team/**"}, {}, true},
      {"another one is", {"team/other", "team/source/x"}, {}, false},
      {"none is", {}, {}, false},
      {"a token reaches it too", {"team/**"}, {{"team/*"}}, true},
      {"a token does not reach it", {"team/**"}, {{"team/other"}}, false},
  };
  const auto parse = [](const std::vector<const char*>& texts) {
    std::vector<RepositoryPattern> patterns;
    for (const char* text : texts) patterns.push_back(RepositoryPattern::parse(text).value());
    return patterns;
  };
  for (const Row& row : rows) {
    INFO(row.name);
    TestIndex index;
    REQUIRE(index.push_blob("team/source", "x").has_value());
    REQUIRE(index.push_blob("team/other", "y").has_value());
    Visibility sources{.patterns = parse(row.patterns)};
    if (row.within) sources.within = parse(*row.within);
    CHECK(index.mount("target", oci::sha256("x"), {}, sources).value().mounted == row.mounted);
    CHECK(index.sees_blob("target", "x") == row.mounted);
    index.check();
  }
}

TEST_CASE("unique bytes follow who is the only holder") {
  TestIndex index;
  const std::string x = "12345";
  const auto unique = [&](std::string_view name) { return index.usage(name).unique_bytes; };
  REQUIRE(index.push_blob("a", x).has_value());
  CHECK(unique("a") == 5);
  REQUIRE(index.mount("b", oci::sha256(x), "a").value().mounted);
  CHECK(unique("a") == 0);
  CHECK(unique("b") == 0);
  REQUIRE(index.mount("c", oci::sha256(x), "a").value().mounted);
  CHECK(unique("c") == 0);
  REQUIRE(index.delete_blob("a", oci::sha256(x)).has_value());
  CHECK(unique("b") == 0);
  REQUIRE(index.delete_blob("c", oci::sha256(x)).has_value());
  CHECK(unique("b") == 5);
  CHECK(index.usage("b").logical_bytes == 5);
  index.check();
}

TEST_CASE("a manifest is refused while what it refers to is missing, naming all of it") {
  TestIndex index;
  const Pushed wanted = image({"config", {"one", "two", "three"}});
  auto refused = index.put("a", wanted, "v1");
  REQUIRE(refused.failed_with(ErrorCode::manifest_blob_unknown));
  CHECK(refused.error().subjects.size() == 4);
  CHECK(index.tags("a") == Names{"(repository unknown)"});  // nothing was made

  REQUIRE(index.push_blob("a", "config").has_value());
  REQUIRE(index.push_blob("a", "one").has_value());
  REQUIRE(index.push_blob("b", "two").has_value());  // elsewhere does not count
  REQUIRE(index.push_blob("a", "three").has_value());
  REQUIRE(index.run(QuarantineRotten{{.context = {}, .digest = oci::sha256("three")}}).value().quarantined);
  refused = index.put("a", wanted, "v1");
  REQUIRE(refused.failed_with(ErrorCode::manifest_blob_unknown));
  CHECK(refused.error().subjects == Names{oci::sha256("two").to_string(), oci::sha256("three").to_string()});
  CHECK(!index.sees_tag("a", "v1"));

  REQUIRE(index.mount("a", oci::sha256("two"), "b").value().mounted);
  REQUIRE(index.push_blob("a", "three").value().stored);  // heals
  CHECK(index.put("a", wanted, "v1").value().created);
  CHECK(index.sees_tag("a", "v1"));
  CHECK(index.catalog() == Names{"a"});
  index.check();
}

TEST_CASE("what an index lists must be live in the same repository, unless it may be sparse") {
  TestIndex index;
  const Pushed child = index.push_image("a", {"config", {"layer"}}, "child");
  const Pushed parent = index_of({child});
  REQUIRE(index.put("b", parent, "v1").failed_with(ErrorCode::manifest_blob_unknown));
  REQUIRE(index.put("a", parent, "v1").has_value());
  REQUIRE(index.delete_manifest("a", child.digest).has_value());  // allowed, though referred to
  CHECK(index.sees_tag("a", "v1"));
  CHECK(!index.sees("a", by(child.digest)));
  const auto again = index.put("a", parent, "v2");
  CHECK(again.failed_with(ErrorCode::manifest_blob_unknown));

  PutManifest sparse{.context = {},
                     .repository = repository("b"),
                     .digest = parent.digest,
                     .manifest = parent.manifest,
                     .body = parent.body,
                     .reference = oci::Reference(tag("v1")),
                     .sparse_indexes = true,
                     .periods = index.periods};
  CHECK(index.run(std::move(sparse)).has_value());
  CHECK(index.sees_tag("b", "v1"));
  index.check();
}

TEST_CASE("an index may list blobs under any type that is no manifest's") {
  TestIndex index;
  const std::string cache = "cache";
  const std::string body = R"({"schemaVersion":2,"mediaType":")" + std::string(oci::kImageIndexType) +
                           R"(","manifests":[)" + descriptor("application/vnd.example.cache", oci::sha256(cache), 5) +
                           "]}";
  const Pushed parent = pushed(body, oci::kImageIndexType);
  REQUIRE(index.put("a", parent, "v1").failed_with(ErrorCode::manifest_blob_unknown));
  REQUIRE(index.push_blob("a", cache).has_value());
  REQUIRE(index.put("a", parent, "v1").has_value());
  index.advance(index.periods.grace * 2);
  index.collect();
  CHECK(index.sees_blob("a", cache));
  index.check();
}

TEST_CASE("the media type of some bytes is fixed with their first push") {
  TestIndex index;
  // Without a mediaType member both readings are open to a client.
  const std::string body =
      R"({"schemaVersion":2,"config":)" + descriptor(kConfigType, oci::sha256("config"), 6) + R"(,"layers":[]})";
  REQUIRE(index.push_blob("a", "config").has_value());
  REQUIRE(index.push_blob("b", "config").has_value());
  const Pushed first = pushed(body, oci::kImageManifestType);
  REQUIRE(index.put("a", first, "v1").has_value());
  Pushed other = first;
  auto changed = *first.manifest;
  changed.media_type = "application/vnd.docker.distribution.manifest.v2+json";
  other.manifest = std::make_shared<const oci::Manifest>(changed);
  CHECK(index.put("a", other, "v2").failed_with(ErrorCode::manifest_invalid));
  CHECK(index.put("b", other, "v1").failed_with(ErrorCode::manifest_invalid));
  CHECK(index.put("b", first, "v1").has_value());
  index.check();
}

TEST_CASE("pushing a manifest again succeeds and only moves what changed") {
  TestIndex index;
  const Pushed first = index.push_image("a", {"config", {"layer"}}, "v1");
  const Pushed second = index.push_image("a", {"config2", {"layer"}}, "v2");
  const UsageRecord usage = index.usage("a");

  CHECK(!index.put("a", first, "v1").value().created);
  CHECK(index.touched.empty());
  CHECK(index.usage("a") == usage);

  CHECK(!index.put("a", second, "v1").value().created);
  CHECK(index.touched == Names{cache_key(0, "a", "v1")});
  CHECK(find_tag(index.reader(), 1, "v1").value()->digest == second.digest);
  CHECK(find_tag(index.reader(), 1, "v1").value()->version == 2);
  CHECK(index.sees("a", by(first.digest)));

  CHECK(!index.put("a", first, by(first.digest), {tag("x"), tag("y"), tag("x")}).value().created);
  CHECK(index.tags("a") == Names{"v1", "v2", "x", "y"});
  CHECK(index.usage("a").tags == 4);
  index.check();
}

TEST_CASE("a precondition is about the reference that was named") {
  struct Row {
    const char* name;
    std::string reference;  ///< a tag; empty: the digest
    bool first_there;       ///< v1 leads to the first image
    Precondition precondition;
    bool holds;
  };
  const Pushed first = image({"config", {}});
  const std::string is = first.digest.to_string();
  const std::string other = oci::sha256("other").to_string();
  const std::vector<Row> rows = {
      {"create only, free", "v1", false, {.must_not_exist = true}, true},
      {"create only, taken", "v1", true, {.must_not_exist = true}, false},
      {"create only, another tag", "v2", true, {.must_not_exist = true}, true},
      {"create only by digest, new", "", false, {.must_not_exist = true}, true},
      {"create only by digest, there", "", true, {.must_not_exist = true}, false},
      {"swap, right", "v1", true, {.must_match = {other, is}}, true},
      {"swap, wrong", "v1", true, {.must_match = {other}}, false},
      {"swap, gone", "v1", false, {.must_match = {is}}, false},
      {"swap by digest", "", true, {.must_match = {is}}, true},
      {"overwrite only, there", "v1", true, {.must_exist = true}, true},
      {"overwrite only, free", "v1", false, {.must_exist = true}, false},
  };
  for (const Row& row : rows) {
    INFO(row.name);
    TestIndex index;
    REQUIRE(index.push_blob("a", "config").has_value());
    if (row.first_there) REQUIRE(index.put("a", first, "v1").has_value());
    const oci::Reference reference = row.reference.empty() ? by(first.digest) : oci::Reference(tag(row.reference));
    const UsageRecord before = index.usage("a");
    auto put = index.put("a", first, reference, {}, row.precondition);
    CHECK(put.has_value() == row.holds);
    if (!row.holds) {
      CHECK(put.failed_with(ErrorCode::precondition_failed));
      CHECK(index.usage("a") == before);
    }
    index.check();
  }

  TestIndex index;
  index.push_image("a", {"config", {}}, "v1");
  CHECK(index.delete_tag("a", "v1", {.must_match = {other}}).failed_with(ErrorCode::precondition_failed));
  CHECK(index.sees_tag("a", "v1"));
  CHECK(index.delete_tag("a", "v1", {.must_match = {is}}).has_value());
  CHECK(!index.sees_tag("a", "v1"));
}

TEST_CASE("a tag that is deleted leaves its manifest, and its versions go on") {
  TestIndex index;
  const Pushed made = index.push_image("a", {"config", {}}, "v1");
  CHECK(index.delete_tag("a", "v2").failed_with(ErrorCode::manifest_unknown));
  CHECK(index.delete_tag("b", "v1").failed_with(ErrorCode::manifest_unknown));
  REQUIRE(index.delete_tag("a", "v1").has_value());
  CHECK(index.touched == Names{cache_key(0, "a", "v1")});
  CHECK(!index.sees_tag("a", "v1"));
  CHECK(index.sees("a", by(made.digest)));
  CHECK(index.tags("a").empty());
  REQUIRE(index.put("a", made, "v1").has_value());
  CHECK(find_tag(index.reader(), 1, "v1").value()->version == 3);

  struct Logged {
    std::uint64_t version;
    bool from, to;
    TagChange reason;
  };
  const std::vector<Logged> expected = {
      {1, false, true, TagChange::push}, {2, true, false, TagChange::delete_tag}, {3, false, true, TagChange::push}};
  for (const Logged& row : expected) {
    INFO(row.version);
    auto entry = get(index.reader(), TagLogKey{1, "v1", row.version});
    REQUIRE(entry.has_value());
    REQUIRE(entry->has_value());
    CHECK((*entry)->from == (row.from ? std::optional(made.digest) : std::nullopt));
    CHECK((*entry)->to == (row.to ? std::optional(made.digest) : std::nullopt));
    CHECK((*entry)->reason == row.reason);
    CHECK((*entry)->actor == index.context.actor);
    CHECK((*entry)->when == index.context.now);
  }
  index.check();
}

TEST_CASE("a manifest that is deleted is gone with its tags and its referrer entry, until it is pushed again") {
  TestIndex index;
  const Pushed subject = index.push_image("a", {"config", {}}, "v1");
  const std::string about = subject.digest.to_string();
  const Pushed made = index.push_image("a", {"config", {"layer"}, about, "application/x"}, "sig");
  REQUIRE(index.put("a", made, "sig2").has_value());
  const UsageRecord before = index.usage("a");
  const auto referrers = [&] {
    return list_referrers(index.reader(), 0, repository("a"), about, {}, 10, 1 << 20, "").value().descriptors.size();
  };
  CHECK(referrers() == 1);

  CHECK(index.delete_manifest("a", oci::sha256("?")).failed_with(ErrorCode::manifest_unknown));
  REQUIRE(index.delete_manifest("a", made.digest).has_value());
  Names touched = index.touched;
  Names expected = {cache_key(0, "a", "sig"), cache_key(0, "a", "sig2"), cache_key(0, "a", made.digest.to_string())};
  std::ranges::sort(touched);
  std::ranges::sort(expected);
  CHECK(touched == expected);
  CHECK(index.tags("a") == Names{"v1"});
  CHECK(!index.sees("a", by(made.digest)));
  CHECK(referrers() == 0);
  CHECK(index.sees_blob("a", "layer"));
  index.check();

  // Within the undo window the blobs stay, though no live manifest needs them.
  index.advance(index.periods.undo_window - std::chrono::hours(1));
  index.collect();
  CHECK(index.sees_blob("a", "layer"));
  CHECK(index.put("a", made, "sig").value().created);
  REQUIRE(index.put("a", made, "sig2").has_value());
  CHECK(index.usage("a") == before);
  CHECK(referrers() == 1);
  index.advance(index.periods.undo_window * 2);
  index.collect();
  CHECK(index.sees_tag("a", "sig"));
  CHECK(index.sees_blob("a", "layer"));
  index.check();

  // Deleted again, it goes for good, and a grace later its blobs.
  REQUIRE(index.delete_manifest("a", made.digest).has_value());
  index.advance(index.periods.undo_window);
  index.collect();
  CHECK(index.sees_blob("a", "layer"));
  index.check();
  index.advance(index.periods.grace);
  index.collect();
  CHECK(!index.sees_blob("a", "layer"));
  CHECK(index.sees_blob("a", "config"));
  CHECK(index.sees_tag("a", "v1"));
  index.check();
}

TEST_CASE("a manifest with more tags than one command removes goes in one visible step") {
  TestIndex index;
  constexpr std::size_t kTags = DeleteManifest::kTagsMax * 2 + 10;
  const Pushed kept = index.push_image("a", {"config", {}}, "kept");
  const Pushed made = index.push_image("a", {"config", {"layer"}}, "t");
  std::vector<oci::Tag> many;
  for (std::size_t i = 0; i < kTags; ++i) many.push_back(tag("t" + std::to_string(i)));
  REQUIRE(index.put("a", made, by(made.digest), many).has_value());
  CHECK(index.tags("a").size() == kTags + 2);

  REQUIRE(index.delete_manifest("a", made.digest).has_value());
  CHECK(std::find(index.touched.begin(), index.touched.end(), cache_key(0, "a", "")) != index.touched.end());
  CHECK(index.tags("a") == Names{"kept"});
  CHECK(index.tags("a", 1) == Names{"kept"});
  for (const oci::Tag& one : many) REQUIRE(!index.sees("a", oci::Reference(one)));
  const std::string left = many.back().text();
  CHECK(index.delete_tag("a", left).failed_with(ErrorCode::manifest_unknown));
  index.check();

  SECTION("the rest is swept in bounded steps") {
    CHECK(index.collect() >= 2);
    CHECK(index.usage("a").tags == 1);
    CHECK(index.tags("a") == Names{"kept"});
  }
  SECTION("a push of the same manifest does not bring the rest back") {
    REQUIRE(index.put("a", made, "fresh").value().created);
    CHECK(index.tags("a") == Names{"fresh", "kept"});
    CHECK(!index.sees_tag("a", left));
    index.check();
    // A tag that was left behind can be set anew; its history has both ends.
    REQUIRE(index.put("a", made, left).has_value());
    CHECK(index.sees_tag("a", left));
    CHECK(find_tag(index.reader(), 1, left).value()->version == 3);
    index.check();
    index.collect();
    CHECK(index.sees_tag("a", left));
    CHECK(index.usage("a").tags == 3);
  }
  SECTION("a tag that was left behind can be pointed elsewhere") {
    REQUIRE(index.put("a", kept, left).has_value());
    CHECK(index.sees_tag("a", left));
    auto removed = get(index.reader(), TagLogKey{1, left, 2}).value();
    REQUIRE(removed);
    CHECK(removed->reason == TagChange::delete_manifest);
    index.collect();
    CHECK(index.sees_tag("a", left));
  }
  SECTION("deleted twice before any sweep") {
    REQUIRE(index.put("a", made, "fresh").value().created);
    REQUIRE(index.delete_manifest("a", made.digest).has_value());
    CHECK(index.tags("a") == Names{"kept"});
    index.check();
    index.collect();
    CHECK(index.usage("a").tags == 1);
  }
  SECTION("the undo window ends before any sweep") {
    index.advance(index.periods.undo_window * 2);
    index.collect();
    CHECK(index.usage("a").tags == 1);
    CHECK(!get(index.reader(), ManifestKey{1, made.digest}).value());
  }
  index.check();
}

TEST_CASE("a blob that a manifest needs is hidden, another is unlinked") {
  TestIndex index;
  const Pushed made = index.push_image("a", {"config", {"layer"}}, "v1");
  REQUIRE(index.push_file("a", "free", "f").has_value());
  CHECK(index.delete_blob("a", oci::sha256("none")).failed_with(ErrorCode::blob_unknown));

  REQUIRE(index.delete_blob("a", oci::sha256("free")).has_value());
  CHECK(index.touched == Names{cache_key(0, "a", oci::sha256("free").to_string())});
  CHECK(!index.sees_blob("a", "free"));
  CHECK(index.reaped() == Names{TestIndex::place("free", "f").name});
  CHECK(!get(index.reader(), ObjectKey{ObjectKind::blob, oci::sha256("free")}).value());
  index.check();

  REQUIRE(index.delete_blob("a", oci::sha256("layer")).has_value());
  CHECK(index.touched == Names{cache_key(0, "a", oci::sha256("layer").to_string())});
  CHECK(!index.sees_blob("a", "layer"));
  CHECK(index.delete_blob("a", oci::sha256("layer")).failed_with(ErrorCode::blob_unknown));
  CHECK(index.sees_tag("a", "v1"));
  index.advance(index.periods.grace * 3);
  index.collect();
  index.check();
  CHECK(get(index.reader(), ObjectKey{ObjectKind::blob, oci::sha256("layer")}).value());
  CHECK(index.put("a", made, "v2").failed_with(ErrorCode::manifest_blob_unknown));
  CommitBlob again{.context = {},
                   .repository = repository("a"),
                   .digest = oci::sha256("layer"),
                   .size = 5,
                   .content = {},
                   .periods = index.periods};
  REQUIRE(!index.run(std::move(again)).value().bytes_needed);
  CHECK(index.sees_blob("a", "layer"));
  index.check();

  REQUIRE(index.delete_blob("a", oci::sha256("layer")).has_value());
  REQUIRE(index.delete_manifest("a", made.digest).has_value());
  index.advance(index.periods.undo_window);
  index.collect();
  index.advance(index.periods.grace);
  index.collect();
  CHECK(!get(index.reader(), ObjectKey{ObjectKind::blob, oci::sha256("layer")}).value());
  index.check();
}

TEST_CASE("a link that nothing refers to is collected after its grace, and only then") {
  TestIndex index;
  const std::chrono::milliseconds hour = std::chrono::hours(1);
  const auto extend = [&] {
    return index.run(
        ExtendLink{.context = {}, .repository = repository("a"), .digest = oci::sha256("x"), .periods = index.periods});
  };
  CHECK(extend().failed_with(ErrorCode::blob_unknown));
  REQUIRE(index.push_file("a", "x", "f").has_value());
  REQUIRE(index.push_blob("a", "y").has_value());

  SECTION("untouched") {
    index.advance(index.periods.grace - hour);
    index.collect();
    CHECK(index.sees_blob("a", "x"));
    index.advance(hour);
    index.collect();
    CHECK(!index.sees_blob("a", "x"));
    CHECK(index.reaped() == Names{TestIndex::place("x", "f").name});
    CHECK(index.tags("a") == Names{"(repository unknown)"});  // it held nothing else
    index.collect();
    CHECK(!get(index.reader(), RepositoryKey{1}).value());
  }
  SECTION("extended near its end") {
    index.advance(index.periods.grace - hour);
    REQUIRE(extend().has_value());
    index.advance(hour);
    index.collect();
    CHECK(index.sees_blob("a", "x"));
    CHECK(!index.sees_blob("a", "y"));
    index.check();
    index.advance(index.periods.grace);
    index.collect();
    CHECK(!index.sees_blob("a", "x"));
  }
  SECTION("extending early does nothing") {
    const auto before = get(index.reader(), LinkKey{1, oci::sha256("x")}).value();
    index.advance(hour);
    REQUIRE(extend().has_value());
    CHECK(get(index.reader(), LinkKey{1, oci::sha256("x")}).value() == before);
  }
  SECTION("pushed again near its end") {
    index.advance(index.periods.grace - hour);
    REQUIRE(index.push_blob("a", "x").has_value());
    index.advance(index.periods.grace - hour);
    index.collect();
    CHECK(index.sees_blob("a", "x"));
  }
  SECTION("a manifest came") {
    REQUIRE(index.push_blob("a", "config").has_value());
    REQUIRE(index.put("a", image({"config", {"x"}}), "v1").has_value());
    index.advance(index.periods.grace * 5);
    index.collect();
    CHECK(index.sees_blob("a", "x"));
    CHECK(get(index.reader(), LinkKey{1, oci::sha256("x")}).value()->due == Uptime{0});
    REQUIRE(extend().has_value());
    CHECK(get(index.reader(), LinkKey{1, oci::sha256("x")}).value()->due == Uptime{0});
  }
  index.check();
}

TEST_CASE("what was not due is left alone, whoever asks") {
  TestIndex index;
  REQUIRE(index.push_blob("a", "x").has_value());
  auto entries = due_entries(index.reader(), Uptime::max(), 10).value();
  REQUIRE(entries.size() == 1);
  CHECK(index.run(CollectDue{.context = {}, .entries = entries, .periods = index.periods}).value().finished == 0);
  CHECK(index.sees_blob("a", "x"));
  CHECK(due_entries(index.reader(), index.context.uptime, 10).value().empty());
  index.check();
}

TEST_CASE("a manifest with more edges than one step drops goes in several") {
  TestIndex index;
  ImageParts parts{"config", {}};
  for (std::size_t i = 0; i < CollectDue::kRecordsMax * 2; ++i) parts.layers.push_back("layer " + std::to_string(i));
  const Pushed made = index.push_image("a", parts, "v1");
  REQUIRE(index.delete_manifest("a", made.digest).has_value());
  index.advance(index.periods.undo_window);
  auto entries = due_entries(index.reader(), index.context.uptime, 1000).value();
  const DueKey drop = entries.back();
  REQUIRE(drop.kind == DueKind::manifest);
  const auto step = [&] {
    return index.run(CollectDue{.context = {}, .entries = {drop}, .periods = index.periods}).value().finished;
  };
  CHECK(step() == 0);
  index.check();

  SECTION("to its end") {
    CHECK(step() == 0);
    index.check();
    CHECK(step() == 1);
    CHECK(!get(index.reader(), ManifestKey{1, made.digest}).value());
    index.advance(index.periods.grace);
    index.collect();
    CHECK(index.tags("a") == Names{"(repository unknown)"});
  }
  SECTION("a push half-way brings all of it back") {
    CHECK(index.put("a", made, "v1").value().created);
    index.advance(index.periods.grace * 10);
    index.collect();
    for (const std::string& layer : parts.layers) REQUIRE(index.sees_blob("a", layer));
  }
  index.check();
}

TEST_CASE("a repository that is deleted frees its name at once and is purged in bounded steps") {
  TestIndex index;
  CHECK(index.delete_repository("a/b").failed_with(ErrorCode::repository_unknown));
  std::vector<Pushed> images;
  for (int i = 0; i < 120; ++i) {
    images.push_back(index.push_image("a/b", {"config", {"layer " + std::to_string(i)}}, "v1.0." + std::to_string(i)));
  }
  index.push_image("a/b", {"config", {}, images[0].digest.to_string(), "application/x"}, "sig");
  REQUIRE(index.mount("a/c", oci::sha256("config"), "a/b").value().mounted);
  REQUIRE(index.push_file("a/b", "file", "f").has_value());
  CHECK(project_usage(index.reader(), 0, "a").value().manifests == 121);

  REQUIRE(index.delete_repository("a/b").has_value());
  CHECK(index.touched == Names{cache_key(0, "a/b", "")});
  CHECK(index.tags("a/b") == Names{"(repository unknown)"});
  CHECK(!index.sees_tag("a/b", "v1.0.1"));
  CHECK(!index.sees_blob("a/b", "config"));
  CHECK(index.catalog().empty());
  CHECK(project_usage(index.reader(), 0, "a").value() == ProjectUsageRecord{.logical_bytes = 6});
  index.check();

  // The name is another repository's now, and what becomes of the old one is nothing to it.
  const Pushed fresh = index.push_image("a/b", {"config", {}}, "new");
  CHECK(index.tags("a/b") == Names{"new"});
  index.check();
  index.advance(index.periods.undo_window);
  int steps = 0;
  for (;; ++steps) {
    auto entries = due_entries(index.reader(), index.context.uptime, CollectDue::kEntriesMax).value();
    if (entries.empty()) break;
    REQUIRE(index.run(CollectDue{.context = {}, .entries = entries, .periods = index.periods}).has_value());
    index.check();
  }
  CHECK(steps > 4);
  CHECK(!get(index.reader(), RepositoryKey{1}).value());
  CHECK(index.reaped() == Names{TestIndex::place("file", "f").name});
  CHECK(index.tags("a/b") == Names{"new"});
  CHECK(index.sees_blob("a/b", "config"));
  index.check();
}

TEST_CASE("an empty repository leaves the catalog with its last manifest and goes with its last blob") {
  TestIndex index;
  const Pushed made = index.push_image("a", {"config", {}}, "v1");
  CHECK(index.catalog() == Names{"a"});
  REQUIRE(index.delete_manifest("a", made.digest).has_value());
  CHECK(index.catalog().empty());
  CHECK(index.tags("a").empty());  // there is still a blob, so it exists
  index.advance(index.periods.undo_window + index.periods.grace);
  index.collect();
  index.advance(index.periods.grace);
  index.collect();
  CHECK(index.tags("a") == Names{"(repository unknown)"});
  index.check();
  // Only what is about the store itself is left.
  for (const kv::Family family : {family::names, family::objects, family::bytes, family::links, family::manifests,
                                  family::tags, family::tag_log, family::queues, family::usage}) {
    INFO(static_cast<int>(family));
    CHECK(!any_with_prefix(index.reader(), family, "").value());
  }
}

TEST_CASE("files that were removed are forgotten") {
  TestIndex index;
  REQUIRE(index.push_file("a", "x", "f").has_value());
  REQUIRE(index.delete_blob("a", oci::sha256("x")).has_value());
  CHECK(reap_entries(index.reader(), index.context.uptime, 10).value().empty());  // a reader may have it open
  index.advance(index.periods.reap_delay);
  const auto entries = reap_entries(index.reader(), index.context.uptime, 10).value();
  REQUIRE(entries.size() == 1);
  REQUIRE(index.run(ReapDone{.context = {}, .entries = entries}).has_value());
  CHECK(index.reaped().empty());
}

TEST_CASE("pulls add up for what is there and are dropped with it") {
  TestIndex index;
  const Pushed made = index.push_image("a", {"config", {}}, "v1");
  const auto fold = [&](std::string name, std::string reference, std::uint64_t pulls, std::int64_t seconds) {
    const WallTime last = index.context.now + std::chrono::seconds(seconds);
    FoldPulls command{.context = {}, .entries = {{0, std::move(name), std::move(reference), pulls, last}}};
    REQUIRE(index.run(std::move(command)).has_value());
  };
  fold("a", "v1", 2, 5);
  fold("a", "v1", 3, 1);
  fold("a", made.digest.to_string(), 1, 0);
  fold("a", "v2", 1, 0);
  fold("b", "v1", 1, 0);
  fold("a", "sha256:nonsense", 1, 0);
  const auto pulls = [&](const std::string& reference) { return get(index.reader(), PullsKey{1, reference}).value(); };
  REQUIRE(pulls("v1"));
  CHECK(pulls("v1")->pulls == 5);
  CHECK(pulls("v1")->last_pull == index.context.now + std::chrono::seconds(5));
  CHECK(pulls(made.digest.to_string())->pulls == 1);
  CHECK(!pulls("v2"));
  REQUIRE(index.delete_manifest("a", made.digest).has_value());
  CHECK(!pulls("v1"));
  index.advance(index.periods.undo_window);
  index.collect();
  CHECK(!pulls(made.digest.to_string()));
  index.check();
}

TEST_CASE("the up-time clock is written down and never goes back") {
  TestIndex index;
  REQUIRE(index.run(PersistUptime{}).has_value());
  index.context.uptime -= std::chrono::minutes(1);
  REQUIRE(index.run(PersistUptime{}).has_value());
  CHECK(index.run(InitFormat{}).value().uptime == index.context.uptime + std::chrono::minutes(1));
}

TEST_CASE("a data format is written once and a newer major one refused") {
  struct Row {
    const char* name;
    std::optional<FormatRecord> there;
    bool used;
    std::optional<ErrorCode> error;
    bool created;
  };
  const std::vector<Row> rows = {
      {"new", {}, false, {}, true},
      {"this one", FormatRecord{kFormatMajor, kFormatMinor}, true, {}, false},
      {"a newer minor", FormatRecord{kFormatMajor, kFormatMinor + 1}, true, {}, false},
      {"a newer major", FormatRecord{kFormatMajor + 1, 0}, true, ErrorCode::unavailable, false},
      {"major 0", FormatRecord{0, 1}, true, ErrorCode::corrupt, false},
      {"content without a version", {}, true, ErrorCode::corrupt, false},
  };
  for (const Row& row : rows) {
    INFO(row.name);
    TestIndex index;
    std::vector<kv::Write> writes;
    if (row.there) writes.push_back({FormatKey::kFamily, FormatKey{}.encode(), encode(*row.there)});
    if (row.used) writes.push_back({family::names, RepositoryKey{1}.encode(), encode(RepositoryRecord{.name = "a"})});
    REQUIRE(index.store->write(writes).has_value());
    index.reopen();
    auto done = index.run(InitFormat{});
    CHECK(done.has_value() == !row.error);
    if (row.error) CHECK(done.failed_with(*row.error));
    if (!row.error) {
      CHECK(done->created == row.created);
      const FormatRecord now = get(index.reader(), FormatKey{}).value().value();
      CHECK(now == row.there.value_or(FormatRecord{kFormatMajor, kFormatMinor}));
    }
  }
}

TEST_CASE("what was healed while somebody still held the damaged bytes is not quarantined") {
  TestIndex index;
  const Pushed made = index.push_image("a", {"config", {}}, "v1");
  const ContentKey manifest{ObjectKind::manifest, made.digest};
  const ContentKey blob{ObjectKind::blob, oci::sha256("config")};
  for (const ContentKey& key : {manifest, blob}) {
    INFO(key.digest.to_string());
    const Quarantine late{.context = {}, .kind = key.kind, .digest = key.digest, .file = {}};
    CHECK(!index.run(late).value().quarantined);  // as after the push that healed it
    CHECK(index.run(QuarantineRotten{late}).value().quarantined);
  }
}

TEST_CASE("quarantine means the copy that was read") {
  TestIndex index;
  const Pushed made = index.push_image("a", {"config", {}}, "v1");
  REQUIRE(index.push_file("a", "x", "one").has_value());
  const auto quarantine = [&](ObjectKind kind, const oci::Digest& digest, const std::string& file) {
    return index.run(Quarantine{.context = {}, .kind = kind, .digest = digest, .file = file}).value().quarantined;
  };
  const std::string one = TestIndex::place("x", "one").name;
  CHECK(!quarantine(ObjectKind::blob, oci::sha256("none"), ""));
  CHECK(!quarantine(ObjectKind::blob, oci::sha256("x"), TestIndex::place("x", "two").name));
  CHECK(index.sees_blob("a", "x"));
  CHECK(quarantine(ObjectKind::blob, oci::sha256("x"), one));
  CHECK(!quarantine(ObjectKind::blob, oci::sha256("x"), one));
  CHECK(!index.sees_blob("a", "x"));
  REQUIRE(index.push_file("a", "x", "two").value().stored);
  CHECK(index.sees_blob("a", "x"));
  CHECK(index.reaped() == Names{one});

  CHECK(index.run(QuarantineRotten{{.context = {}, .kind = ObjectKind::manifest, .digest = made.digest}}).value().quarantined);
  CHECK(!index.sees_tag("a", "v1"));
  REQUIRE(index.put("a", made, "v1").has_value());
  CHECK(index.sees_tag("a", "v1"));
  index.check();
}

/// What a replica would have: the change log applied to nothing.
std::map<std::pair<kv::Family, std::string>, std::string> replay(const kv::Reader& reader) {
  std::map<std::pair<kv::Family, std::string>, std::string> state;
  auto cursor = reader.scan(family::log, {}).value();
  std::uint64_t expected = 1;
  for (; cursor->valid(); cursor->next()) {
    CHECK(kv::read_u64(cursor->key()) == expected++);
    auto change = decode<ChangeRecord>(cursor->value());
    REQUIRE(change.has_value());
    for (const ChangeRecord::Write& write : change->writes) {
      if (write.value) {
        state[{write.family, write.key}] = *write.value;
      } else {
        state.erase({write.family, write.key});
      }
    }
  }
  return state;
}

TEST_CASE("the change log says all of what changed, who did it, when and why") {
  TestIndex index;
  const Pushed first = index.push_image("a", {"config", {"layer"}}, "v1");
  index.push_image("b/c", {"config", {"layer"}, first.digest.to_string()}, "v1");
  REQUIRE(index.delete_manifest("a", first.digest).has_value());
  index.advance(index.periods.undo_window);
  index.collect();
  REQUIRE(index.mount("d", oci::sha256("layer"), "b/c").value().mounted);
  REQUIRE(index.delete_blob("b/c", oci::sha256("layer")).has_value());
  REQUIRE(index.delete_tag("b/c", "v1").has_value());
  index.push_image("e", {"config", {"layer"}}, "v1");
  REQUIRE(index.run(QuarantineRotten{{.context = {}, .digest = oci::sha256("config")}}).value().quarantined);
  FoldPulls pulls{.context = {}, .entries = {{0, "e", "v1", 3, index.context.now}}};
  REQUIRE(index.run(std::move(pulls)).has_value());
  index.advance(index.periods.grace - std::chrono::hours(1));
  ExtendLink extend{
      .context = {}, .repository = repository("d"), .digest = oci::sha256("layer"), .periods = index.periods};
  REQUIRE(index.run(std::move(extend)).has_value());
  REQUIRE(index.delete_repository("b/c").has_value());

  const auto state = replay(index.reader());
  std::size_t replicated = 0;
  for (const kv::Family family : {family::meta, family::names, family::objects, family::links, family::manifests,
                                  family::tags, family::tag_log, family::usage}) {
    auto cursor = index.reader().scan(family, {}).value();
    for (; cursor->valid(); cursor->next()) {
      if (family == family::objects && cursor->key().starts_with(PlaceKey::prefix())) continue;
      if (family == family::meta && cursor->key().starts_with(TotalKey{}.encode().substr(0, 1))) continue;
      INFO(static_cast<int>(family));
      const auto found = state.find({family, std::string(cursor->key())});
      REQUIRE(found != state.end());
      CHECK(found->second == cursor->value());
      ++replicated;
    }
  }
  CHECK(replicated == state.size());

  auto cursor = index.reader().scan(family::log, {}, kv::Direction::backward).value();
  auto last = decode<ChangeRecord>(cursor->value());
  REQUIRE(last.has_value());
  CHECK(last->command == CommandKind::delete_repository);
  CHECK(last->actor == index.context.actor);
  CHECK(last->when == index.context.now);
  CHECK(last->request_id == index.context.request_id);
}

TEST_CASE("the change log is trimmed from its front and keeps its newest entry") {
  TestIndex index;
  const auto numbers = [&] {
    std::vector<std::uint64_t> out;
    auto cursor = index.reader().scan(family::log, {}).value();
    for (; cursor->valid(); cursor->next()) out.push_back(kv::read_u64(cursor->key()));
    return out;
  };
  const auto trim = [&](WallTime keep_from) {
    return index.run(TrimChangeLog{.context = {}, .keep_from = keep_from}).value().more;
  };
  CHECK(!trim(WallTime::max()));  // an empty log
  for (int i = 0; i < 5; ++i) {
    REQUIRE(index.push_blob("a", std::to_string(i)).has_value());
    index.advance(std::chrono::seconds(1));
  }
  CHECK(!trim(index.context.now - std::chrono::seconds(2)));
  CHECK(numbers() == std::vector<std::uint64_t>{4, 5});
  CHECK(!trim(WallTime::max()));
  CHECK(numbers() == std::vector<std::uint64_t>{5});
  CHECK(get(index.reader(), LogStartKey{}).value()->number == 5);
  index.reopen();
  REQUIRE(index.push_blob("a", "more").has_value());
  CHECK(numbers() == std::vector<std::uint64_t>{5, 6});

  for (std::size_t i = 0; i < TrimChangeLog::kEntriesMax + 10; ++i)
    REQUIRE(index.push_blob("a", std::to_string(i)).has_value());
  const std::size_t before = numbers().size();
  CHECK(trim(WallTime::max()));
  CHECK(numbers().size() == before - TrimChangeLog::kEntriesMax);
  CHECK(!trim(WallTime::max()));
  CHECK(numbers().size() == 1);
}

}  // namespace
}  // namespace berth::registry
