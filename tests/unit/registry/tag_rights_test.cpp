// Rights that end at certain tags: what they let through, and that a refusal has written nothing.
#include "registry/commands/tag_rights.h"

#include <map>

#include "tests/unit/registry/command_harness.h"

namespace berth::registry {
namespace {

using namespace testing;

TagSet tags_like(const std::vector<const char*>& patterns) {
  TagSet set;
  for (const char* text : patterns) set.patterns.push_back(TagPattern::parse(text).value());
  return set;
}

std::string code(const auto& result) { return result ? "ok" : std::string(to_string(result.error().code)); }

/// All that is in the index: what a refusal must leave as it was.
std::map<std::pair<kv::Family, std::string>, std::string> everything(TestIndex& index) {
  std::map<std::pair<kv::Family, std::string>, std::string> all;
  for (std::size_t f = 0; f < family::count; ++f) {
    const auto cursor = index.reader().scan(static_cast<kv::Family>(f), {}).value();
    for (; cursor->valid(); cursor->next())
      all[{static_cast<kv::Family>(f), std::string(cursor->key())}] = cursor->value();
  }
  return all;
}

TEST_CASE("creating a tag is not overwriting one") {
  TestIndex index;
  const Pushed first = index.push_image("a", {"config", {}}, "v1");
  REQUIRE(index.push_blob("a", "layer").has_value());
  const Pushed second = image({"config", {"layer"}});
  const Pushed gone = index.push_image("a", {"config", {"gone"}}, "gone");
  REQUIRE(index.delete_manifest("a", gone.digest).has_value());
  REQUIRE(index.push_image("a", {"config", {"x"}}, "dropped").body != nullptr);
  REQUIRE(index.delete_tag("a", "dropped").has_value());
  struct Row {
    const char* name;
    std::vector<const char*> tags;  ///< one: by tag; more: by digest with tag parameters
    const Pushed& manifest;
    bool may_overwrite;
    const char* outcome;
  };
  const std::vector<Row> rows = {
      {"a new tag", {"new"}, first, false, "ok"},
      {"a tag to what it leads to", {"v1"}, first, false, "ok"},
      {"a tag to another manifest that is new", {"v1"}, second, false, "denied"},
      {"new tags and one that would move", {"other", "v1", "third"}, second, false, "denied"},
      {"new tags, of another manifest", {"other", "third"}, second, false, "ok"},
      {"new tags and one that leads there", {"other", "fourth"}, second, false, "ok"},
      {"new tags and one that would move back", {"fifth", "other"}, first, false, "denied"},
      {"a tag whose manifest was deleted", {"gone"}, first, false, "ok"},
      {"a tag that was deleted", {"dropped"}, first, false, "ok"},
      {"a tag that may move", {"v1"}, second, true, "ok"},
      {"tags that may move", {"v1", "sixth"}, first, true, "ok"},
  };
  for (const Row& row : rows) {
    INFO(row.name);
    const auto before = everything(index);
    oci::Reference reference = tag(row.tags.front());
    std::vector<oci::Tag> extra;
    if (row.tags.size() > 1) {
      reference = row.manifest.digest;
      for (const char* one : row.tags) extra.push_back(tag(one));
    }
    const auto done = index.put("a", row.manifest, reference, extra, {}, row.may_overwrite);
    CHECK(code(done) == row.outcome);
    if (done) {
      for (const char* one : row.tags) {
        CHECK(find_manifest(index.reader(), kLocalNamespace, repository("a"), tag(one)).value().digest ==
              row.manifest.digest);
      }
    } else {
      CHECK_THAT(done.error().message, Catch::Contains("cannot be overwritten because the repository is immutable"));
      CHECK(everything(index) == before);
    }
    index.check();
  }
}

TEST_CASE("each tag of a push says for itself whether it may move") {
  TestIndex index;
  index.push_image("a", {"config", {}}, "fixed");
  index.push_image("a", {"config", {}}, "free");
  REQUIRE(index.push_blob("a", "layer").has_value());
  const Pushed made = image({"config", {"layer"}});
  PutManifest command{.context = {},
                      .repository = repository("a"),
                      .digest = made.digest,
                      .manifest = made.manifest,
                      .body = made.body,
                      .reference = made.digest,
                      .periods = index.periods};
  command.extra_tags = {{tag("free"), true}, {tag("fixed"), false}};
  CHECK(index.run(command).failed_with(ErrorCode::denied));
  CHECK(!index.sees("a", made.digest));
  command.extra_tags = {{tag("free"), true}, {tag("new"), false}, {tag("new"), false}};
  CHECK(index.run(command).has_value());
  CHECK(index.sees_tag("a", "new"));
  // A precondition that fails says more than a missing right.
  command.reference = tag("fixed");
  command.extra_tags = {};
  command.precondition = {.must_not_exist = true};
  CHECK(index.run(command).failed_with(ErrorCode::precondition_failed));
}

TEST_CASE("a right to delete some tags reaches no others") {
  struct World {
    TestIndex index;
    Pushed tagged, shared, part, parent, old_part, untagged, signature, dev_signature, part_signature;
  };
  const auto make = [](World& w) {
    w.tagged = w.index.push_image("a", {"config", {"layer"}}, "dev-1");
    REQUIRE(w.index.put("a", w.tagged, "dev-2").has_value());
    w.shared = w.index.push_image("a", {"config", {"two"}}, "dev-shared");
    REQUIRE(w.index.put("a", w.shared, "v1").has_value());
    w.part = w.index.push_image("a", {"config", {"three"}}, "dev-part");
    w.parent = index_of({w.part});
    REQUIRE(w.index.put("a", w.parent, "v2").has_value());
    w.old_part = w.index.push_image("a", {"config", {"four"}}, "dev-old");
    const Pushed old_parent = index_of({w.old_part});
    REQUIRE(w.index.put("a", old_parent, "dev-old-parent").has_value());
    REQUIRE(w.index.delete_manifest("a", old_parent.digest).has_value());
    w.untagged = image({"config", {"layer"}, "", "application/other"});
    REQUIRE(w.index.put("a", w.untagged, oci::Reference(w.untagged.digest)).has_value());
    REQUIRE(w.index.push_blob("a", "lonely").has_value());
    const auto sign = [&w](const Pushed& what) {
      Pushed made = image({"config", {"layer"}, what.digest.to_string(), "application/signature"});
      REQUIRE(w.index.put("a", made, oci::Reference(made.digest)).has_value());
      return made;
    };
    w.signature = sign(w.shared);
    w.dev_signature = sign(sign(w.tagged));
    w.part_signature = sign(sign(w.part));
  };
  struct Row {
    const char* name;
    std::string (*act)(World&, const TagSet&);
    const char* by_none;
    const char* by_some;  ///< dev-* and no other
    const char* by_all;
  };
  const std::vector<Row> rows = {
      {"a tag inside", [](World& w, auto& set) { return code(w.index.delete_tag("a", "dev-1", {}, set)); }, "denied",
       "ok", "ok"},
      {"a tag outside", [](World& w, auto& set) { return code(w.index.delete_tag("a", "v1", {}, set)); }, "denied",
       "denied", "ok"},
      {"a tag inside that is not there",
       [](World& w, auto& set) { return code(w.index.delete_tag("a", "dev-9", {}, set)); }, "denied",
       "manifest_unknown", "manifest_unknown"},
      {"a tag outside that is not there",
       [](World& w, auto& set) { return code(w.index.delete_tag("a", "v9", {}, set)); }, "denied", "denied",
       "manifest_unknown"},
      {"a manifest with tags inside",
       [](World& w, auto& set) { return code(w.index.delete_manifest("a", w.tagged.digest, set)); }, "denied", "ok",
       "ok"},
      {"a manifest that a tag outside names too",
       [](World& w, auto& set) { return code(w.index.delete_manifest("a", w.shared.digest, set)); }, "denied", "denied",
       "ok"},
      {"a manifest that a tag outside leads to by an index",
       [](World& w, auto& set) { return code(w.index.delete_manifest("a", w.part.digest, set)); }, "denied", "denied",
       "ok"},
      {"a manifest that a deleted index needs",
       [](World& w, auto& set) { return code(w.index.delete_manifest("a", w.old_part.digest, set)); }, "denied", "ok",
       "ok"},
      {"a manifest without tags",
       [](World& w, auto& set) { return code(w.index.delete_manifest("a", w.untagged.digest, set)); }, "ok", "ok",
       "ok"},
      {"a signature of what a tag outside names",
       [](World& w, auto& set) { return code(w.index.delete_manifest("a", w.signature.digest, set)); }, "denied",
       "denied", "ok"},
      {"a signature of a signature of what a tag inside names",
       [](World& w, auto& set) { return code(w.index.delete_manifest("a", w.dev_signature.digest, set)); }, "denied",
       "ok", "ok"},
      {"a signature of a signature of what an index needs",
       [](World& w, auto& set) { return code(w.index.delete_manifest("a", w.part_signature.digest, set)); }, "denied",
       "denied", "ok"},
      {"a manifest that is not there",
       [](World& w, auto& set) { return code(w.index.delete_manifest("a", oci::sha256("none"), set)); },
       "manifest_unknown", "manifest_unknown", "manifest_unknown"},
      {"a blob that a manifest needs",
       [](World& w, auto& set) { return code(w.index.delete_blob("a", oci::sha256("three"), set)); }, "denied",
       "denied", "ok"},
      {"a blob that nothing needs",
       [](World& w, auto& set) { return code(w.index.delete_blob("a", oci::sha256("lonely"), set)); }, "ok", "ok",
       "ok"},
      {"a blob that is not there",
       [](World& w, auto& set) { return code(w.index.delete_blob("a", oci::sha256("none"), set)); }, "blob_unknown",
       "blob_unknown", "blob_unknown"},
      {"the repository", [](World& w, auto& set) { return code(w.index.delete_repository("a", set)); }, "denied",
       "denied", "ok"},
      {"a repository that is not there", [](World& w, auto& set) { return code(w.index.delete_repository("b", set)); },
       "denied", "denied", "repository_unknown"},
  };
  for (const Row& row : rows) {
    const std::vector<std::pair<TagSet, const char*>> tries = {
        {{}, row.by_none}, {tags_like({"dev-*"}), row.by_some}, {TagSet::everything(), row.by_all}};
    for (const auto& [set, expected] : tries) {
      INFO(row.name << ", by " << (set.all ? "all" : set.patterns.empty() ? "none" : "some"));
      World w;
      make(w);
      const auto before = everything(w.index);
      const std::string outcome = row.act(w, set);
      CHECK(outcome == expected);
      CHECK((everything(w.index) == before) == (outcome != "ok"));
      w.index.check();
    }
  }
}

TEST_CASE("more tags than can be looked at are too many for a limited right") {
  TestIndex index;
  const Pushed made = index.push_image("a", {"config", {}}, "dev-0");
  const auto tag_up_to = [&](std::size_t from, std::size_t to) {
    std::vector<oci::Tag> many;
    for (std::size_t i = from; i <= to; ++i) many.push_back(tag("dev-" + std::to_string(i)));
    REQUIRE(index.put("a", made, oci::Reference(made.digest), many).has_value());
  };
  tag_up_to(1, kTagsLookedAtMax);  // one too many with the first
  CHECK(index.delete_manifest("a", made.digest, tags_like({"dev-*"})).failed_with(ErrorCode::denied));
  REQUIRE(index.delete_tag("a", "dev-0").has_value());
  CHECK(index.delete_manifest("a", made.digest, tags_like({"dev-*"})).has_value());
}

}  // namespace
}  // namespace berth::registry
