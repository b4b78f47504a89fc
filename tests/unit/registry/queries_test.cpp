// What readers are told: pages, cursors, where bytes are, and what damage and a cold cache look like.
#include "registry/queries.h"

#include <functional>

#include "tests/unit/registry/command_harness.h"

namespace berth::registry {
namespace {

using namespace testing;
using Names = std::vector<std::string>;

TEST_CASE("tags come in pages of their byte order") {
  TestIndex index;
  const Pushed made = index.push_image("a", {"config", {}}, "b");
  for (const char* more : {"B", "a", "b-1", "b.1", "c", "_"}) REQUIRE(index.put("a", made, more).has_value());
  index.push_image("a-b", {"config", {}}, "z");  // a neighbour in name and in id
  struct Row {
    const char* name;
    std::size_t n;
    std::string last;
    Names tags;
    bool more;
  };
  const std::vector<Row> rows = {
      {"all", 100, "", {"B", "_", "a", "b", "b-1", "b.1", "c"}, false},
      {"exactly all", 7, "", {"B", "_", "a", "b", "b-1", "b.1", "c"}, false},
      {"one fewer", 6, "", {"B", "_", "a", "b", "b-1", "b.1"}, true},
      {"none", 0, "", {}, false},
      {"after one that exists", 2, "a", {"b", "b-1"}, true},
      {"after one that others begin with", 1, "b", {"b-1"}, true},
      {"after one that does not exist", 2, "ab", {"b", "b-1"}, true},
      {"after the end", 2, "c", {}, false},
      {"after what is no tag", 2, std::string("a\0b", 3), {"b", "b-1"}, true},
      {"after bytes above all tags", 2, "\xff\xff", {}, false},
  };
  for (const Row& row : rows) {
    INFO(row.name);
    auto page = list_tags(index.reader(), kLocalNamespace, repository("a"), row.n, row.last);
    REQUIRE(page.has_value());
    CHECK(page->tags == row.tags);
    CHECK(page->more == row.more);
  }
  CHECK(list_tags(index.reader(), kLocalNamespace, repository("b"), 1, "").failed_with(ErrorCode::repository_unknown));
  CHECK(list_tags(index.reader(), 1, repository("a"), 1, "").failed_with(ErrorCode::repository_unknown));
}

TEST_CASE("repositories with a live manifest come in pages of their byte order") {
  TestIndex index;
  for (const char* name : {"b", "a/b", "a", "a-b"}) index.push_image(name, {"config", {}}, "v1");
  REQUIRE(index.push_blob("a/blob", "x").has_value());
  const auto page = [&](std::size_t n, std::string_view last, bool all = true) {
    auto answer = list_repositories(index.reader(), kLocalNamespace, Visibility{.all = all}, n, last);
    REQUIRE(answer.has_value());
    return *answer;
  };
  CHECK(page(10, "").names == Names{"a", "a-b", "a/b", "b"});
  CHECK(!page(4, "").more);
  CHECK(page(2, "").names == Names{"a", "a-b"});
  CHECK(page(2, "").more);
  CHECK(page(2, "a-b").names == Names{"a/b", "b"});
  CHECK(page(2, "aa").names == Names{"b"});
  CHECK(page(0, "").names.empty());
  CHECK(page(10, "", false).names.empty());
}

TEST_CASE("referrers come in order of arrival, filtered, with a cursor") {
  TestIndex index;
  const Pushed subject = index.push_image("a", {"config", {}}, "v1");
  const std::string about = subject.digest.to_string();
  std::vector<std::string> descriptors;
  for (int i = 0; i < 7; ++i) {
    ImageParts parts{"config", {}, about, i % 2 == 0 ? "application/even" : "application/odd"};
    for (int layer = 0; layer < i; ++layer) parts.layers.push_back(std::to_string(layer));
    const Pushed made = index.push_image("a", parts, "r" + std::to_string(i));
    descriptors.push_back(oci::referrer_descriptor(*made.manifest, made.digest, made.body->size()));
  }
  const auto list = [&](const std::vector<std::string>& types, std::size_t n, std::size_t bytes_max,
                        std::string_view cursor) {
    auto page = list_referrers(index.reader(), kLocalNamespace, repository("a"), about, types, n, bytes_max, cursor);
    REQUIRE(page.has_value());
    return *page;
  };
  /// Page after page until the cursor is empty.
  const auto walk = [&](const std::vector<std::string>& types, std::size_t n, std::size_t bytes_max) {
    Names all;
    std::string cursor;
    for (int pages = 0; pages < 20; ++pages) {
      const ReferrerPage page = list(types, n, bytes_max, cursor);
      all.insert(all.end(), page.descriptors.begin(), page.descriptors.end());
      cursor = page.next_cursor;
      if (cursor.empty()) return all;
    }
    return all;
  };
  const std::size_t lots = 1 << 20;
  CHECK(list({}, 100, lots, "").descriptors == descriptors);
  CHECK(list({}, 100, lots, "").next_cursor.empty());
  CHECK(list({}, 7, lots, "").next_cursor.empty());
  CHECK(list({}, 0, lots, "").descriptors.empty());
  CHECK(list({}, 2, lots, "").descriptors.size() == 2);
  CHECK(list({}, 100, descriptors[0].size() + descriptors[1].size(), "").descriptors.size() == 2);
  CHECK(list({}, 100, 1, "").descriptors.size() == 1);  // never a page without progress
  CHECK(walk({}, 2, lots) == descriptors);
  CHECK(walk({}, 100, 1) == descriptors);
  const Names odd = {descriptors[1], descriptors[3], descriptors[5]};
  CHECK(list({"application/odd"}, 100, lots, "").descriptors == odd);
  CHECK(walk({"application/odd"}, 1, lots) == odd);
  CHECK(walk({"application/odd", "application/even"}, 3, lots) == descriptors);
  CHECK(list({"application/none"}, 100, lots, "").descriptors.empty());

  const auto anywhere = [&](std::string_view name, std::string subject_text, std::string_view cursor) {
    return list_referrers(index.reader(), kLocalNamespace, repository(name), subject_text, {}, 10, lots, cursor);
  };
  CHECK(anywhere("b", about, "").value().descriptors.empty());
  CHECK(anywhere("a", about.substr(0, about.size() - 1), "").value().descriptors.empty());
  CHECK(anywhere("a", "blake3:x", "").value().descriptors.empty());
  for (const char* cursor :
       {"x", "0", "000000000000000g", "00000000000000000", "000000000000000F", "-000000000000001"}) {
    INFO(cursor);
    CHECK(anywhere("a", about, cursor).failed_with(ErrorCode::page_invalid));
    CHECK(anywhere("b", about, cursor).failed_with(ErrorCode::page_invalid));
  }
  CHECK(anywhere("a", about, "ffffffffffffffff").value().descriptors.empty());
}

TEST_CASE("a page of referrers ends after so many that the filter dropped") {
  TestIndex index;
  index.push_image("a", {"config", {}}, "v1");
  std::vector<kv::Write> writes;
  ReferrerRecord record{.artifact_type = "other", .descriptor = "{}"};
  for (std::uint64_t i = 1; i <= kReferrersScannedMax + 1; ++i) {
    if (i == kReferrersScannedMax + 1) record.artifact_type = "wanted";
    writes.push_back({ReferrerKey::kFamily, ReferrerKey{1, "s:1", i, oci::sha256("x")}.encode(), encode(record)});
  }
  REQUIRE(index.store->write(writes).has_value());
  index.reopen();
  const auto list = [&](std::string_view cursor) {
    return list_referrers(index.reader(), kLocalNamespace, repository("a"), "s:1", {"wanted"}, 10, 1 << 20, cursor)
        .value();
  };
  const ReferrerPage first = list("");
  CHECK(first.descriptors.empty());
  REQUIRE(!first.next_cursor.empty());
  const ReferrerPage second = list(first.next_cursor);
  CHECK(second.descriptors.size() == 1);
  CHECK(second.next_cursor.empty());
}

TEST_CASE("a page of referrers ends after so many bytes, and an I/O thread reads few") {
  TestIndex index;
  index.push_image("a", {"config", {}}, "v1");
  std::vector<kv::Write> writes;
  constexpr std::size_t kLarge = 1 << 20;
  constexpr std::uint64_t kEntries = 40;
  ReferrerRecord record{.artifact_type = "other", .descriptor = '"' + std::string(kLarge, 'a') + '"'};
  for (std::uint64_t i = 1; i <= kEntries; ++i) {
    if (i == kEntries) record = {.artifact_type = "wanted", .descriptor = "{}"};
    writes.push_back({ReferrerKey::kFamily, ReferrerKey{1, "s:1", i, oci::sha256("x")}.encode(), encode(record)});
  }
  REQUIRE(index.store->write(writes).has_value());
  index.reopen();
  const auto list = [&](std::string_view cursor, Patience patience = Patience::page) {
    return list_referrers(index.reader(), kLocalNamespace, repository("a"), "s:1", {"wanted"}, 10, 1 << 20, cursor, patience);
  };
  std::size_t pages = 1;
  ReferrerPage page = list("").value();
  for (; !page.next_cursor.empty(); ++pages) {
    CHECK(page.descriptors.empty());
    page = list(page.next_cursor).value();
  }
  CHECK(page.descriptors.size() == 1);
  CHECK(pages == 3);  // of 16 entries each
  CHECK(list("", Patience::glance).failed_with(ErrorCode::would_block));
  // What is little is answered at once.
  CHECK(list("0000000000000027", Patience::glance).value().descriptors.size() == 1);
}

TEST_CASE("the type of a referrer is read without the rest of it") {
  const auto type = [](const std::string& bytes) {
    const auto read = artifact_type_of(bytes);
    return read ? std::string(*read) : std::string(to_string(read.error().code));
  };
  CHECK(type(encode(ReferrerRecord{.artifact_type = "application/x", .descriptor = "{}"})) == "application/x");
  CHECK(type(encode(ReferrerRecord{.descriptor = "{}"})).empty());
  CHECK(type("") == "corrupt");
  CHECK(type("\x7f") == "corrupt");
  const std::string whole = encode(ReferrerRecord{.artifact_type = "application/x", .descriptor = "{}"});
  CHECK(type(whole.substr(0, 8)) == "corrupt");
}

TEST_CASE("a blob is resolved to its bytes or its file") {
  TestIndex index;
  REQUIRE(index.push_blob("a", "inline").has_value());
  REQUIRE(index.push_blob("a", "").has_value());
  REQUIRE(index.push_file("a", "file", "f").has_value());
  const auto resolve = [&](const std::string& content) {
    return resolve_blob(index.reader(), kLocalNamespace, repository("a"), oci::sha256(content));
  };
  CHECK(std::get<std::string>(resolve("inline").value().content) == "inline");
  CHECK(std::get<std::string>(resolve("").value().content).empty());
  CHECK(resolve("").value().link.size == 0);
  CHECK(std::get<storage::Place>(resolve("file").value().content) == TestIndex::place("file", "f"));
  CHECK(resolve("file").value().link.size == 4);
  CHECK(resolve("file").value().link.due == index.context.uptime + index.periods.grace);
  CHECK(resolve("none").failed_with(ErrorCode::blob_unknown));

  const auto stored = [&](const std::string& content) {
    return find_stored_blob(index.reader(), oci::sha256(content)).value();
  };
  CHECK(!stored("none"));
  CHECK(stored("file")->place == TestIndex::place("file", "f"));
  CHECK(!stored("inline")->place);
  CHECK(stored("inline")->size == 6);
}

TEST_CASE("only the file that a record names is in use") {
  TestIndex index;
  REQUIRE(index.push_file("a", "x", "f").has_value());
  const std::string hex = oci::sha256("x").hex();
  const auto in_use = [&](const std::string& name) { return is_place_in_use(index.reader(), {name}).value(); };
  CHECK(in_use("00000001/sha256-" + hex + ".f"));
  for (const std::string& name :
       {"00000002/sha256-" + hex + ".f", "00000001/sha256-" + hex + ".g", "sha256-" + hex + ".f",
        "00000001/sha512-" + hex + ".f", "00000001/" + hex + ".f", "00000001/sha256-" + hex, std::string(),
        std::string("/"), std::string("a.b-c"), "sha256-." + hex}) {
    INFO(name);
    CHECK(!in_use(name));
  }
}

TEST_CASE("an index that lost something says so instead of serving less") {
  struct Row {
    const char* name;
    kv::Family family;
    std::string key;
    std::string value;    ///< empty: erased
    bool blob, manifest;  ///< which of the two is told as corrupt
  };
  const oci::Digest blob = oci::sha256("config");
  const Pushed made = image({"config", {}});
  const std::vector<Row> rows = {
      {"a blob's place", family::objects, PlaceKey{blob}.encode(), "", true, false},
      {"a blob's bytes", family::bytes, ContentKey{ObjectKind::blob, blob}.encode(), "", true, false},
      {"some of a blob's bytes", family::bytes, ContentKey{ObjectKind::blob, blob}.encode(), "conf", true, false},
      {"a blob's object", family::objects, ObjectKey{ObjectKind::blob, blob}.encode(), "", true, false},
      {"a link, damaged", family::links, LinkKey{1, blob}.encode(), "\1\1", true, false},
      {"a manifest's bytes", family::bytes, ContentKey{ObjectKind::manifest, made.digest}.encode(), "", false, true},
      {"a manifest's object", family::objects, ObjectKey{ObjectKind::manifest, made.digest}.encode(), "", false, true},
      {"a manifest, damaged", family::manifests, ManifestKey{1, made.digest}.encode(), "?", false, true},
      {"a tag, damaged", family::tags, TagKey{1, "v1"}.encode(), "?", false, true},
      {"a name, damaged", family::names, RepositoryNameKey{0, "a"}.encode(), "?", true, true},
  };
  for (const Row& row : rows) {
    INFO(row.name);
    TestIndex index;
    index.push_image("a", {"config", {}}, "v1");
    std::vector<kv::Write> writes = {{row.family, row.key, row.value}};
    if (row.value.empty()) writes[0].value.reset();
    REQUIRE(index.store->write(writes).has_value());
    index.reopen();
    auto found_blob = resolve_blob(index.reader(), kLocalNamespace, repository("a"), blob);
    auto found_manifest = find_manifest(index.reader(), kLocalNamespace, repository("a"), oci::Reference(tag("v1")));
    CHECK(found_blob.failed_with(ErrorCode::corrupt) == row.blob);
    CHECK(found_manifest.failed_with(ErrorCode::corrupt) == row.manifest);
    auto findings = check_index(index.reader());
    CHECK((!findings.has_value() || !findings->empty()));
  }
}

/// A reader that counts down and then has to ask the disk.
class ColdReader final : public kv::Reader {
 public:
  ColdReader(const kv::Reader& inner, int warm) : inner_(inner), warm_(warm) {}
  Result<std::optional<std::string>> get(kv::Family family, std::string_view key) const override {
    if (warm_-- <= 0) return cold();
    return inner_.get(family, key);
  }
  Result<std::vector<std::optional<std::string>>> multi_get(kv::Family family,
                                                            std::span<const std::string> keys) const override {
    if (warm_-- <= 0) return cold();
    return inner_.multi_get(family, keys);
  }
  Result<std::unique_ptr<kv::Cursor>> scan(kv::Family family, kv::KeyRange range,
                                           kv::Direction direction) const override {
    if (warm_-- <= 0) return cold();
    BERTH_TRY(auto cursor, inner_.scan(family, std::move(range), direction));
    return std::unique_ptr<kv::Cursor>(std::make_unique<ColdCursor>(std::move(cursor), warm_));
  }

