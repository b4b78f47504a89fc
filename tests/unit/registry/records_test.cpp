#include "registry/records.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>

#include "registry/keys.h"

namespace berth::registry {
namespace {

const oci::Digest kA = oci::sha256("a");
const oci::Digest kB = oci::sha256("b");

std::string hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    out.push_back("0123456789abcdef"[static_cast<unsigned char>(c) >> 4]);
    out.push_back("0123456789abcdef"[static_cast<unsigned char>(c) & 15]);
  }
  return out;
}
const std::string kHexA = hex(kA.key());
const std::string kHexB = hex(kB.key());

WallTime wall(std::int64_t ms) { return WallTime(std::chrono::milliseconds(ms)); }

/// A record's bytes, and the same record from them.
template <class Record>
void golden(const char* name, const Record& record, const std::string& expected) {
  INFO(name);
  const std::string bytes = encode(record);
  CHECK(hex(bytes) == expected);
  auto back = decode<Record>(bytes);
  REQUIRE(back.has_value());
  CHECK(*back == record);
  // Damage: every shorter form and a byte too many.
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    auto part = decode<Record>(std::string_view(bytes).substr(0, size));
    if (!part) {
      CHECK(part.error().code == ErrorCode::corrupt);
    } else {  // cut between two fields: what is left says less, and says it in its one form
      CHECK(encode(*part) == bytes.substr(0, size));
    }
  }
  CHECK(decode<Record>(bytes + '\1').failed_with(ErrorCode::corrupt));
  std::string newer = bytes;
  newer[0] = 2;
  CHECK(decode<Record>(newer).failed_with(ErrorCode::corrupt));
  // A field of a later minor version survives a round trip.
  auto later = decode<Record>(bytes + std::string("\x7f\x02hi", 4));
  REQUIRE(later.has_value());
  CHECK(later->unknown == std::string("\x7f\x02hi", 4));
  CHECK(encode(*later) == bytes + std::string("\x7f\x02hi", 4));
}

