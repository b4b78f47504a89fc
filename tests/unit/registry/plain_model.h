// What the index should say, worked out the slow and obvious way: maps of what is where, no counters, no queues,
// nothing shared with the code under test but the commands' fields.
//
// What a command must answer is exact. When the collector takes something is not: the model knows from when on it may
// (`kept_until`, `dropped_from`, `purged_from`) and looks at the index for whether it has.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/registry/command_harness.h"

namespace berth::registry::testing {

class PlainModel {
 public:
  struct Link {
    bool visible = true;
    Uptime kept_until{0};  ///< not collected before, even if nothing refers to it
  };
  struct Manifest {
    bool live = true;
    Uptime dropped_from{0};  ///< of a deleted one
    std::shared_ptr<const oci::Manifest> content;
    std::uint64_t size = 0;
  };
  struct TagMove {
    std::optional<oci::Digest> from, to;
    bool operator==(const TagMove&) const = default;
  };
  struct Repo {
    RepositoryId id = 0;
    std::string name;
    bool live = true;
    Uptime purged_from{0};
    std::map<oci::Digest, Link> links;
    std::map<oci::Digest, Manifest> manifests;
    std::map<std::string, oci::Digest> tags;
    std::vector<std::pair<std::string, oci::Digest>> referrers;  ///< subject, who; in order of arrival
    std::map<std::string, std::vector<TagMove>> history;
  };

  std::vector<Repo> repos;  ///< deleted ones too, until nothing is left of them
  std::set<ObjectKey> damaged;
  std::map<oci::Digest, std::uint64_t> blob_sizes;  ///< of all blobs that any client may push
  RepositoryId last_id = 0;

  Repo* find(std::string_view name) {
    for (Repo& repo : repos) {
      if (repo.live && repo.name == name) return &repo;
    }
    return nullptr;
  }
  /// Is a copy of the object stored, whoever holds it?
  bool is_stored(const ObjectKey& key) const {
    return std::ranges::any_of(repos, [&](const Repo& repo) { return holds(repo, key); });
  }
  static bool holds(const Repo& repo, const ObjectKey& key) {
    return key.kind == ObjectKind::blob ? repo.links.contains(key.digest) : repo.manifests.contains(key.digest);
  }
  bool is_sound(const ObjectKey& key) const { return is_stored(key) && !damaged.contains(key); }
  bool sees(const Repo& repo, const ObjectKey& key) const {
    if (!is_sound(key) || !holds(repo, key)) return false;
    return key.kind == ObjectKind::blob ? repo.links.at(key.digest).visible : repo.manifests.at(key.digest).live;
  }
  bool sees_blob(const Repo& repo, const oci::Digest& digest) const { return sees(repo, {ObjectKind::blob, digest}); }
  bool sees_manifest(const Repo& repo, const oci::Digest& digest) const {
    return sees(repo, {ObjectKind::manifest, digest});
  }

  // ---- what each command must answer, as `describe` says it ----

  std::string apply(const CommitBlob& command) {
    const ObjectKey key{ObjectKind::blob, command.digest};
    const bool given = !std::holds_alternative<CommitBlob::ExistingCopy>(command.content);
    const bool sound = is_sound(key);
    if (!given && !sound) return "bytes needed";
    const bool stored = given && (!sound || command.replace_copy);
    if (stored) damaged.erase(key);
    link(find_or_make(command.repository.text()), command.digest, command.context.uptime, command.periods);
    return stored ? "stored" : "kept";
  }

  std::string apply(const MountBlob& command) {
    const auto visible_in = [&](const std::string& name) {
      const Repo* repo = find(name);
      return repo != nullptr && sees_blob(*repo, command.digest);
    };
    bool possible = visible_in(command.repository.text());
    if (command.from) {
      possible = possible || visible_in(command.from->text());
    } else {
      for (const Repo& repo : repos) {
        possible = possible || (repo.live && command.sources.shows(repo.name) && sees_blob(repo, command.digest));
      }
    }
    if (!possible) return "not mounted";
    link(find_or_make(command.repository.text()), command.digest, command.context.uptime, command.periods);
    return "mounted";
  }

