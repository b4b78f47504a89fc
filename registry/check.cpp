#include "registry/check.h"

#include <algorithm>
#include <iterator>
#include <set>

#include "registry/identities/check.h"
#include "registry/index.h"
#include "registry/tables.h"

namespace berth::registry {

namespace {

/// Everything but the logs.
struct Everything {
  Table<RepositoryNameKey> names;
  Table<RepositoryKey> repositories;
  Table<CatalogKey> catalog;
  Table<ObjectKey> objects;
  Table<PlaceKey> places;
  std::map<ContentKey, std::uint64_t> content_sizes;
  Table<LinkKey> links;
  Table<HolderKey> holders;
  Table<ManifestKey> manifests;
  Table<EdgeKey> edges;
  Table<ChildKey> children;
  Table<ReferrerKey> referrers;
  Table<TagKey> tags;
  Table<TagOfKey> tags_of;
  Table<TagIndexKey> tag_index;
  Table<LeftoverKey> leftovers;
  Table<TagLogKey> tag_log;
  Table<DueKey> due;
  Table<ReapKey> reap;
  Table<UsageKey> usage;
  Table<ProjectUsageKey> project_usage;
  Table<PullsKey> pulls;
};

/// All namespaces: the prefix of one without its namespace.
template <class Key>
std::string all_namespaces() {
  std::string prefix = Key::prefix(0);
  prefix.resize(prefix.size() - 8);
  return prefix;
}

Result<Everything> load_everything(const kv::Reader& reader) {
  Everything all;
  BERTH_CHECK(load(reader, all_namespaces<RepositoryNameKey>(), all.names));
  BERTH_CHECK(load(reader, RepositoryKey::prefix(), all.repositories));
  BERTH_CHECK(load(reader, all_namespaces<CatalogKey>(), all.catalog));
  BERTH_CHECK(load(reader, ObjectKey::prefix(), all.objects));
  BERTH_CHECK(load(reader, PlaceKey::prefix(), all.places));
  BERTH_CHECK(load(reader, LinkKey::prefix(), all.links));
  BERTH_CHECK(load(reader, HolderKey::prefix(), all.holders));
  BERTH_CHECK(load(reader, ManifestKey::prefix(), all.manifests));
  BERTH_CHECK(load(reader, EdgeKey::prefix(), all.edges));
  BERTH_CHECK(load(reader, ChildKey::prefix(), all.children));
  BERTH_CHECK(load(reader, ReferrerKey::prefix(), all.referrers));
  BERTH_CHECK(load(reader, TagKey::prefix(), all.tags));
  BERTH_CHECK(load(reader, TagOfKey::prefix(), all.tags_of));
  BERTH_CHECK(load(reader, TagIndexKey::prefix(), all.tag_index));
  BERTH_CHECK(load(reader, LeftoverKey::prefix(), all.leftovers));
  BERTH_CHECK(load(reader, TagLogKey::prefix(), all.tag_log));
  BERTH_CHECK(load(reader, DueKey::prefix(), all.due));
  BERTH_CHECK(load(reader, ReapKey::prefix(), all.reap));
  BERTH_CHECK(load(reader, UsageKey::prefix(), all.usage));
  BERTH_CHECK(load(reader, ProjectUsageKey::prefix(), all.project_usage));
  BERTH_CHECK(load(reader, PullsKey::prefix(), all.pulls));
  BERTH_TRY(const auto cursor, reader.scan(ContentKey::kFamily, {}));
  for (; cursor->valid(); cursor->next()) {
    BERTH_TRY(const ContentKey key, ContentKey::decode(cursor->key()));
    all.content_sizes.emplace(key, cursor->value().size());
  }
  BERTH_CHECK(cursor->status());
  return all;
}

Figures count(const Everything& all) {
  Figures figures;
  for (const auto& [key, record] : all.repositories) figures.repositories[key.repository];
  for (const auto& [key, link] : all.links) {
    UsageRecord& usage = figures.repositories[key.repository];
    usage.held += 1;
    if (link.state == LinkState::visible) usage.logical_bytes += link.size;
  }
  for (const auto& [key, manifest] : all.manifests) {
    UsageRecord& usage = figures.repositories[key.repository];
    usage.held += 1;
    if (manifest.state != ManifestState::live) continue;
    usage.manifests += 1;
    usage.logical_bytes += manifest.size;
  }
  for (const auto& [key, tag] : all.tags) figures.repositories[key.repository].tags += 1;

  std::map<ObjectKey, std::vector<RepositoryId>> holders;
  for (const auto& [key, record] : all.holders) holders[{key.kind, key.digest}].push_back(key.repository);
  for (const auto& [key, who] : holders) {
    const ObjectRecord* object = find(all.objects, key);
    if (object != nullptr && who.size() == 1) figures.repositories[who[0]].unique_bytes += object->size;
  }

  for (const auto& [key, repository] : all.repositories) {
    if (repository.state != RepositoryState::live) continue;
    const UsageRecord& usage = figures.repositories[key.repository];
    if (usage.logical_bytes == 0 && usage.manifests == 0 && usage.tags == 0) continue;
    ProjectUsageRecord& project = figures.projects[{repository.name_space, std::string(project_of(repository.name))}];
    project.logical_bytes += usage.logical_bytes;
    project.manifests += usage.manifests;
    project.tags += usage.tags;
  }
  return figures;
}

/// Looks at everything, rule by rule.
class Check {
 public:
  Check(const Everything& all, std::size_t findings_max)
      : all_(all), figures_(count(all)), findings_max_(findings_max) {}