TEST_CASE("every record has the bytes that docs/storage-format.md says") {
  golden("format", FormatRecord{1, 300},
         "01"
         "010101"
         "0202ac02");
  golden("counter", CounterRecord{5},
         "01"
         "010105");
  golden("uptime", UptimeRecord{Uptime(3'600'000)},
         "01"
         "010480dddb01");
  golden("log start", LogStartRecord{1},
         "01"
         "010101");
  golden("binding", RepositoryBinding{9},
         "01"
         "010109");
  golden("empty", EmptyRecord{}, "01");
  golden("repository, live", RepositoryRecord{.name = "a/b", .created_at = wall(1), .created_by = 7},
         "01"
         "0203612f62"
         "030101"
         "040102"
         "050107");
  golden("repository, deleted",
         RepositoryRecord{.name_space = 2,
                          .name = "a",
                          .state = RepositoryState::deleted,
                          .created_at = wall(-1),
                          .created_by = 1,
                          .deleted_at = wall(2),
                          .deleted_by = 3,
                          .due = Uptime(4)},
         "01"
         "010102"
         "020161"
         "030102"
         "040101"
         "050101"
         "060104"
         "070103"
         "080104");
  golden("object, blob", ObjectRecord{.size = 127, .holders = 1, .holders_xor = 3},
         "01"
         "01017f"
         "020101"
         "030101"
         "040103");
  golden(
      "object, manifest",
      ObjectRecord{.size = 128, .state = ObjectState::quarantined, .holders = 2, .holders_xor = 0, .media_type = "x/y"},
      "01"
      "01028001"
      "020102"
      "030102"
      "0503782f79");
  golden("place, inline", PlaceRecord{}, "01");
  golden("place, file", PlaceRecord{.file = "b/f"},
         "01"
         "0103622f66");
  golden("link",
         LinkRecord{.state = LinkState::hidden, .size = 1, .linked_at = wall(2), .linked_by = 3, .due = Uptime(4)},
         "01"
         "010102"
         "020101"
         "030104"
         "040103"
         "050104");
  golden("manifest, live",
         ManifestRecord{
             .kind = oci::ManifestKind::index, .media_type = "m", .size = 1, .content_size = 2, .platforms = "p"},
         "01"
         "010101"
         "020102"
         "03016d"
         "040101"
         "050102"
         "090170");
  golden("manifest, deleted",
         ManifestRecord{.state = ManifestState::deleted,
                        .media_type = "m",
                        .size = 1,
                        .content_size = 2,
                        .artifact_type = "t",
                        .subject = "s",
                        .referrer_sequence = 3,
                        .platforms = "p",
                        .pushed_at = wall(4),
                        .pushed_by = 5,
                        .generation = 6,
                        .deleted_at = wall(7),
                        .deleted_by = 8,
                        .due = Uptime(9)},
         "01"
         "010102"
         "020101"
         "03016d"
         "040101"
         "050102"
         "060174"
         "070173"
         "080103"
         "090170"
         "0a0108"
         "0b0105"
         "0c0106"
         "0d010e"
         "0e0108"
         "0f0109");
  golden("edge", EdgeRecord{oci::EdgeKind::content},
         "01"
         "010104");
  golden("referrer", ReferrerRecord{.artifact_type = "t", .descriptor = "{}"},
         "01"
         "010174"
         "02027b7d");
  golden("tag",
         TagRecord{.digest = kA, .generation = 1, .version = 2, .updated_at = wall(3), .updated_by = 4, .size = 5},
         "01"
         "0121" +
             kHexA +
             "020101"
             "030102"
             "040106"
             "050104"
             "060105");
  golden("leftover", LeftoverRecord{1, wall(2), 3},
         "01"
         "010101"
         "020104"
         "030103");
  golden("tag log",
         TagLogRecord{.from = kA, .to = kB, .actor = 1, .when = wall(2), .reason = TagChange::delete_manifest},
         "01"
         "0121" +
             kHexA + "0221" + kHexB +
             "030101"
             "040104"
             "050103");
  golden("usage", UsageRecord{1, 2, 3, 4, 5},
         "01"
         "010101"
         "020102"
         "030103"
         "040104"
         "050105");
  golden("project usage", ProjectUsageRecord{1, 2, 3},
         "01"
         "010101"
         "020102"
         "030103");
  golden("pulls", PullsRecord{1, wall(2)},
         "01"
         "010101"
         "020104");
  ChangeRecord change;
  change.command = CommandKind::put_manifest;
  change.actor = 1;
  change.when = wall(2);
  change.request_id = "r";
  change.writes = {{1, "k", "v"}, {1, "l", std::nullopt}, {2, "k", ""}};
  golden("change", change,
         "01"
         "010104"
         "020101"
         "030104"
         "040172"
         "050f"
         "01016b010176"
         "01016c00"
         "02016b0100");
}

template <class Record>
void refused(const char* name, const std::string& bytes) {
  INFO(name);
  CHECK(decode<Record>(bytes).failed_with(ErrorCode::corrupt));
}

TEST_CASE("what encode would not have written is corrupt") {
  using namespace std::string_literals;
  refused<UsageRecord>("nothing at all", "");
  refused<UsageRecord>("a default that is written out", "\1\1\1\0"s);
  refused<UsageRecord>("fields out of order", "\1\2\1\1\1\1\1"s);
  refused<UsageRecord>("a field twice", "\1\1\1\1\1\1\1"s);
  refused<UsageRecord>("field number 0", "\1\0\1\1"s);
  refused<UsageRecord>("a long form of a small number", "\1\1\2\x81\0"s);
  refused<UsageRecord>("a long form of a length", "\1\1\x81\0\1"s);
  refused<UsageRecord>("a number of more than 64 bits", "\1\1\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"s);
  refused<UsageRecord>("a number with bytes behind it", "\1\1\2\1\1"s);
  refused<UsageRecord>("a length past the end", "\1\1\2\1"s);
  refused<LinkRecord>("no state", "\1"s);
  refused<LinkRecord>("an unknown state", "\1\1\1\3"s);
  refused<LinkRecord>("a due time that no clock shows", "\1\1\1\1\5\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\1"s);
  refused<PlaceRecord>("an empty text that is written out", "\1\1\0"s);
  refused<TagRecord>("no digest", "\1"s);
  refused<TagRecord>("half a digest", "\1\1\2\1\1"s);
  refused<TagRecord>("a digest of an unknown algorithm", "\1\1\x21\3"s + std::string(32, 'x'));
  refused<ChangeRecord>("writes out of order", "\1\1\1\1\5\x08\1\1l\0\1\1k\0"s);
  refused<ChangeRecord>("a key twice", "\1\1\1\1\5\x08\1\1k\0\1\1k\0"s);
  refused<ChangeRecord>("neither written nor erased", "\1\1\1\1\5\4\1\1k\2"s);
  refused<ChangeRecord>("a write without its value", "\1\1\1\1\5\5\1\1k\1\1"s);
}