  std::string apply(const ExtendLink& command) {
    Repo* repo = find(command.repository.text());
    if (repo == nullptr || !repo->links.contains(command.digest)) return "blob_unknown";
    Link& link = repo->links.at(command.digest);
    if (!link.visible) return "blob_unknown";
    link.kept_until = std::max(link.kept_until, command.context.uptime + command.periods.grace / 2);
    return "ok";
  }

  std::string apply(const PutManifest& command) {
    Repo* repo = find(command.repository.text());
    std::string missing;
    for (const oci::Child& child : command.manifest->children) {
      const bool is_blob = child.kind == oci::EdgeKind::config || child.kind == oci::EdgeKind::layer;
      const bool there =
          repo != nullptr && (is_blob ? sees_blob(*repo, *child.digest) : sees_manifest(*repo, *child.digest));
      if (!there) missing += " " + child.digest_text;
    }
    if (!missing.empty()) return "manifest_blob_unknown" + missing;
    const oci::Tag* tag = std::get_if<oci::Tag>(&command.reference);
    std::optional<oci::Digest> now;
    if (repo != nullptr && tag != nullptr && repo->tags.contains(tag->text())) now = repo->tags.at(tag->text());
    if (!allows(command.precondition, now)) return "precondition_failed";
    const auto moves = [&](const oci::Tag& one, bool may_overwrite) {
      if (may_overwrite || repo == nullptr || !repo->tags.contains(one.text())) return false;
      return repo->tags.at(one.text()) != command.digest;
    };
    bool denied = tag != nullptr && moves(*tag, command.may_overwrite);
    for (const PushedTag& extra : command.extra_tags) denied = denied || moves(extra.tag, extra.may_overwrite);
    if (denied) return "denied";

    Repo& target = find_or_make(command.repository.text());
    damaged.erase({ObjectKind::manifest, command.digest});
    Manifest& manifest = target.manifests[command.digest];
    const bool created = !manifest.live || manifest.content == nullptr;
    if (created) {
      manifest = {true, Uptime{0}, command.manifest, command.body->size()};
      if (command.manifest->subject) target.referrers.emplace_back(*command.manifest->subject, command.digest);
    }
    if (tag != nullptr) set_tag(target, tag->text(), command.digest);
    for (const PushedTag& extra : command.extra_tags) set_tag(target, extra.tag.text(), command.digest);
    return created ? "created" : "was there";
  }

  std::string apply(const DeleteTag& command) {
    Repo* repo = find(command.repository.text());
    if (!command.may_delete.contains(command.tag.text())) return "denied";
    if (repo == nullptr || !repo->tags.contains(command.tag.text())) return "manifest_unknown";
    if (!allows(command.precondition, repo->tags.at(command.tag.text()))) return "precondition_failed";
    drop_tag(*repo, command.tag.text());
    return "ok";
  }

  std::string apply(const DeleteManifest& command) {
    Repo* repo = find(command.repository.text());
    if (repo == nullptr || !repo->manifests.contains(command.digest)) return "manifest_unknown";
    Manifest& manifest = repo->manifests.at(command.digest);
    if (!manifest.live) return "manifest_unknown";
    if (!command.may_delete.all && !may_go(*repo, command.digest, command.may_delete)) return "denied";
    manifest.live = false;
    manifest.dropped_from = command.context.uptime + command.periods.undo_window;
    for (auto& [digest, link] : repo->links) {
      if (refers(manifest, digest)) {
        link.kept_until = std::max(link.kept_until, manifest.dropped_from + command.periods.grace);
      }
    }
    std::vector<std::string> gone;
    for (const auto& [tag, digest] : repo->tags) {
      if (digest == command.digest) gone.push_back(tag);
    }
    for (const std::string& tag : gone) drop_tag(*repo, tag);
    std::erase_if(repo->referrers, [&](const auto& referrer) { return referrer.second == command.digest; });
    return "ok";
  }

