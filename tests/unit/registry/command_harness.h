// An index in memory that commands are run against one by one, and short ways to say what a client pushes.
#pragma once

#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "oci/manifest.h"
#include "registry/check.h"
#include "registry/commands/collect_due.h"
#include "registry/commands/commit_blob.h"
#include "registry/commands/delete_blob.h"
#include "registry/commands/delete_manifest.h"
#include "registry/commands/delete_repository.h"
#include "registry/commands/delete_tag.h"
#include "registry/commands/extend_link.h"
#include "registry/commands/fold_pulls.h"
#include "registry/commands/init_format.h"
#include "registry/commands/mount_blob.h"
#include "registry/commands/persist_uptime.h"
#include "registry/commands/put_manifest.h"
#include "registry/commands/quarantine.h"
#include "registry/commands/reap_done.h"
#include "registry/commands/trim_change_log.h"
#include "registry/queries.h"
#include "storage/kv/committer.h"
#include "storage/kv/memory_kv.h"

namespace berth::registry::testing {

inline oci::RepositoryName repository(std::string_view text) { return *oci::RepositoryName::parse(text); }
inline oci::Tag tag(std::string_view text) { return *oci::Tag::parse(text); }
inline std::shared_ptr<const std::string> shared(std::string text) {
  return std::make_shared<const std::string>(std::move(text));
}

/// A command on its way through the committer's core, with what came of it.
template <class Command>
struct Step final : kv::PendingCommand {
  using Answer = Result<typename Command::Outcome>;
  Step(Command c, std::shared_ptr<Answer> a) : command(std::move(c)), answer(std::move(a)) {}
  Result<void> apply(kv::Transaction& transaction) override {
    Command attempt = command;
    *answer = attempt.apply(transaction);
    if (!answer->has_value()) return answer->error();
    return {};
  }
  void complete(Result<void> outcome) override {
    if (!outcome.has_value()) *answer = std::move(outcome).error();
    ignore(*answer);  // the client may be gone
  }
  Command command;
  std::shared_ptr<Answer> answer;
};

/// Bits rot in the index and a reader that met them has them quarantined. Files are left as they are: no command looks.
struct QuarantineRotten : Quarantine {
  using Outcome = Quarantine::Outcome;
  Result<Outcome> apply(kv::Transaction& transaction) {
    const std::string key = ContentKey{kind, digest}.encode();
    BERTH_TRY(auto stored, transaction.get(ContentKey::kFamily, key));
    if (stored && !stored->empty()) {
      stored->front() = static_cast<char>(~stored->front());
      transaction.put(ContentKey::kFamily, key, *std::move(stored));
    }
    return Quarantine::apply(transaction);
  }
};

inline constexpr std::string_view kConfigType = "application/vnd.oci.image.config.v1+json";
inline constexpr std::string_view kLayerType = "application/vnd.oci.image.layer.v1.tar";

inline std::string descriptor(std::string_view type, const oci::Digest& digest, std::size_t size) {
  return R"({"mediaType":")" + std::string(type) + R"(","digest":")" + digest.to_string() + R"(","size":)" +
         std::to_string(size) + "}";
}

/// A manifest as a client sends it.
struct Pushed {
  std::shared_ptr<const std::string> body;
  std::shared_ptr<const oci::Manifest> manifest;
  oci::Digest digest;
};
inline Pushed pushed(std::string body, std::string_view type) {
  Pushed out;
  auto manifest = oci::parse_manifest(body, type, {});
  INFO(body);
  REQUIRE(manifest.has_value());
  out.manifest = std::make_shared<const oci::Manifest>(*std::move(manifest));
  out.digest = oci::sha256(body);
  out.body = shared(std::move(body));
  return out;
}

struct ImageParts {
  std::string config;               ///< content of the config blob
  std::vector<std::string> layers;  ///< content of each layer
  std::string subject = {};         ///< digest text
  std::string artifact_type = {};
};
inline Pushed image(const ImageParts& parts) {
  std::string body = R"({"schemaVersion":2,"mediaType":")" + std::string(oci::kImageManifestType) + R"(","config":)" +
                     descriptor(kConfigType, oci::sha256(parts.config), parts.config.size()) + R"(,"layers":[)";
  for (std::size_t i = 0; i < parts.layers.size(); ++i) {
    body += (i == 0 ? "" : ",") + descriptor(kLayerType, oci::sha256(parts.layers[i]), parts.layers[i].size());
  }
  body += "]";
  if (!parts.artifact_type.empty()) body += R"(,"artifactType":")" + parts.artifact_type + "\"";
  if (!parts.subject.empty()) {
    body += R"(,"subject":{"mediaType":")" + std::string(oci::kImageManifestType) + R"(","digest":")" + parts.subject +
            R"(","size":7})";
  }
  return pushed(body + "}", oci::kImageManifestType);
}
/// An index of manifests (or, with another type, of whatever else).
inline Pushed index_of(const std::vector<Pushed>& children) {
  std::string body = R"({"schemaVersion":2,"mediaType":")" + std::string(oci::kImageIndexType) + R"(","manifests":[)";
  for (std::size_t i = 0; i < children.size(); ++i) {
    body += (i == 0 ? "" : ",") +
            descriptor(children[i].manifest->media_type, children[i].digest, children[i].body->size());
  }
  return pushed(body + "]}", oci::kImageIndexType);
}