TEST_CASE("keys have the bytes that docs/storage-format.md says") {
  const std::string one(hex(std::string(7, '\0')) + "01");
  const auto check = [](const char* name, const auto& key, const std::string& expected) {
    INFO(name);
    CHECK(hex(key.encode()) == expected);
  };
  check("format", FormatKey{}, "01");
  check("counter", CounterKey{Counter::referrers}, "0202");
  check("uptime", UptimeKey{}, "03");
  check("log start", LogStartKey{}, "04");
  check("repository name", RepositoryNameKey{1, "a/b"}, "01" + one + "612f62");
  check("repository", RepositoryKey{1}, "02" + one);
  check("catalog", CatalogKey{1, "a"}, "03" + one + "61");
  check("object", ObjectKey{ObjectKind::manifest, kA}, "0102" + kHexA);
  check("place", PlaceKey{kA}, "0201" + kHexA);
  check("content", ContentKey{ObjectKind::manifest, kA}, "02" + kHexA);
  check("link", LinkKey{1, kA}, "01" + one + kHexA);
  check("holder", HolderKey{ObjectKind::blob, kA, 1}, "0201" + kHexA + one);
  check("manifest", ManifestKey{1, kA}, "01" + one + kHexA);
  check("edge", EdgeKey{kA, 1, kB}, "02" + kHexA + one + kHexB);
  check("child", ChildKey{1, kA, kB}, "03" + one + kHexA + kHexB);
  check("referrer", ReferrerKey{1, "s:1", 1, kA}, "04" + one + "733a3100" + one + kHexA);
  check("tag", TagKey{1, "v1"}, "01" + one + "7631");
  check("tag of", TagOfKey{1, kA, 1, "v1"}, "02" + one + kHexA + one + "7631");
  check("tag index", TagIndexKey{1, TagOrder::size, std::string(8, '\1'), "v1"},
        "03" + one + "03" + hex(std::string(8, '\1')) + "7631");
  check("leftover", LeftoverKey{1, kA}, "04" + one + kHexA);
  check("tag log", TagLogKey{1, "v1", 1}, "01" + one + "763100" + one);
  check("due", DueKey{Uptime(1), DueKind::link, 1, kA}, "01" + one + "01" + one + kHexA);
  check("due, repository", DueKey{Uptime(1), DueKind::repository, 1}, "01" + one + "03" + one);
  check("reap", ReapKey{Uptime(1), "b/f"}, "02" + one + "622f66");
  check("usage", UsageKey{1}, "01" + one);
  check("project usage", ProjectUsageKey{1, "a"}, "02" + one + "61");
  check("pulls", PullsKey{1, "v1"}, "03" + one + "7631");
}

/// Values from a small world, so that neighbours meet often.
struct Chance {
  std::mt19937_64 random{20261121};
  std::uint64_t below(std::uint64_t n) { return random() % n; }
  std::uint64_t number() {
    constexpr std::uint64_t kNumbers[] = {0, 1, 2, 255, 256, 65535, 1ull << 32, ~0ull - 1, ~0ull};
    return kNumbers[below(std::size(kNumbers))];
  }
  Uptime uptime() { return Uptime(static_cast<std::int64_t>(number() >> 1)); }
  std::string text() {
    std::string out;
    for (std::uint64_t i = 1 + below(3); i > 0; --i) out.push_back("-./09AZ_az~"[below(11)]);
    return out;
  }
  oci::Digest digest() {
    std::string raw(64, '\0');
    for (char& c : raw) c = static_cast<char>(below(2) == 0 ? 0x01 : 0xfe);
    const auto algorithm = below(3) == 0 ? oci::Algorithm::sha512 : oci::Algorithm::sha256;
    return oci::Digest::from_raw(algorithm, as_bytes(std::string_view(raw).substr(0, oci::digest_size(algorithm))));
  }
  std::string semver() {
    TagRecord record;
    const std::string version = std::to_string(below(3)) + "." + std::to_string(below(12)) + "." +
                                std::to_string(below(2)) + (below(2) == 0 ? "" : "-rc." + std::to_string(below(12)));
    return tag_sort_key(TagOrder::semver, version, record);
  }
};