 private:
  static Error cold() { return make_error(ErrorCode::would_block, "cold"); }
  class ColdCursor final : public kv::Cursor {
   public:
    ColdCursor(std::unique_ptr<kv::Cursor> inner, int& warm) : inner_(std::move(inner)), warm_(warm) { look(); }
    bool valid() const override { return !cold_ && inner_->valid(); }
    std::string_view key() const override { return inner_->key(); }
    std::string_view value() const override { return inner_->value(); }
    void next() override {
      inner_->next();
      look();
    }
    Result<void> status() const override {
      if (cold_) return cold();
      return inner_->status();
    }

   private:
    void look() { cold_ = warm_-- <= 0; }
    std::unique_ptr<kv::Cursor> inner_;
    int& warm_;
    bool cold_ = false;
  };
  const kv::Reader& inner_;
  mutable int warm_;
};

Visibility visibility_of(const std::vector<const char*>& patterns) {
  Visibility visibility;
  for (const char* text : patterns) visibility.patterns.push_back(RepositoryPattern::parse(text).value());
  return visibility;
}

/// Names in the catalog, without what else makes a repository.
void list_in_catalog(TestIndex& index, const Names& names) {
  std::vector<kv::Write> writes;
  RepositoryId id = 100;
  for (const std::string& name : names) {
    writes.push_back({CatalogKey::kFamily, CatalogKey{kLocalNamespace, name}.encode(), encode(RepositoryBinding{++id})});
  }
  REQUIRE(index.store->write(writes).has_value());
  index.reopen();
}

TEST_CASE("the catalog shows what is visible, page by page") {
  const Names all = {"a", "a-b", "a/b", "a/b/c", "a/x", "b", "team/app", "team/app/x", "team/lib", "teams/app", "z"};
  TestIndex index;
  list_in_catalog(index, all);
  struct Row {
    const char* name;
    Visibility visibility;
    Names shown;
  };
  Visibility narrowed = visibility_of({"team/**", "a/*", "z"});
  narrowed.within = visibility_of({"**/app/**", "a/b", "b", "z/**"}).patterns;
  Visibility all_narrowed = Visibility::everything();
  all_narrowed.within = visibility_of({"team/*", "b"}).patterns;
  Visibility nothing_within = Visibility::everything();
  nothing_within.within.emplace();
  const std::vector<Row> rows = {
      {"everything", Visibility::everything(), all},
      {"nothing", {}, {}},
      {"everything as a pattern", visibility_of({"**"}), all},
      {"one name", visibility_of({"a"}), {"a"}},
      {"one that is not there", visibility_of({"team"}), {}},
      {"a tree", visibility_of({"a/**"}), {"a/b", "a/b/c", "a/x"}},
      {"one level", visibility_of({"a/*"}), {"a/b", "a/x"}},
      {"names before and behind", visibility_of({"z", "a-b", "team/app"}), {"a-b", "team/app", "z"}},
      {"overlapping", visibility_of({"team/**", "team/app", "team*/app", "b"}),
       {"b", "team/app", "team/app/x", "team/lib", "teams/app"}},
      {"by the end of the name", visibility_of({"**/app"}), {"team/app", "teams/app"}},
      {"within a ceiling", narrowed, {"a/b", "team/app/x"}},
      {"everything within a ceiling", all_narrowed, {"b", "team/app", "team/lib"}},
      {"everything within nothing", nothing_within, {}},
  };
  for (const Row& row : rows) {
    for (std::size_t n = 1; n <= all.size() + 1; ++n) {
      INFO(row.name << ", " << n << " a page");
      Names walked;
      bool more = true;
      for (std::size_t pages = 0; more && pages <= all.size(); ++pages) {
        const auto page = list_repositories(index.reader(), kLocalNamespace, row.visibility, n,
                                            walked.empty() ? "" : walked.back());
        REQUIRE(page.has_value());
        CHECK(page->names.size() <= n);
        walked.insert(walked.end(), page->names.begin(), page->names.end());
        more = page->more;
        if (more) CHECK(page->names.size() == n);
      }
      CHECK(walked == row.shown);
    }
    for (const std::string& name : all) {
      INFO(row.name << ", " << name);
      CHECK(row.visibility.shows(name) == (std::ranges::count(row.shown, name) == 1));
    }
  }
  const auto after_last = [&](std::string_view last) {
    return list_repositories(index.reader(), kLocalNamespace, visibility_of({"a/**", "team/**"}), 2, last).value().names;
  };
  CHECK(after_last("a/b/d") == Names{"a/x", "team/app"});
  CHECK(after_last("b") == Names{"team/app", "team/app/x"});
  CHECK(after_last("team/lib") == Names{});
  CHECK(after_last(std::string("a/b\0x", 5)) == Names{"a/b/c", "a/x"});
}

TEST_CASE("a page of the catalog costs the page, whatever lies beside what is visible") {
  TestIndex index;
  Names all;
  for (int i = 1000; i < 3000; ++i) {
    for (const char* team : {"a", "m", "z"}) all.push_back(team + std::string("/") + std::to_string(i));
  }
  list_in_catalog(index, all);
  struct Row {
    const char* name;
    Visibility visibility;
    std::string last;
    Names page;
  };
  Visibility narrowed = visibility_of({"m/**"});
  narrowed.within = visibility_of({"m/2998", "z/**", "m/2999"}).patterns;
  const std::vector<Row> rows = {
      {"three names of thousands", visibility_of({"a/1500", "m/2999", "z/1000"}), "", {"a/1500", "m/2999", "z/1000"}},
      {"a tree in the middle", visibility_of({"m/**"}), "", {"m/1000", "m/1001", "m/1002"}},
      {"further on in it", visibility_of({"m/**"}), "m/2000", {"m/2001", "m/2002", "m/2003"}},
      {"at its end", visibility_of({"m/**"}), "m/2998", {"m/2999"}},
      {"a name and not those that begin with it", visibility_of({"a", "m"}), "", {}},
      {"a ceiling narrower than the grant", narrowed, "", {"m/2998", "m/2999"}},
  };
  for (const Row& row : rows) {
    INFO(row.name);
    const ColdReader reader(index.reader(), 12);
    const auto page = list_repositories(reader, kLocalNamespace, row.visibility, 3, row.last);
    REQUIRE(page.has_value());
    CHECK(page->names == row.page);
  }
}

TEST_CASE("a query that must ask the disk anywhere says so, and never answers half") {
  TestIndex index;
  const Pushed subject = index.push_image("a", {"config", {"layer"}}, "v1");
  const std::string about = subject.digest.to_string();
  index.push_image("a", {"config", {}, about, "application/x"}, "v2");
  const oci::RepositoryName name = repository("a");
  const auto code = [](const auto& result) {
    return result.has_value() ? std::nullopt : std::optional(result.error().code);
  };
  using Query = std::function<std::optional<ErrorCode>(const kv::Reader&)>;
  const std::vector<std::pair<const char*, Query>> queries = {
      {"find_repository", [&](auto& r) { return code(find_repository(r, 0, name)); }},
      {"find_link", [&](auto& r) { return code(find_link(r, 0, name, oci::sha256("layer"))); }},
      {"resolve_blob", [&](auto& r) { return code(resolve_blob(r, 0, name, oci::sha256("layer"))); }},
      {"find_stored_blob", [&](auto& r) { return code(find_stored_blob(r, oci::sha256("layer"))); }},
      {"is_place_in_use", [&](auto& r) { return code(is_place_in_use(r, TestIndex::place("x", "y"))); }},
      {"find_manifest", [&](auto& r) { return code(find_manifest(r, 0, name, oci::Reference(tag("v1")))); }},
      {"list_tags", [&](auto& r) { return code(list_tags(r, 0, name, 10, "")); }},
      {"list_repositories", [&](auto& r) { return code(list_repositories(r, 0, Visibility::everything(), 10, "")); }},
      {"list_referrers", [&](auto& r) { return code(list_referrers(r, 0, name, about, {}, 10, 1000, "")); }},
      {"due_entries", [&](auto& r) { return code(due_entries(r, Uptime::max(), 10)); }},
      {"reap_entries", [&](auto& r) { return code(reap_entries(r, Uptime::max(), 10)); }},
      {"repository_usage", [&](auto& r) { return code(repository_usage(r, 1)); }},
      {"project_usage", [&](auto& r) { return code(project_usage(r, 0, "a")); }},
      {"check_index", [&](auto& r) { return code(check_index(r)); }},
  };
  for (const auto& [what, query] : queries) {
    INFO(what);
    int warm = 0;
    for (; warm < 1000; ++warm) {
      const auto answer = query(ColdReader(index.reader(), warm));
      if (!answer) break;
      INFO("after " << warm << " warm reads");
      REQUIRE(answer == ErrorCode::would_block);
    }
    CHECK(warm > 0);
    CHECK(warm < 1000);
  }
}

}  // namespace
}  // namespace berth::registry