/// The index under test. Time stands still until a test moves it.
class TestIndex {
 public:
  TestIndex() : TestIndex(kv::make_memory_store(schema())) {}
  explicit TestIndex(std::unique_ptr<kv::Store> opened) : store(std::move(opened)) { reopen(); }

  /// As after a crash: only what was written is left.
  void reopen() {
    core = std::make_unique<kv::CommitterCore>(
        *store, [this](std::span<const std::string> keys, std::uint64_t) { touched.assign(keys.begin(), keys.end()); });
    REQUIRE(core->open().has_value());
  }

  template <class Command>
  Result<typename Command::Outcome> run(Command command) {
    command.context = context;
    auto answer = std::make_shared<typename Step<Command>::Answer>();
    std::vector<std::unique_ptr<kv::PendingCommand>> batch, cold;
    batch.push_back(std::make_unique<Step<Command>>(std::move(command), answer));
    touched.clear();
    REQUIRE(core->apply(std::move(batch), cold).has_value());
    REQUIRE(cold.empty());
    return *answer;
  }

  std::shared_ptr<const kv::View> view() const { return core->views().current(); }
  /// Of the newest state; valid until the next command.
  const kv::Reader& reader() {
    view_ = view();
    return view_->reader(kv::Tier::any);
  }
  /// Every rule of the index, and nothing else, holds.
  void check() {
    auto findings = check_index(reader());
    REQUIRE(findings.has_value());
    CHECK(*findings == std::vector<std::string>{});
  }
  void advance(std::chrono::milliseconds by) {
    context.uptime += by;
    context.now += by;
  }
  /// Works off everything that is due. Answers the number of commands it took.
  int collect() {
    int commands = 0;
    for (;; ++commands) {
      auto entries = due_entries(reader(), context.uptime, CollectDue::kEntriesMax);
      REQUIRE(entries.has_value());
      if (entries->empty()) return commands;
      REQUIRE(run(CollectDue{.context = {}, .entries = *entries, .periods = periods}).has_value());
      REQUIRE(commands < 10'000);
    }
  }
  /// Files that wait to be removed, whenever that may be.
  std::vector<std::string> reaped() {
    std::vector<std::string> files;
    auto entries = reap_entries(reader(), Uptime::max(), 1000);
    REQUIRE(entries.has_value());
    for (const ReapKey& entry : *entries) files.push_back(entry.file);
    return files;
  }

  // ---- what clients do ----

  Result<CommitBlob::Outcome> push_blob(std::string_view name, const std::string& content) {
    return run(CommitBlob{.context = {},
                          .repository = repository(name),
                          .digest = oci::sha256(content),
                          .size = content.size(),
                          .content = CommitBlob::Inline{shared(content)},
                          .periods = periods});
  }
  Result<CommitBlob::Outcome> push_file(std::string_view name, const std::string& content, const std::string& upload,
                                        bool replace = false) {
    return run(CommitBlob{.context = {},
                          .repository = repository(name),
                          .digest = oci::sha256(content),
                          .size = content.size(),
                          .content = place(content, upload),
                          .replace_copy = replace,
                          .periods = periods});
  }
  static storage::Place place(const std::string& content, const std::string& upload) {
    return {"00000001/sha256-" + oci::sha256(content).hex() + "." + upload};
  }
  Result<PutManifest::Outcome> put(std::string_view name, const Pushed& manifest, oci::Reference reference,
                                   const std::vector<oci::Tag>& extra = {}, Precondition precondition = {},
                                   bool may_overwrite = true) {
    PutManifest command{.context = {},
                        .repository = repository(name),
                        .digest = manifest.digest,
                        .manifest = manifest.manifest,
                        .body = manifest.body,
                        .reference = std::move(reference),
                        .precondition = std::move(precondition),
                        .may_overwrite = may_overwrite,
                        .periods = periods};
    for (const oci::Tag& one : extra) command.extra_tags.push_back({one, may_overwrite});
    return run(std::move(command));
  }
  Result<PutManifest::Outcome> put(std::string_view name, const Pushed& manifest, std::string_view as_tag) {
    return put(name, manifest, oci::Reference(tag(as_tag)));
  }
  /// Config, layers and manifest under a tag.
  Pushed push_image(std::string_view name, const ImageParts& parts, std::string_view as_tag) {
    REQUIRE(push_blob(name, parts.config).has_value());
    for (const std::string& layer : parts.layers) REQUIRE(push_blob(name, layer).has_value());
    Pushed made = image(parts);
    auto done = put(name, made, as_tag);
    REQUIRE(done.has_value());
    return made;
  }
  Result<DeleteTag::Outcome> delete_tag(std::string_view name, std::string_view which, Precondition precondition = {},
                                        TagSet may_delete = TagSet::everything()) {
    return run(DeleteTag{.context = {},
                         .repository = repository(name),
                         .tag = tag(which),
                         .precondition = std::move(precondition),
                         .may_delete = std::move(may_delete)});
  }
  Result<DeleteManifest::Outcome> delete_manifest(std::string_view name, const oci::Digest& digest,
                                                  TagSet may_delete = TagSet::everything()) {
    return run(DeleteManifest{.context = {},
                              .repository = repository(name),
                              .digest = digest,
                              .may_delete = std::move(may_delete),
                              .periods = periods});
  }
  Result<DeleteBlob::Outcome> delete_blob(std::string_view name, const oci::Digest& digest,
                                          TagSet may_delete = TagSet::everything()) {
    return run(DeleteBlob{.context = {},
                          .repository = repository(name),
                          .digest = digest,
                          .may_delete = std::move(may_delete),
                          .periods = periods});
  }
  Result<DeleteRepository::Outcome> delete_repository(std::string_view name,
                                                      TagSet may_delete = TagSet::everything()) {
    return run(DeleteRepository{.context = {},
                                .repository = repository(name),
                                .may_delete = std::move(may_delete),
                                .periods = periods});
  }
  Result<MountBlob::Outcome> mount(std::string_view target, const oci::Digest& digest,
                                   std::optional<std::string> from = {}, Visibility sources = {}) {
    MountBlob command{.context = {},
                      .repository = repository(target),
                      .digest = digest,
                      .sources = std::move(sources),
                      .periods = periods};
    if (from) command.from = repository(*from);
    return run(std::move(command));
  }

  // ---- what readers see ----

  bool sees_blob(std::string_view name, const std::string& content) {
    auto blob = resolve_blob(reader(), kLocalNamespace, repository(name), oci::sha256(content));
    if (!blob) {
      CHECK(blob.error().code == ErrorCode::blob_unknown);
      return false;
    }
    const auto* bytes = std::get_if<std::string>(&blob->content);
    CHECK((bytes == nullptr || *bytes == content));
    return true;
  }
  bool sees(std::string_view name, const oci::Reference& reference) {
    auto answer = find_manifest(reader(), kLocalNamespace, repository(name), reference);
    if (!answer) {
      CHECK(answer.error().code == ErrorCode::manifest_unknown);
      return false;
    }
    CHECK(oci::sha256(answer->bytes) == answer->digest);
    return true;
  }
  bool sees_tag(std::string_view name, std::string_view which) { return sees(name, oci::Reference(tag(which))); }
  std::vector<std::string> tags(std::string_view name, std::size_t n = 1000, std::string_view last = "") {
    auto page = list_tags(reader(), kLocalNamespace, repository(name), n, last);
    if (!page) {
      CHECK(page.error().code == ErrorCode::repository_unknown);
      return {"(repository unknown)"};
    }
    return page->tags;
  }
  std::vector<std::string> catalog() {
    auto page = list_repositories(reader(), kLocalNamespace, Visibility::everything(), 1000, "");
    REQUIRE(page.has_value());
    return page->names;
  }
  UsageRecord usage(std::string_view name) {
    auto id = find_repository(reader(), kLocalNamespace, repository(name));
    REQUIRE(id.has_value());
    if (!*id) return {};
    auto record = repository_usage(reader(), **id);
    REQUIRE(record.has_value());
    return *record;
  }

  std::unique_ptr<kv::Store> store;
  std::unique_ptr<kv::CommitterCore> core;
  CommandContext context{.actor = 7,
                         .request_id = "request",
                         .now = WallTime(std::chrono::milliseconds(1'700'000'000'000)),
                         .uptime = std::chrono::hours(1)};
  Periods periods;
  std::vector<std::string> touched;  ///< by the last command

 private:
  std::shared_ptr<const kv::View> view_;
};

}  // namespace berth::registry::testing
