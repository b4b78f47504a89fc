#include "registry/commands/collect_due.h"

#include <algorithm>

#include "registry/commands/edges.h"
#include "registry/commands/links.h"
#include "registry/commands/purge_repository.h"
#include "registry/commands/repositories.h"
#include "registry/commands/tags.h"
#include "registry/commands/totals.h"

namespace berth::registry {

namespace {

/// What one entry works on. Each step below answers whether the entry is finished.
struct Work {
  Index& index;
  Repository& repository;
  const DueKey& entry;
  const Periods& periods;
  std::size_t& budget;
};

/// A link goes when no manifest refers to it, and nobody extended it meanwhile.
Result<bool> collect_link(const Work& work) {
  const LinkKey key{work.repository.id, *work.entry.digest};
  BERTH_TRY(auto link, work.index.get(key));
  const bool overtaken = !link || link->due.count() == 0 || link->due > work.entry.due;
  if (overtaken) return true;
  BERTH_TRY(const bool held, has_edge(work.index, key.repository, key.digest));
  if (held) {
    link->due = Uptime{0};
    work.index.put(key, *link);
    return true;
  }
  BERTH_CHECK(unlink_blob(work.index, work.repository, key.digest, *link, work.periods));
  return true;
}

/// A deleted manifest is dropped for good: first what points at it, then its edges, then itself.
Result<bool> drop_manifest(const Work& work) {
  const ManifestKey key{work.repository.id, *work.entry.digest};
  BERTH_TRY(const auto record, work.index.get(key));
  const bool overtaken = !record || record->state != ManifestState::deleted || record->due > work.entry.due;
  if (overtaken) return true;
  BERTH_TRY(const bool swept, sweep_leftover_tags(work.index, work.repository, key.digest, work.budget));
  if (!swept) return false;
  BERTH_TRY(const bool dropped, drop_edges(work.index, key.repository, key.digest, work.periods, work.budget));
  if (!dropped) return false;
  const PullsKey pulls{key.repository, key.digest.to_string()};
  BERTH_TRY(const auto counted, work.index.get(pulls));
  if (counted) work.index.erase(pulls);
  work.index.erase(key);
  BERTH_CHECK(release_object(work.index, work.repository, {ObjectKind::manifest, key.digest}, work.periods));
  return true;
}

Result<bool> sweep_tags(const Work& work) {
  return sweep_leftover_tags(work.index, work.repository, *work.entry.digest, work.budget);
}

Result<bool> purge(const Work& work) {
  const RepositoryRecord& record = work.repository.record;
  const bool overtaken = record.state != RepositoryState::deleted || record.due > work.entry.due;
  if (overtaken) return true;
  return purge_repository(work.index, work.repository, work.periods, work.budget);
}

Result<bool> work_off(Index& index, const DueKey& entry, const Periods& periods, std::size_t& budget) {
  BERTH_TRY(auto repository, load_repository(index, entry.repository));
  if (!repository) return true;
  const Work work{index, *repository, entry, periods, budget};
  if (entry.kind == DueKind::repository) return purge(work);
  if (!entry.digest) return make_error(ErrorCode::corrupt, "a due entry does not say of what");
  BERTH_TRY(const bool finished, entry.kind == DueKind::link       ? collect_link(work)
                                 : entry.kind == DueKind::manifest ? drop_manifest(work)
                                                                   : sweep_tags(work));
  BERTH_CHECK(settle(index, *repository));
  return finished;
}

/// What a command dropped is what the totals lost meanwhile.
struct Before {
  std::uint64_t blobs = 0;
  std::uint64_t manifests = 0;
  std::uint64_t bytes = 0;  ///< in the index or in files that it names, or waiting in the reap queue

  static Result<Before> read(const Index& index) {
    Before now;
    BERTH_TRY(now.blobs, total(index.reader(), Total::blobs));
    BERTH_TRY(now.manifests, total(index.reader(), Total::manifest_objects));
    BERTH_TRY(now.bytes, total(index.reader(), Total::bytes));
    BERTH_TRY(const std::uint64_t reap_bytes, total(index.reader(), Total::reap_bytes));
    now.bytes += reap_bytes;
    return now;
  }
};

}  // namespace

Result<CollectDue::Outcome> CollectDue::apply(kv::Transaction& transaction) {
  Index index(transaction, CommandKind::collect_due, context);
  std::size_t budget = records_max;
  Outcome outcome;
  BERTH_TRY(const Before before, Before::read(index));
  for (const DueKey& entry : entries) {
    if (entry.due > context.uptime || budget == 0) break;
    --budget;
    BERTH_TRY(const bool finished, work_off(index, entry, periods, budget));
    if (!finished) break;
    index.erase(entry);
    ++outcome.finished;
    outcome.repositories += entry.kind == DueKind::repository ? 1 : 0;
  }
  BERTH_TRY(const Before after, Before::read(index));
  outcome.blobs = before.blobs - std::min(before.blobs, after.blobs);
  outcome.manifests = before.manifests - std::min(before.manifests, after.manifests);
  outcome.bytes = before.bytes - std::min(before.bytes, after.bytes);
  index.record_change();
  return outcome;
}

}  // namespace berth::registry