  std::vector<std::string> run() {
    names();
    objects();
    links();
    manifests();
    edges();
    tags();
    tag_rows();
    owners();
    figures();
    return std::move(findings_);
  }

 private:
  void expect(bool holds, std::string_view rule, RepositoryId repository, const std::string& what) {
    if (holds || findings_.size() >= findings_max_) return;
    std::string finding = "broken rule: ";
    finding += rule;
    if (repository != 0) finding += "; repository " + std::to_string(repository);
    if (!what.empty()) finding += "; " + what;
    findings_.push_back(std::move(finding));
  }
  template <class Key>
  bool has(const Table<Key>& table, const Key& key) const {
    return table.contains(key);
  }
  bool has_edge(const oci::Digest& child, RepositoryId repository) const {
    const auto found = all_.edges.lower_bound(EdgeKey{child, repository, oci::Digest{}});
    return found != all_.edges.end() && found->first.child == child && found->first.repository == repository;
  }
  /// The repository of a record under a repository's id, deleted ones too.
  const RepositoryRecord* owner(RepositoryId repository) const { return find(all_.repositories, {repository}); }
  /// A deleted repository may be half purged: its records go kind by kind.
  bool may_be_purged(RepositoryId repository) const {
    const RepositoryRecord* record = owner(repository);
    return record != nullptr && record->state == RepositoryState::deleted;
  }

  void names() {
    for (const auto& [key, binding] : all_.names) {
      const RepositoryRecord* record = owner(binding.repository);
      const bool right = record != nullptr && record->state == RepositoryState::live && record->name == key.name &&
                         record->name_space == key.name_space;
      expect(right, "a name leads to the live repository of that name", binding.repository, key.name);
    }
    for (const auto& [key, record] : all_.repositories) {
      const RepositoryBinding* binding = find(all_.names, {record.name_space, record.name});
      const bool live = record.state == RepositoryState::live;
      expect((binding != nullptr && binding->repository == key.repository) == live,
             "a repository has its name while it is live", key.repository, record.name);
      const RepositoryBinding* listed = find(all_.catalog, {record.name_space, record.name});
      const bool in_catalog = listed != nullptr && listed->repository == key.repository;
      const UsageRecord& usage = figures_.repositories.at(key.repository);
      expect(in_catalog == (live && usage.manifests > 0), "the catalog lists live repositories with a live manifest",
             key.repository, record.name);
      expect(!live || usage.held > 0, "a live repository holds something", key.repository, record.name);
      expect(live || has(all_.due, {record.due, DueKind::repository, key.repository}),
             "a deleted repository has its due entry", key.repository, record.name);
    }
    for (const auto& [key, binding] : all_.catalog) {
      expect(owner(binding.repository) != nullptr, "the catalog lists what exists", binding.repository, key.name);
    }
  }

  void objects() {
    std::map<ObjectKey, ObjectRecord> counted;
    for (const auto& [key, record] : all_.holders) {
      ObjectRecord& object = counted[{key.kind, key.digest}];
      object.holders += 1;
      object.holders_xor ^= key.repository;
      const bool held = key.kind == ObjectKind::blob ? has(all_.links, {key.repository, key.digest})
                                                     : has(all_.manifests, {key.repository, key.digest});
      expect(held, "a holder has a link or a manifest", key.repository, key.digest.to_string());
    }
    for (const auto& [key, object] : all_.objects) {
      const ObjectRecord& count = counted[key];
      const std::string what = key.digest.to_string();
      expect(object.holders > 0 && object.holders == count.holders && object.holders_xor == count.holders_xor,
             "an object knows how many hold it and the xor of their ids", 0, what);
      const PlaceRecord* place = key.kind == ObjectKind::blob ? find(all_.places, {key.digest}) : nullptr;
      expect(key.kind == ObjectKind::manifest || place != nullptr, "a blob has a place", 0, what);
      const bool in_index = key.kind == ObjectKind::manifest || (place != nullptr && place->is_inline());
      const auto content = all_.content_sizes.find({key.kind, key.digest});
      const bool has_content = content != all_.content_sizes.end();
      expect(has_content == in_index, "the index has the bytes of manifests and of inline blobs", 0, what);
      expect(!has_content || content->second == object.size, "stored bytes are as many as the object says", 0, what);
    }
    std::set<std::string> reaped;
    for (const auto& [key, record] : all_.reap) reaped.insert(key.file);
    for (const auto& [key, place] : all_.places) {
      expect(has(all_.objects, {ObjectKind::blob, key.digest}), "a place has its blob", 0, key.digest.to_string());
      expect(place.is_inline() || !reaped.contains(place.file), "a file in use is not in the reap queue", 0,
             place.file);
    }
    for (const auto& [key, size] : all_.content_sizes) {
      expect(has(all_.objects, {key.kind, key.digest}), "stored bytes have their object", 0, key.digest.to_string());
    }
  }

