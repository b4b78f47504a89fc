#include "registry/commands/fold_pulls.h"

#include <algorithm>

#include "registry/commands/repositories.h"
#include "registry/queries.h"

namespace berth::registry {

namespace {

Result<bool> exists(const Index& index, RepositoryId repository, const std::string& reference) {
  if (reference.find(':') == std::string::npos) {
    BERTH_TRY(const auto tag, find_tag(index.reader(), repository, reference));
    return tag.has_value();
  }
  Result<oci::Digest> digest = oci::Digest::parse(reference);
  if (!digest) return false;
  BERTH_TRY(const auto manifest, index.get(ManifestKey{repository, *digest}));
  return manifest && manifest->state == ManifestState::live;
}

}  // namespace

Result<FoldPulls::Outcome> FoldPulls::apply(kv::Transaction& transaction) {
  Index index(transaction, CommandKind::fold_pulls, context);
  for (const Entry& entry : entries) {
    BERTH_TRY(const auto target, find_repository(index, entry.name_space, entry.repository));
    if (!target) continue;
    BERTH_TRY(const bool there, exists(index, target->id, entry.reference));
    if (!there) continue;
    const PullsKey key{target->id, entry.reference};
    BERTH_TRY(const auto found, index.get(key));
    PullsRecord record = found.value_or(PullsRecord{});
    record.pulls += entry.pulls;
    record.last_pull = std::max(record.last_pull, entry.last_pull);
    index.put(key, record);
  }
  index.record_change();
  return Outcome{};
}

}  // namespace berth::registry