/// The order of the bytes is the order of the values, and the bytes lead back to the value.
template <class Key, class Make>
void ordered(const char* name, Make make) {
  INFO(name);
  Chance chance;
  std::vector<Key> keys;
  for (int i = 0; i < 300; ++i) keys.push_back(make(chance));
  for (const Key& a : keys) {
    auto back = Key::decode(a.encode());
    REQUIRE(back.has_value());
    REQUIRE(*back == a);
    REQUIRE(encode(typename Key::Record{}).size() > 0);
    REQUIRE(!Key::decode(a.encode().substr(1)).has_value());
    REQUIRE(!Key::decode("").has_value());
  }
  for (std::size_t i = 0; i < keys.size(); ++i) {
    for (std::size_t j = 0; j < keys.size(); j += 7) {
      const bool below = keys[i] < keys[j];
      const bool bytes_below = keys[i].encode() < keys[j].encode();
      if (below != bytes_below) FAIL(hex(keys[i].encode()) << " and " << hex(keys[j].encode()));
    }
  }
}

TEST_CASE("the order of keys is the order of their values") {
  ordered<RepositoryNameKey>("repository name", [](Chance& c) { return RepositoryNameKey{c.number(), c.text()}; });
  ordered<RepositoryKey>("repository", [](Chance& c) { return RepositoryKey{c.number()}; });
  ordered<CatalogKey>("catalog", [](Chance& c) { return CatalogKey{c.number(), c.text()}; });
  ordered<ObjectKey>("object", [](Chance& c) {
    return ObjectKey{c.below(2) == 0 ? ObjectKind::blob : ObjectKind::manifest, c.digest()};
  });
  ordered<PlaceKey>("place", [](Chance& c) { return PlaceKey{c.digest()}; });
  ordered<LinkKey>("link", [](Chance& c) { return LinkKey{c.number(), c.digest()}; });
  ordered<HolderKey>("holder", [](Chance& c) { return HolderKey{ObjectKind::blob, c.digest(), c.number()}; });
  ordered<ManifestKey>("manifest", [](Chance& c) { return ManifestKey{c.number(), c.digest()}; });
  ordered<EdgeKey>("edge", [](Chance& c) { return EdgeKey{c.digest(), c.number(), c.digest()}; });
  ordered<ChildKey>("child", [](Chance& c) { return ChildKey{c.number(), c.digest(), c.digest()}; });
  ordered<ReferrerKey>("referrer", [](Chance& c) { return ReferrerKey{c.number(), c.text(), c.number(), c.digest()}; });
  ordered<TagKey>("tag", [](Chance& c) { return TagKey{c.number(), c.text()}; });
  ordered<TagOfKey>("tag of", [](Chance& c) { return TagOfKey{c.number(), c.digest(), c.number(), c.text()}; });
  ordered<TagIndexKey>("tag index by size", [](Chance& c) {
    std::string sort_key;
    kv::append_u64(sort_key, c.number());
    return TagIndexKey{c.number(), TagOrder::size, sort_key, c.text()};
  });
  ordered<TagIndexKey>("tag index by semver",
                       [](Chance& c) { return TagIndexKey{c.number(), TagOrder::semver, c.semver(), c.text()}; });
  ordered<LeftoverKey>("leftover", [](Chance& c) { return LeftoverKey{c.number(), c.digest()}; });
  ordered<TagLogKey>("tag log", [](Chance& c) { return TagLogKey{c.number(), c.text(), c.number()}; });
  ordered<DueKey>("due", [](Chance& c) {
    const auto kind = static_cast<DueKind>(1 + c.below(4));
    DueKey key{c.uptime(), kind, c.number()};
    if (kind != DueKind::repository) key.digest = c.digest();
    return key;
  });
  ordered<ReapKey>("reap", [](Chance& c) { return ReapKey{c.uptime(), c.text()}; });
  ordered<UsageKey>("usage", [](Chance& c) { return UsageKey{c.number()}; });
  ordered<ProjectUsageKey>("project usage", [](Chance& c) { return ProjectUsageKey{c.number(), c.text()}; });
  ordered<PullsKey>("pulls", [](Chance& c) { return PullsKey{c.number(), c.text()}; });
}