  void links() {
    for (const auto& [key, link] : all_.links) {
      const std::string what = key.digest.to_string();
      const ObjectRecord* object = find(all_.objects, {ObjectKind::blob, key.digest});
      expect(object != nullptr && object->size == link.size, "a link leads to a blob of its size", key.repository,
             what);
      expect(has(all_.holders, {ObjectKind::blob, key.digest, key.repository}), "a link is a holder", key.repository,
             what);
      const bool scheduled = link.due.count() != 0;
      const bool needed = has_edge(key.digest, key.repository) || may_be_purged(key.repository);
      expect(scheduled || needed, "a link that nothing refers to has a due time", key.repository, what);
      expect(!scheduled || has(all_.due, {link.due, DueKind::link, key.repository, key.digest}),
             "a link with a due time has its due entry", key.repository, what);
    }
  }

  void manifests() {
    for (const auto& [key, manifest] : all_.manifests) {
      const std::string what = key.digest.to_string();
      const bool live = manifest.state == ManifestState::live;
      const ObjectRecord* object = find(all_.objects, {ObjectKind::manifest, key.digest});
      expect(object != nullptr && object->size == manifest.size && object->media_type == manifest.media_type,
             "a manifest leads to an object of its size and type", key.repository, what);
      expect(has(all_.holders, {ObjectKind::manifest, key.digest, key.repository}), "a manifest is a holder",
             key.repository, what);
      expect(live || has(all_.due, {manifest.due, DueKind::manifest, key.repository, key.digest}),
             "a deleted manifest has its due entry", key.repository, what);
      const bool entered =
          has(all_.referrers, {key.repository, manifest.subject, manifest.referrer_sequence, key.digest});
      expect(entered == (live && !manifest.subject.empty()) || may_be_purged(key.repository),
             "a live manifest with a subject is among its referrers", key.repository, what);
    }
    for (const auto& [key, referrer] : all_.referrers) {
      const ManifestRecord* manifest = find(all_.manifests, {key.repository, key.digest});
      const bool right = manifest != nullptr && manifest->state == ManifestState::live &&
                         manifest->subject == key.subject && manifest->referrer_sequence == key.sequence;
      expect(right, "a referrer is a live manifest", key.repository, key.digest.to_string());
    }
  }

  void edges() {
    for (const auto& [key, edge] : all_.edges) {
      const std::string what = key.parent.to_string() + " to " + key.child.to_string();
      expect(has(all_.children, {key.repository, key.parent, key.child}), "an edge is known from both ends",
             key.repository, what);
      const ManifestRecord* parent = find(all_.manifests, {key.repository, key.parent});
      expect(parent != nullptr, "an edge comes from a manifest", key.repository, what);
    }
    for (const auto& [key, edge] : all_.children) {
      const EdgeRecord* same = find(all_.edges, {key.child, key.repository, key.parent});
      expect(same != nullptr && same->kind == edge.kind, "an edge is known from both ends", key.repository,
             key.parent.to_string() + " to " + key.child.to_string());
    }
  }