  /// Whether the bytes stay is looked up with observe(): the last edges of a dropped manifest go in steps.
  std::string apply(const DeleteBlob& command) {
    Repo* repo = find(command.repository.text());
    if (repo == nullptr || !repo->links.contains(command.digest)) return "blob_unknown";
    Link& link = repo->links.at(command.digest);
    if (!link.visible) return "blob_unknown";
    if (!command.may_delete.all && is_needed(*repo, command.digest)) return "denied";
    link.visible = false;
    link.kept_until = Uptime{0};
    for (const auto& [digest, manifest] : repo->manifests) {  // hidden, it still has the grace that dropping starts
      if (!manifest.live && refers(manifest, command.digest) && manifest.dropped_from > command.context.uptime) {
        link.kept_until = std::max(link.kept_until, manifest.dropped_from + command.periods.grace);
      }
    }
    return "ok";
  }

  std::string apply(const DeleteRepository& command) {
    Repo* repo = find(command.repository.text());
    if (!command.may_delete.all) return "denied";
    if (repo == nullptr) return "repository_unknown";
    repo->live = false;
    repo->purged_from = command.context.uptime + command.periods.undo_window;
    return "ok";
  }

  std::string apply(const Quarantine& command) {
    const ObjectKey key{command.kind, command.digest};
    if (!is_sound(key)) return "not quarantined";
    damaged.insert(key);
    return "quarantined";
  }

  /// Looks at what the collector (or a delete) took. Answers what must not be gone yet; empty: all is well.
  std::string observe(const kv::Reader& reader, Uptime uptime) {
    std::string wrong;
    for (Repo& repo : repos) {
      const bool purging = !repo.live && uptime >= repo.purged_from;
      std::erase_if(repo.links, [&](const auto& entry) {
        const auto& [digest, link] = entry;
        if (get(reader, LinkKey{repo.id, digest}).value()) return false;
        if (!purging && (is_held(repo, digest, uptime) || uptime < link.kept_until)) {
          wrong += "blob " + digest.to_string() + " of " + repo.name + " was taken too early; ";
        }
        return true;
      });
      std::erase_if(repo.manifests, [&](const auto& entry) {
        const auto& [digest, manifest] = entry;
        if (get(reader, ManifestKey{repo.id, digest}).value()) return false;
        if (!purging && (manifest.live || uptime < manifest.dropped_from)) {
          wrong += "manifest " + digest.to_string() + " of " + repo.name + " was taken too early; ";
        }
        return true;
      });
    }
    settle();
    return wrong;
  }

  /// Does a manifest that is live, or may still be brought back, refer to it?
  static bool is_held(const Repo& repo, const oci::Digest& digest, Uptime uptime) {
    return std::ranges::any_of(repo.manifests, [&](const auto& entry) {
      return (entry.second.live || uptime < entry.second.dropped_from) && refers(entry.second, digest);
    });
  }
  /// Does a live manifest refer to it?
  static bool is_needed(const Repo& repo, const oci::Digest& digest) {
    return std::ranges::any_of(
        repo.manifests, [&](const auto& entry) { return entry.second.live && refers(entry.second, digest); });
  }
  /// Is all that is lost with the manifest, and with what it is about, within a right to delete some tags?
  static bool may_go(const Repo& repo, const oci::Digest& digest, const TagSet& may_delete) {
    if (!repo.manifests.contains(digest) || !repo.manifests.at(digest).live) return true;
    if (is_needed(repo, digest)) return false;
    for (const auto& [tag, where] : repo.tags) {
      if (where == digest && !may_delete.contains(tag)) return false;
    }
    const std::optional<std::string>& subject = repo.manifests.at(digest).content->subject;
    return !subject || may_go(repo, *oci::Digest::parse(*subject), may_delete);
  }
  static bool refers(const Manifest& manifest, const oci::Digest& digest) {
    return std::ranges::any_of(manifest.content->children,
                               [&](const oci::Child& child) { return child.digest == digest; });
  }

