#include "registry/check.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <optional>
#include <set>

#include "registry/commands/totals.h"
#include "registry/identities/check.h"
#include "registry/index.h"
#include "registry/queries.h"

namespace berth::registry {

namespace {

/// What the repository ids of holders, one object at a time, come to.
struct Held {
  std::uint64_t holders = 0;
  RepositoryId holders_xor = 0;
};

/// All namespaces: the prefix of one without its namespace.
template <class Key>
std::string all_namespaces() {
  std::string prefix = Key::prefix(0);
  prefix.resize(prefix.size() - 8);
  return prefix;
}

/// The prefix of all keys of a kind.
template <class Key>
std::string all_of() {
  if constexpr (requires { Key::prefix(); }) {
    return Key::prefix();
  } else {
    return all_namespaces<Key>();
  }
}

/// The index, one record at a time: whatever its size, nothing of it is kept. The first error ends every walk and makes
/// every look-up find nothing; it is asked for at the end.
class Walk {
 public:
  explicit Walk(const kv::Reader& reader) : reader_(reader) {}

  /// Calls `visit(key, record)` for each record of a kind, in order.
  template <class Key, class Visit>
  void each(Visit visit) {
    each_under<Key>(all_of<Key>(), visit);
  }
  template <class Key, class Visit>
  void each_under(const std::string& prefix, Visit visit) {
    auto step = [&](const kv::Cursor& cursor) -> Result<void> {
      BERTH_TRY(const Key key, Key::decode(cursor.key()));
      BERTH_TRY(const auto record, decode<typename Key::Record>(cursor.value()));
      visit(key, record);
      return {};
    };
    each_entry(Key::kFamily, prefix, step);
  }
  /// Calls `visit(key)` for all stored bytes.
  template <class Visit>
  void each_content(Visit visit) {
    auto step = [&](const kv::Cursor& cursor) -> Result<void> {
      BERTH_TRY(const ContentKey key, ContentKey::decode(cursor.key()));
      visit(key);
      return {};
    };
    each_entry(ContentKey::kFamily, "", step);
  }

  template <class Key>
  std::optional<typename Key::Record> find(const Key& key) {
    if (failure_) return std::nullopt;
    return kept(get(reader_, key)).value_or(std::nullopt);
  }
  template <class Key>
  bool has(const Key& key) {
    return find(key).has_value();
  }
  /// The size of stored bytes.
  std::optional<std::uint64_t> content_size(const ContentKey& key) {
    if (failure_) return std::nullopt;
    const auto bytes = kept(reader_.get(ContentKey::kFamily, key.encode()));
    if (!bytes || !*bytes) return std::nullopt;
    return (*bytes)->size();
  }
  bool any_under(kv::Family family, const std::string& prefix) {
    return !failure_ && kept(any_with_prefix(reader_, family, prefix)).value_or(false);
  }
  bool in_use(const storage::Place& place) { return !failure_ && kept(is_place_in_use(reader_, place)).value_or(false); }
  /// The newest entry of a tag's log.
  std::optional<std::pair<TagLogKey, TagLogRecord>> newest_entry(RepositoryId repository, const std::string& tag) {
    if (failure_) return std::nullopt;
    return kept(read_newest_entry(repository, tag)).value_or(std::nullopt);
  }

  Result<void> outcome() const { return failure_ ? Result<void>(*failure_) : Result<void>(); }

 private:
  using Step = std::function<Result<void>(const kv::Cursor&)>;
  void each_entry(kv::Family family, const std::string& prefix, const Step& step) {
    if (!failure_) ignore_but_keep(walk(family, prefix, step));
  }
  Result<void> walk(kv::Family family, const std::string& prefix, const Step& step) {
    BERTH_TRY(const auto cursor, reader_.scan(family, kv::prefix_range(prefix)));
    for (; cursor->valid() && !failure_; cursor->next()) BERTH_CHECK(step(*cursor));
    return cursor->status();
  }
  Result<std::optional<std::pair<TagLogKey, TagLogRecord>>> read_newest_entry(RepositoryId repository,
                                                                              const std::string& tag) {
    std::optional<std::pair<TagLogKey, TagLogRecord>> newest;
    const kv::KeyRange range = kv::prefix_range(TagLogKey::prefix(repository, tag));
    BERTH_TRY(const auto cursor, reader_.scan(TagLogKey::kFamily, range, kv::Direction::backward));
    if (cursor->valid()) {
      BERTH_TRY(TagLogKey key, TagLogKey::decode(cursor->key()));
      BERTH_TRY(TagLogRecord record, decode<TagLogRecord>(cursor->value()));
      newest.emplace(std::move(key), std::move(record));
    }
    BERTH_CHECK(cursor->status());
    return newest;
  }
  template <class T>
  Result<T> kept(Result<T> result) {
    if (!result && !failure_) failure_ = result.error();
    return result;
  }
  void ignore_but_keep(Result<void> result) {
    if (!result && !failure_) failure_ = result.error();
  }