  void tags() {
    for (const auto& [key, tag] : all_.tags) {
      if (may_be_purged(key.repository)) continue;
      const ManifestRecord* manifest = find(all_.manifests, {key.repository, tag.digest});
      const bool counts =
          manifest != nullptr && manifest->state == ManifestState::live && manifest->generation == tag.generation;
      const LeftoverRecord* leftover = find(all_.leftovers, {key.repository, tag.digest});
      const bool left = leftover != nullptr && tag.generation < leftover->generation;
      expect(manifest != nullptr && counts != left, "a tag points at a live manifest or is a leftover", key.repository,
             key.tag);
      expect(has(all_.tags_of, {key.repository, tag.digest, tag.generation, key.tag}), "a manifest knows its tags",
             key.repository, key.tag);
      for (const TagOrder order : {TagOrder::time, TagOrder::semver, TagOrder::size}) {
        const std::string sort_key = tag_sort_key(order, key.tag, tag);
        expect(sort_key.empty() || has(all_.tag_index, {key.repository, order, sort_key, key.tag}),
               "a tag is filed in every order", key.repository, key.tag);
      }
      const auto newest = all_.tag_log.upper_bound({key.repository, key.tag, ~std::uint64_t{0}});
      const bool logged = newest != all_.tag_log.begin() && std::prev(newest)->first.repository == key.repository &&
                          std::prev(newest)->first.tag == key.tag && std::prev(newest)->first.version == tag.version &&
                          std::prev(newest)->second.to == tag.digest;
      expect(logged, "a tag is what its log says last", key.repository, key.tag);
    }
    for (const auto& [key, leftover] : all_.leftovers) {
      const bool due = std::ranges::any_of(all_.due, [&](const auto& entry) {
        return entry.first.kind == DueKind::tags && entry.first.repository == key.repository &&
               entry.first.digest == key.digest;
      });
      expect(due || may_be_purged(key.repository), "leftover tags have their due entry", key.repository,
             key.digest.to_string());
    }
  }

  /// The rows that only point back at a tag.
  void tag_rows() {
    for (const auto& [key, row] : all_.tags_of) {
      const TagRecord* tag = find(all_.tags, {key.repository, key.tag});
      const bool right = tag != nullptr && tag->digest == key.digest && tag->generation == key.generation;
      expect(right || may_be_purged(key.repository), "what a manifest knows as its tag is one", key.repository,
             key.tag);
    }
    for (const auto& [key, row] : all_.tag_index) {
      const TagRecord* tag = find(all_.tags, {key.repository, key.tag});
      const bool right = tag != nullptr && tag_sort_key(key.order, key.tag, *tag) == key.sort_key;
      expect(right || may_be_purged(key.repository), "what is filed is a tag", key.repository, key.tag);
    }
  }

  /// Nothing is left of a repository whose record is gone.
  void owners() {
    const auto owned = [&](RepositoryId repository, const char* what) {
      expect(owner(repository) != nullptr, "what lies under a repository's id has that repository", repository, what);
    };
    for (const auto& [key, record] : all_.links) owned(key.repository, "link");
    for (const auto& [key, record] : all_.holders) owned(key.repository, "holder");
    for (const auto& [key, record] : all_.manifests) owned(key.repository, "manifest");
    for (const auto& [key, record] : all_.edges) owned(key.repository, "edge");
    for (const auto& [key, record] : all_.referrers) owned(key.repository, "referrer");
    for (const auto& [key, record] : all_.tags) owned(key.repository, "tag");
    for (const auto& [key, record] : all_.leftovers) owned(key.repository, "leftover");
    for (const auto& [key, record] : all_.tag_log) owned(key.repository, "tag log");
    for (const auto& [key, record] : all_.usage) owned(key.repository, "usage");
    for (const auto& [key, record] : all_.pulls) owned(key.repository, "pulls");
  }

  void figures() {
    for (const auto& [repository, counted] : figures_.repositories) {
      const UsageRecord* kept = find(all_.usage, {repository});
      expect(kept != nullptr && *kept == counted, "the figures of a repository equal a recount", repository,
             kept == nullptr ? "no record" : text(*kept) + " counted " + text(counted));
    }
    for (const auto& [key, kept] : all_.project_usage) {
      const auto counted = figures_.projects.find({key.name_space, key.project});
      expect(counted != figures_.projects.end() && counted->second == kept, "the figures of a project equal a recount",
             0, key.project);
    }
    for (const auto& [key, counted] : figures_.projects) {
      expect(has(all_.project_usage, {key.first, key.second}), "a project that holds something has figures", 0,
             key.second);
    }
  }

  static std::string text(const UsageRecord& usage) {
    return "logical " + std::to_string(usage.logical_bytes) + " unique " + std::to_string(usage.unique_bytes) +
           " manifests " + std::to_string(usage.manifests) + " tags " + std::to_string(usage.tags) + " held " +
           std::to_string(usage.held);
  }

  const Everything& all_;
  Figures figures_;
  std::size_t findings_max_;
  std::vector<std::string> findings_;
};

}  // namespace

Result<Figures> recount(const kv::Reader& reader) {
  BERTH_TRY(const Everything all, load_everything(reader));
  return count(all);
}

Result<std::vector<std::string>> check_index(const kv::Reader& reader, std::size_t findings_max) {
  BERTH_TRY(const Everything all, load_everything(reader));
  std::vector<std::string> findings = Check(all, findings_max).run();
  BERTH_TRY(std::vector<std::string> others, check_identities(reader, findings_max - findings.size()));
  std::move(others.begin(), others.end(), std::back_inserter(findings));
  return findings;
}

}  // namespace berth::registry