  /// Of tags the visible ones: what a reader may count.
  UsageRecord usage(const Repo& repo) const {
    UsageRecord usage;
    usage.held = repo.links.size() + repo.manifests.size();
    usage.tags = repo.tags.size();
    for (const auto& [digest, link] : repo.links) {
      const std::uint64_t size = blob_sizes.at(digest);
      if (link.visible) usage.logical_bytes += size;
      if (holders({ObjectKind::blob, digest}) == 1) usage.unique_bytes += size;
    }
    for (const auto& [digest, manifest] : repo.manifests) {
      if (manifest.live) usage.logical_bytes += manifest.size;
      if (manifest.live) usage.manifests += 1;
      if (holders({ObjectKind::manifest, digest}) == 1) usage.unique_bytes += manifest.size;
    }
    return usage;
  }

  /// Forgets what no longer exists. After every command.
  void settle() {
    std::erase_if(repos, [](const Repo& repo) { return repo.links.empty() && repo.manifests.empty(); });
    std::erase_if(damaged, [&](const ObjectKey& key) { return !is_stored(key); });
  }

 private:
  std::int64_t holders(const ObjectKey& key) const {
    return std::ranges::count_if(repos, [&](const Repo& repo) { return holds(repo, key); });
  }
  Repo& find_or_make(const std::string& name) {
    if (Repo* repo = find(name)) return *repo;
    Repo made;
    made.id = ++last_id;
    made.name = name;
    return repos.emplace_back(std::move(made));
  }
  static void link(Repo& repo, const oci::Digest& digest, Uptime uptime, const Periods& periods) {
    const bool fresh = !repo.links.contains(digest);
    Link& link = repo.links[digest];
    link.visible = true;
    link.kept_until = std::max(link.kept_until, uptime + (fresh ? periods.grace : periods.grace / 2));
  }
  static void set_tag(Repo& repo, const std::string& tag, const oci::Digest& digest) {
    TagMove move{{}, digest};
    if (const auto found = repo.tags.find(tag); found != repo.tags.end()) move.from = found->second;
    if (move.from == move.to) return;
    repo.tags[tag] = digest;
    repo.history[tag].push_back(move);
  }
  static void drop_tag(Repo& repo, const std::string& tag) {
    repo.history[tag].push_back({repo.tags.at(tag), {}});
    repo.tags.erase(tag);
  }
  static bool allows(const Precondition& precondition, const std::optional<oci::Digest>& now) {
    if (precondition.must_not_exist && now) return false;
    if (precondition.must_exist && !now) return false;
    if (precondition.must_match.empty()) return true;
    return now && std::ranges::count(precondition.must_match, now->to_string()) > 0;
  }
};

inline std::string describe(const CommitBlob::Outcome& outcome) {
  return outcome.bytes_needed ? "bytes needed" : outcome.stored ? "stored" : "kept";
}
inline std::string describe(const MountBlob::Outcome& outcome) { return outcome.mounted ? "mounted" : "not mounted"; }
inline std::string describe(const PutManifest::Outcome& outcome) { return outcome.created ? "created" : "was there"; }
inline std::string describe(const Quarantine::Outcome& outcome) {
  return outcome.quarantined ? "quarantined" : "not quarantined";
}
template <class Outcome>
std::string describe(const Outcome&) {
  return "ok";
}
template <class Outcome>
std::string describe(const Result<Outcome>& result) {
  if (result.has_value()) return describe(*result);
  std::string text(to_string(result.error().code));
  for (const std::string& subject : result.error().subjects) text += " " + subject;
  return text;
}

}  // namespace berth::registry::testing