  const kv::Reader& reader_;
  std::optional<Error> failure_;
};

/// Calls `visit(object, repository)` for each object that one repository alone holds.
template <class Visit>
void each_held_by_one(Walk& walk, Visit visit) {
  std::optional<HolderKey> last;
  std::size_t holders = 0;
  auto done = [&] {
    if (last && holders == 1) visit(ObjectKey{last->kind, last->digest}, last->repository);
  };
  walk.each<HolderKey>([&](const HolderKey& key, const EmptyRecord&) {
    const bool same = last && last->kind == key.kind && last->digest == key.digest;
    if (!same) done();
    holders = same ? holders + 1 : 1;
    last = key;
  });
  done();
}

Figures count(Walk& walk) {
  Figures figures;
  walk.each<RepositoryKey>([&](const RepositoryKey& key, const RepositoryRecord&) { figures.repositories[key.repository]; });
  walk.each<LinkKey>([&](const LinkKey& key, const LinkRecord& link) {
    UsageRecord& usage = figures.repositories[key.repository];
    usage.held += 1;
    if (link.state == LinkState::visible) usage.logical_bytes += link.size;
  });
  walk.each<ManifestKey>([&](const ManifestKey& key, const ManifestRecord& manifest) {
    UsageRecord& usage = figures.repositories[key.repository];
    usage.held += 1;
    if (manifest.state != ManifestState::live) return;
    usage.manifests += 1;
    usage.logical_bytes += manifest.size;
  });
  walk.each<TagKey>([&](const TagKey& key, const TagRecord&) { figures.repositories[key.repository].tags += 1; });
  each_held_by_one(walk, [&](const ObjectKey& key, RepositoryId repository) {
    const auto object = walk.find(key);
    if (object) figures.repositories[repository].unique_bytes += object->size;
  });
  walk.each<RepositoryKey>([&](const RepositoryKey& key, const RepositoryRecord& repository) {
    if (repository.state != RepositoryState::live) return;
    const UsageRecord& usage = figures.repositories[key.repository];
    if (usage.logical_bytes == 0 && usage.manifests == 0 && usage.tags == 0) return;
    ProjectUsageRecord& project = figures.projects[{repository.name_space, std::string(project_of(repository.name))}];
    project.logical_bytes += usage.logical_bytes;
    project.manifests += usage.manifests;
    project.tags += usage.tags;
  });
  return figures;
}

/// Looks at everything, rule by rule.
class Check {
 public:
  Check(const kv::Reader& reader, std::size_t findings_max)
      : reader_(reader), walk_(reader), figures_(count(walk_)), findings_max_(findings_max) {}