TEST_CASE("tags are filed as semantic versions order them") {
  // semver.org 2.0.0 §11, least first.
  const std::vector<std::string> ascending = {
      "0.0.0",
      "0.1.0-0",
      "0.1.0-1",
      "0.1.0-9",
      "0.1.0-10",
      "0.1.0--",
      "0.1.0-a",
      "0.1.0-a.1",
      "0.1.0-a.b",
      "0.1.0-aa",
      "0.1.0",
      "0.2.0",
      "0.10.0",
      "1.0.0-alpha",
      "1.0.0-alpha.1",
      "1.0.0-alpha.beta",
      "1.0.0-beta",
      "1.0.0-beta.2",
      "1.0.0-beta.11",
      "1.0.0-rc.1",
      "1.0.0",
      "1.0.1",
      "v2.0.0",
      "10.0.0_build.5",
      "18446744073709551615.0.0",
  };
  std::vector<std::string> keys;
  for (const std::string& tag : ascending) {
    INFO(tag);
    keys.push_back(tag_sort_key(TagOrder::semver, tag, {}));
    CHECK(!keys.back().empty());
  }
  for (std::size_t i = 1; i < keys.size(); ++i) {
    INFO(ascending[i - 1] << " before " << ascending[i]);
    CHECK(keys[i - 1] < keys[i]);
  }
  CHECK(tag_sort_key(TagOrder::semver, "v1.2.3", {}) == tag_sort_key(TagOrder::semver, "1.2.3_linux", {}));

  for (const std::string tag : {"latest",   "1",      "1.2",         "1.2.3.4",   "01.2.3",
                                "1.02.3",   "1.2.03", "1.2.3-",      "1.2.3-01",  "1.2.3-a..b",
                                "1.2.3-a.", "1.2.3_", "1.2.3_a..b",  "1.2.3_a_b", "vv1.2.3",
                                "V1.2.3",   "1.2.x",  "1..3",        "1.2.",      "18446744073709551616.0.0",
                                "v",        "",       "sha256-1.2.3"}) {
    INFO(tag);
    CHECK(tag_sort_key(TagOrder::semver, tag, {}).empty());
  }
}

TEST_CASE("the schema is the order of the families") {
  const kv::Schema families = schema();
  REQUIRE(families.size() == family::count);
  CHECK(families[family::meta].name == "meta");
  CHECK(families[family::names].name == "names");
  CHECK(families[family::objects].name == "objects");
  CHECK(families[family::bytes].name == "bytes");
  CHECK(families[family::links].name == "links");
  CHECK(families[family::manifests].name == "manifests");
  CHECK(families[family::tags].name == "tags");
  CHECK(families[family::tag_log].name == "tag_log");
  CHECK(families[family::queues].name == "queues");
  CHECK(families[family::log].name == "log");
  CHECK(families[family::usage].name == "usage");
  CHECK(families[family::identities].name == "identities");
}

TEST_CASE("a cache key of no reference begins those of all references of that repository and of no other") {
  const std::string all = cache_key(0, "a/b", "");
  CHECK(cache_key(0, "a/b", "latest").starts_with(all));
  CHECK(!cache_key(0, "a/b-c", "latest").starts_with(all));
  CHECK(!cache_key(0, "a/b/c", "latest").starts_with(all));
  CHECK(!cache_key(1, "a/b", "latest").starts_with(all));
}

}  // namespace
}  // namespace berth::registry
