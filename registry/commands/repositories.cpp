#include "registry/commands/repositories.h"

#include <cstdio>
#include <cstdlib>

#include "registry/commands/totals.h"

namespace berth::registry {

namespace {

/// A figure that a repository shares with its project, before and after.
struct Sums {
  std::int64_t logical_bytes = 0;
  std::int64_t manifests = 0;
  std::int64_t tags = 0;
};

Result<void> add_to_project(Index& index, const RepositoryRecord& repository, const Sums& sums) {
  if (sums.logical_bytes == 0 && sums.manifests == 0 && sums.tags == 0) return {};
  BERTH_CHECK(add_to_total(index, Total::manifests, sums.manifests));
  BERTH_CHECK(add_to_total(index, Total::tags, sums.tags));
  const ProjectUsageKey key{repository.name_space, std::string(project_of(repository.name))};
  BERTH_TRY(const auto found, index.get(key));
  ProjectUsageRecord project = found.value_or(ProjectUsageRecord{});
  project.logical_bytes = add(project.logical_bytes, sums.logical_bytes);
  project.manifests = add(project.manifests, sums.manifests);
  project.tags = add(project.tags, sums.tags);
  if (project == ProjectUsageRecord{}) {
    index.erase(key);
  } else {
    index.put(key, project);
  }
  return {};
}

}  // namespace

std::uint64_t add(std::uint64_t figure, std::int64_t delta) {
  const std::uint64_t sum = figure + static_cast<std::uint64_t>(delta);
  if (delta < 0 ? sum > figure : sum < figure) {
    std::fputs("berth: a usage figure left its range\n", stderr);
    std::abort();
  }
  return sum;
}

Result<std::optional<Repository>> load_repository(const Index& index, RepositoryId id) {
  BERTH_TRY(auto record, index.get(RepositoryKey{id}));
  if (!record) return std::optional<Repository>{};
  return std::optional<Repository>(Repository{.id = id, .record = *std::move(record)});
}

Result<std::optional<Repository>> find_repository(const Index& index, NamespaceId name_space, std::string_view name) {
  BERTH_TRY(const auto binding, index.get(RepositoryNameKey{name_space, std::string(name)}));
  if (!binding) return std::optional<Repository>{};
  BERTH_TRY(auto repository, load_repository(index, binding->repository));
  if (!repository || !repository->live()) return make_error(ErrorCode::corrupt, "a repository's name leads nowhere");
  return repository;
}

Result<Repository> find_or_create_repository(Index& index, NamespaceId name_space, std::string_view name) {
  BERTH_TRY(auto found, find_repository(index, name_space, name));
  if (found) return *std::move(found);
  return create_repository(index, name_space, name);
}

Result<Repository> create_repository(Index& index, NamespaceId name_space, std::string_view name) {
  Repository made;
  BERTH_TRY(made.id, index.next(Counter::repositories));
  made.record.name_space = name_space;
  made.record.name = name;
  made.record.created_at = index.context().now;
  made.record.created_by = index.context().actor;
  index.put(RepositoryNameKey{name_space, made.record.name}, RepositoryBinding{made.id});
  index.put(RepositoryKey{made.id}, made.record);
  BERTH_CHECK(add_to_total(index, Total::repositories, 1));
  return made;
}

Result<void> settle(Index& index, Repository& repository) {
  BERTH_TRY(const auto found, index.get(UsageKey{repository.id}));
  const UsageRecord before = found.value_or(UsageRecord{});
  const UsageDelta delta = std::exchange(repository.delta, {});
  UsageRecord after = before;
  after.logical_bytes = add(before.logical_bytes, delta.logical_bytes);
  after.unique_bytes = add(before.unique_bytes, delta.unique_bytes);
  after.manifests = add(before.manifests, delta.manifests);
  after.tags = add(before.tags, delta.tags);
  after.held = add(before.held, delta.held);
  if (!found || after != before) index.put(UsageKey{repository.id}, after);
  if (!repository.live()) return {};

  BERTH_CHECK(add_to_project(index, repository.record, {delta.logical_bytes, delta.manifests, delta.tags}));
  const CatalogKey catalog{repository.record.name_space, repository.record.name};
  if (before.manifests == 0 && after.manifests != 0) index.put(catalog, RepositoryBinding{repository.id});
  if (before.manifests != 0 && after.manifests == 0) index.erase(catalog);
  // Nothing to bring back, so no undo window; the purge also takes the histories that are left.
  if (after.held == 0) return unbind(index, repository, index.context().uptime);
  return {};
}

Result<void> add_unique_bytes(Index& index, RepositoryId repository, std::int64_t bytes) {
  BERTH_TRY(const auto found, index.get(UsageKey{repository}));
  UsageRecord usage = found.value_or(UsageRecord{});
  usage.unique_bytes = add(usage.unique_bytes, bytes);
  index.put(UsageKey{repository}, usage);
  return {};
}

Result<void> unbind(Index& index, Repository& repository, Uptime due) {
  BERTH_TRY(const auto found, index.get(UsageKey{repository.id}));
  const UsageRecord usage = found.value_or(UsageRecord{});
  const Sums leaving{-static_cast<std::int64_t>(usage.logical_bytes), -static_cast<std::int64_t>(usage.manifests),
                     -static_cast<std::int64_t>(usage.tags)};
  BERTH_CHECK(add_to_project(index, repository.record, leaving));

  BERTH_CHECK(add_to_total(index, Total::repositories, -1));
  RepositoryRecord& record = repository.record;
  index.erase(RepositoryNameKey{record.name_space, record.name});
  if (usage.manifests != 0) index.erase(CatalogKey{record.name_space, record.name});
  record.state = RepositoryState::deleted;
  record.deleted_at = index.context().now;
  record.deleted_by = index.context().actor;
  record.due = due;
  index.put(RepositoryKey{repository.id}, record);
  index.put(DueKey{due, DueKind::repository, repository.id}, EmptyRecord{});
  return {};
}

}  // namespace berth::registry
