#include "registry/commands/purge_repository.h"

#include <functional>

#include "registry/commands/links.h"

namespace berth::registry {

namespace {

/// Erases up to `budget` records of one kind. True: none are left. `let_go(key)` undoes what the record stands for.
template <class Key, class LetGo>
Result<bool> erase_all(Index& index, RepositoryId repository, std::size_t& budget, LetGo let_go) {
  const std::string prefix = Key::prefix(repository);
  BERTH_TRY(const auto keys, keys_with_prefix(index.reader(), Key::kFamily, prefix, budget + 1));
  for (const std::string& bytes : keys) {
    if (budget == 0) return false;
    --budget;
    BERTH_TRY(const Key key, Key::decode(bytes));
    BERTH_CHECK(let_go(key));
    index.erase(key);
  }
  return true;
}

template <class Key>
Result<void> nothing_more(const Key&) {
  return {};
}

}  // namespace

Result<bool> purge_repository(Index& index, Repository& repository, const Periods& periods, std::size_t& budget) {
  const RepositoryId id = repository.id;
  auto drop_tag = [&](const TagKey&) -> Result<void> {
    repository.delta.tags -= 1;
    return {};
  };
  auto drop_edge = [&](const ChildKey& key) -> Result<void> {
    index.erase(EdgeKey{key.child, id, key.parent});
    return {};
  };
  auto drop_manifest = [&](const ManifestKey& key) -> Result<void> {
    BERTH_TRY(const auto record, index.get(key));
    if (record && record->state == ManifestState::live) {
      repository.delta.manifests -= 1;
      repository.delta.logical_bytes -= static_cast<std::int64_t>(record->size);
    }
    return release_object(index, repository, {ObjectKind::manifest, key.digest}, periods);
  };
  auto drop_link = [&](const LinkKey& key) -> Result<void> {
    BERTH_TRY(const auto link, index.get(key));
    if (!link) return {};
    return unlink_blob(index, repository, key.digest, *link, periods);
  };
  // Each step begins where the one before it stopped: the kinds that are empty by now cost one seek.
  const std::function<Result<bool>()> steps[] = {
      [&] { return erase_all<TagKey>(index, id, budget, drop_tag); },
      [&] { return erase_all<TagOfKey>(index, id, budget, nothing_more<TagOfKey>); },
      [&] { return erase_all<TagIndexKey>(index, id, budget, nothing_more<TagIndexKey>); },
      [&] { return erase_all<LeftoverKey>(index, id, budget, nothing_more<LeftoverKey>); },
      [&] { return erase_all<TagLogKey>(index, id, budget, nothing_more<TagLogKey>); },
      [&] { return erase_all<ReferrerKey>(index, id, budget, nothing_more<ReferrerKey>); },
      [&] { return erase_all<ChildKey>(index, id, budget, drop_edge); },
      [&] { return erase_all<ManifestKey>(index, id, budget, drop_manifest); },
      [&] { return erase_all<LinkKey>(index, id, budget, drop_link); },
      [&] { return erase_all<PullsKey>(index, id, budget, nothing_more<PullsKey>); },
  };
  for (const auto& step : steps) {
    BERTH_TRY(const bool empty, step());
    if (!empty) {
      BERTH_CHECK(settle(index, repository));
      return false;
    }
  }
  index.erase(UsageKey{id});
  index.erase(RepositoryKey{id});
  return true;
}

}  // namespace berth::registry