  Result<std::vector<std::string>> run() {
    names();
    objects();
    links();
    manifests();
    edges();
    tags();
    tag_rows();
    owners();
    figures();
    BERTH_CHECK(totals());
    BERTH_CHECK(walk_.outcome());
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
  bool has_edge(const oci::Digest& child, RepositoryId repository) {
    return walk_.any_under(EdgeKey::kFamily, EdgeKey::prefix(child, repository));
  }
  /// The repository of a record under a repository's id, deleted ones too.
  const std::optional<RepositoryRecord>& owner(RepositoryId repository) {
    // Most records lie in the order of their repositories.
    if (repository != owner_id_) owner_ = walk_.find(RepositoryKey{owner_id_ = repository});
    return owner_;
  }
  /// A deleted repository may be half purged: its records go kind by kind.
  bool may_be_purged(RepositoryId repository) {
    const auto& record = owner(repository);
    return record.has_value() && record->state == RepositoryState::deleted;
  }

  void names() {
    walk_.each<RepositoryNameKey>([&](const RepositoryNameKey& key, const RepositoryNameKey::Record& binding) {
      const auto& record = owner(binding.repository);
      const bool right = record.has_value() && record->state == RepositoryState::live && record->name == key.name &&
                         record->name_space == key.name_space;
      expect(right, "a name leads to the live repository of that name", binding.repository, key.name);
    });
    walk_.each<RepositoryKey>([&](const RepositoryKey& key, const RepositoryKey::Record& record) {
      const auto binding = walk_.find(RepositoryNameKey{record.name_space, record.name});
      const bool live = record.state == RepositoryState::live;
      expect((binding.has_value() && binding->repository == key.repository) == live,
             "a repository has its name while it is live", key.repository, record.name);
      const auto listed = walk_.find(CatalogKey{record.name_space, record.name});
      const bool in_catalog = listed.has_value() && listed->repository == key.repository;
      const UsageRecord& usage = figures_.repositories.at(key.repository);
      expect(in_catalog == (live && usage.manifests > 0), "the catalog lists live repositories with a live manifest",
             key.repository, record.name);
      expect(!live || usage.held > 0, "a live repository holds something", key.repository, record.name);
      expect(live || walk_.has(DueKey{record.due, DueKind::repository, key.repository}),
             "a deleted repository has its due entry", key.repository, record.name);
    });
    walk_.each<CatalogKey>([&](const CatalogKey& key, const CatalogKey::Record& binding) {
      expect(owner(binding.repository).has_value(), "the catalog lists what exists", binding.repository, key.name);
    });
  }

  void objects() {
    walk_.each<HolderKey>([&](const HolderKey& key, const HolderKey::Record&) {
      const bool held = key.kind == ObjectKind::blob ? walk_.has(LinkKey{key.repository, key.digest})
                                                     : walk_.has(ManifestKey{key.repository, key.digest});
      expect(held, "a holder has a link or a manifest", key.repository, key.digest.to_string());
    });
    walk_.each<ObjectKey>([&](const ObjectKey& key, const ObjectKey::Record& object) {
      Held held;
      walk_.each_under<HolderKey>(HolderKey::prefix(key.kind, key.digest), [&](const HolderKey& holder, const EmptyRecord&) {
        held.holders += 1;
        held.holders_xor ^= holder.repository;
      });
      const std::string what = key.digest.to_string();
      expect(object.holders > 0 && object.holders == held.holders && object.holders_xor == held.holders_xor,
             "an object knows how many hold it and the xor of their ids", 0, what);
      std::optional<PlaceRecord> place;
      if (key.kind == ObjectKind::blob) place = walk_.find(PlaceKey{key.digest});
      expect(key.kind == ObjectKind::manifest || place.has_value(), "a blob has a place", 0, what);
      const bool in_index = key.kind == ObjectKind::manifest || (place.has_value() && place->is_inline());
      const auto content = walk_.content_size({key.kind, key.digest});
      expect(content.has_value() == in_index, "the index has the bytes of manifests and of inline blobs", 0, what);
      expect(!content || *content == object.size, "stored bytes are as many as the object says", 0, what);
    });
    walk_.each<ReapKey>([&](const ReapKey& key, const ReapKey::Record&) {
      expect(!walk_.in_use({key.file}), "a file in use is not in the reap queue", 0, key.file);
    });
    walk_.each<PlaceKey>([&](const PlaceKey& key, const PlaceKey::Record&) {
      expect(walk_.has(ObjectKey{ObjectKind::blob, key.digest}), "a place has its blob", 0, key.digest.to_string());
    });
    walk_.each_content([&](const ContentKey& key) {
      expect(walk_.has(ObjectKey{key.kind, key.digest}), "stored bytes have their object", 0, key.digest.to_string());
    });
  }

  void links() {
    walk_.each<LinkKey>([&](const LinkKey& key, const LinkKey::Record& link) {
      const std::string what = key.digest.to_string();
      const auto object = walk_.find(ObjectKey{ObjectKind::blob, key.digest});
      expect(object.has_value() && object->size == link.size, "a link leads to a blob of its size", key.repository,
             what);
      expect(walk_.has(HolderKey{ObjectKind::blob, key.digest, key.repository}), "a link is a holder", key.repository,
             what);
      const bool scheduled = link.due.count() != 0;
      const bool needed = has_edge(key.digest, key.repository) || may_be_purged(key.repository);
      expect(scheduled || needed, "a link that nothing refers to has a due time", key.repository, what);
      expect(!scheduled || walk_.has(DueKey{link.due, DueKind::link, key.repository, key.digest}),
             "a link with a due time has its due entry", key.repository, what);
    });
  }

  void manifests() {
    walk_.each<ManifestKey>([&](const ManifestKey& key, const ManifestKey::Record& manifest) {
      const std::string what = key.digest.to_string();
      const bool live = manifest.state == ManifestState::live;
      const auto object = walk_.find(ObjectKey{ObjectKind::manifest, key.digest});
      expect(object.has_value() && object->size == manifest.size && object->media_type == manifest.media_type,
             "a manifest leads to an object of its size and type", key.repository, what);
      expect(walk_.has(HolderKey{ObjectKind::manifest, key.digest, key.repository}), "a manifest is a holder",
             key.repository, what);
      expect(live || walk_.has(DueKey{manifest.due, DueKind::manifest, key.repository, key.digest}),
             "a deleted manifest has its due entry", key.repository, what);
      const bool entered =
          walk_.has(ReferrerKey{key.repository, manifest.subject, manifest.referrer_sequence, key.digest});
      expect(entered == (live && !manifest.subject.empty()) || may_be_purged(key.repository),
             "a live manifest with a subject is among its referrers", key.repository, what);
    });
    walk_.each<ReferrerKey>([&](const ReferrerKey& key, const ReferrerKey::Record&) {
      const auto manifest = walk_.find(ManifestKey{key.repository, key.digest});
      const bool right = manifest.has_value() && manifest->state == ManifestState::live &&
                         manifest->subject == key.subject && manifest->referrer_sequence == key.sequence;
      expect(right, "a referrer is a live manifest", key.repository, key.digest.to_string());
    });
  }

  void edges() {
    walk_.each<EdgeKey>([&](const EdgeKey& key, const EdgeKey::Record&) {
      const std::string what = key.parent.to_string() + " to " + key.child.to_string();
      expect(walk_.has(ChildKey{key.repository, key.parent, key.child}), "an edge is known from both ends",
             key.repository, what);
      const auto parent = walk_.find(ManifestKey{key.repository, key.parent});
      expect(parent.has_value(), "an edge comes from a manifest", key.repository, what);
    });
    walk_.each<ChildKey>([&](const ChildKey& key, const ChildKey::Record& edge) {
      const auto same = walk_.find(EdgeKey{key.child, key.repository, key.parent});
      expect(same.has_value() && same->kind == edge.kind, "an edge is known from both ends", key.repository,
             key.parent.to_string() + " to " + key.child.to_string());
    });
  }

  void tags() {
    walk_.each<TagKey>([&](const TagKey& key, const TagKey::Record& tag) {
      if (may_be_purged(key.repository)) return;
      const auto manifest = walk_.find(ManifestKey{key.repository, tag.digest});
      const bool counts =
          manifest.has_value() && manifest->state == ManifestState::live && manifest->generation == tag.generation;
      const auto leftover = walk_.find(LeftoverKey{key.repository, tag.digest});
      const bool left = leftover.has_value() && tag.generation < leftover->generation;
      expect(manifest.has_value() && counts != left, "a tag points at a live manifest or is a leftover", key.repository,
             key.tag);
      expect(walk_.has(TagOfKey{key.repository, tag.digest, tag.generation, key.tag}), "a manifest knows its tags",
             key.repository, key.tag);
      for (const TagOrder order : {TagOrder::time, TagOrder::semver, TagOrder::size}) {
        const std::string sort_key = tag_sort_key(order, key.tag, tag);
        expect(sort_key.empty() || walk_.has(TagIndexKey{key.repository, order, sort_key, key.tag}),
               "a tag is filed in every order", key.repository, key.tag);
      }
      const auto newest = walk_.newest_entry(key.repository, key.tag);
      const bool logged = newest && newest->first.version == tag.version && newest->second.to == tag.digest;
      expect(logged, "a tag is what its log says last", key.repository, key.tag);
    });
    // Under way at any time are few.
    std::set<std::pair<RepositoryId, oci::Digest>> due;
    walk_.each<DueKey>([&](const DueKey& key, const DueKey::Record&) {
      if (key.kind == DueKind::tags && key.digest) due.emplace(key.repository, *key.digest);
    });
    walk_.each<LeftoverKey>([&](const LeftoverKey& key, const LeftoverKey::Record&) {
      expect(due.contains({key.repository, key.digest}) || may_be_purged(key.repository),
             "leftover tags have their due entry", key.repository, key.digest.to_string());
    });
  }

  /// The rows that only point back at a tag.
  void tag_rows() {
    walk_.each<TagOfKey>([&](const TagOfKey& key, const TagOfKey::Record&) {
      const auto tag = walk_.find(TagKey{key.repository, key.tag});
      const bool right = tag.has_value() && tag->digest == key.digest && tag->generation == key.generation;
      expect(right || may_be_purged(key.repository), "what a manifest knows as its tag is one", key.repository,
             key.tag);
    });
    walk_.each<TagIndexKey>([&](const TagIndexKey& key, const TagIndexKey::Record&) {
      const auto tag = walk_.find(TagKey{key.repository, key.tag});
      const bool right = tag.has_value() && tag_sort_key(key.order, key.tag, *tag) == key.sort_key;
      expect(right || may_be_purged(key.repository), "what is filed is a tag", key.repository, key.tag);
    });
  }

  /// Nothing is left of a repository whose record is gone.
  void owners() {
    const auto owned = [&](RepositoryId repository, const char* what) {
      expect(owner(repository).has_value(), "what lies under a repository's id has that repository", repository, what);
    };
    walk_.each<LinkKey>([&](const LinkKey& key, const LinkKey::Record&) { owned(key.repository, "link"); });
    walk_.each<HolderKey>([&](const HolderKey& key, const HolderKey::Record&) { owned(key.repository, "holder"); });
    walk_.each<ManifestKey>([&](const ManifestKey& key, const ManifestKey::Record&) { owned(key.repository, "manifest"); });
    walk_.each<EdgeKey>([&](const EdgeKey& key, const EdgeKey::Record&) { owned(key.repository, "edge"); });
    walk_.each<ReferrerKey>([&](const ReferrerKey& key, const ReferrerKey::Record&) { owned(key.repository, "referrer"); });
    walk_.each<TagKey>([&](const TagKey& key, const TagKey::Record&) { owned(key.repository, "tag"); });
    walk_.each<LeftoverKey>([&](const LeftoverKey& key, const LeftoverKey::Record&) { owned(key.repository, "leftover"); });
    walk_.each<TagLogKey>([&](const TagLogKey& key, const TagLogKey::Record&) { owned(key.repository, "tag log"); });
    walk_.each<UsageKey>([&](const UsageKey& key, const UsageKey::Record&) { owned(key.repository, "usage"); });
    walk_.each<PullsKey>([&](const PullsKey& key, const PullsKey::Record&) { owned(key.repository, "pulls"); });
  }

  void figures() {
    for (const auto& [repository, counted] : figures_.repositories) {
      const auto kept = walk_.find(UsageKey{repository});
      expect(kept.has_value() && *kept == counted, "the figures of a repository equal a recount", repository,
             !kept ? "no record" : text(*kept) + " counted " + text(counted));
    }
    walk_.each<ProjectUsageKey>([&](const ProjectUsageKey& key, const ProjectUsageKey::Record& kept) {
      const auto counted = figures_.projects.find({key.name_space, key.project});
      expect(counted != figures_.projects.end() && counted->second == kept, "the figures of a project equal a recount",
             0, key.project);
    });
    for (const auto& [key, counted] : figures_.projects) {
      expect(walk_.has(ProjectUsageKey{key.first, key.second}), "a project that holds something has figures", 0,
             key.second);
    }
  }

  /// But for the bytes of files in the reap queue, which only the disk knows. An index that no berth has opened since
  /// there are sums has none.
  Result<void> totals() {
    BERTH_TRY(const Totals counted, recount_totals(reader_));
    Totals kept;
    for (const Total which : kTotals) {
      BERTH_TRY(kept[which], total(reader_, which));
    }
    BERTH_TRY(const std::uint64_t known, total(reader_, Total::known));
    const auto is_kept = [](const auto& entry) { return entry.second != 0; };
    if (known == 0 && std::none_of(kept.begin(), kept.end(), is_kept)) return {};
    kept.erase(Total::reap_bytes);
    for (const auto& [which, value] : kept) {
      expect(value == counted.at(which), "the sums over the index equal a recount", 0,
             "sum " + std::to_string(static_cast<int>(which)) + " is " + std::to_string(value) + ", counted " +
                 std::to_string(counted.at(which)));
    }
    return {};
  }

  static std::string text(const UsageRecord& usage) {
    return "logical " + std::to_string(usage.logical_bytes) + " unique " + std::to_string(usage.unique_bytes) +
           " manifests " + std::to_string(usage.manifests) + " tags " + std::to_string(usage.tags) + " held " +
           std::to_string(usage.held);
  }

  const kv::Reader& reader_;
  Walk walk_;
  Figures figures_;
  std::size_t findings_max_;
  std::vector<std::string> findings_;
  RepositoryId owner_id_ = 0;
  std::optional<RepositoryRecord> owner_;
};

}  // namespace

Result<Figures> recount(const kv::Reader& reader) {
  Walk walk(reader);
  Figures figures = count(walk);
  BERTH_CHECK(walk.outcome());
  return figures;
}

Result<std::vector<std::string>> check_index(const kv::Reader& reader, std::size_t findings_max) {
  BERTH_TRY(std::vector<std::string> findings, Check(reader, findings_max).run());
  BERTH_TRY(std::vector<std::string> others, check_identities(reader, findings_max - findings.size()));
  std::move(others.begin(), others.end(), std::back_inserter(findings));
  return findings;
}

}  // namespace berth::registry
