// Random histories of the command core: pushes, mounts, tag moves, deletes and collection steps while time passes, in
// batches, with a crash at any of them, against a plain model.
//
// After every batch: every answer is the model's; what was acknowledged is visible and nothing else; every rule of the
// index holds (check_index: xor, figures, edges, due entries); a cache that forgets only what was touched is right;
// files are removed only when no reader of the last minute can still want them. At the end of a run: a twin that was
// given the same commands one by one has the same bytes; the change log alone rebuilds the index; after enough time
// nothing unreferenced is left; and when all is deleted, nothing is.
//
// BERTH_SEED=<n> runs that one history. `unit_registry "[simulation-long]"` runs many (BERTH_RUNS of them).
#include <cstdlib>
#include <deque>
#include <functional>
#include <random>
#include <sstream>

#include "registry/commands/totals.h"
#include "tests/unit/registry/plain_model.h"

namespace berth::registry::testing {
namespace {

/// Catch's own macros are too slow for millions of these, and so is saying what is expected when it holds.
#define EXPECT(holds, what)     \
  do {                          \
    if (!(holds)) broken(what); \
  } while (false)

/// A disk that fails one write: what was written is then there or not.
class CrashStore final : public kv::Store {
 public:
  enum class Fault { none, lost, written };
  Fault fault = Fault::none;

  Result<std::shared_ptr<const kv::View>> view() override { return inner_->view(); }
  Result<void> write(std::span<const kv::Write> writes) override {
    if (fault != Fault::lost) BERTH_CHECK(inner_->write(writes));
    if (fault != Fault::none) return make_error(ErrorCode::io_error, "a crash");
    return {};
  }
  Result<std::uint64_t> last_log_number(kv::Family log) override { return inner_->last_log_number(log); }
  const kv::Schema& schema() const override { return inner_->schema(); }
  Result<void> flush() override { return inner_->flush(); }

 private:
  std::unique_ptr<kv::Store> inner_ = kv::make_memory_store(registry::schema());
};

using Dump = std::map<std::pair<kv::Family, std::string>, std::string>;

Dump dump(const kv::Reader& reader) {
  Dump all;
  for (std::size_t f = 0; f < family::count; ++f) {
    const auto which = static_cast<kv::Family>(f);
    auto cursor = reader.scan(which, {}).value();
    for (; cursor->valid(); cursor->next()) all[{which, std::string(cursor->key())}] = cursor->value();
  }
  return all;
}

const std::vector<std::string> kNames = {"team", "team/app", "other/app"};
const std::vector<std::string> kPatterns = {"team", "team/**", "*/app"};
const std::vector<std::string> kTags = {"latest", "v1.0.0", "v1.1.0-rc.1", "x", "y"};

/// One history.
class Simulation {
 public:
  explicit Simulation(std::uint64_t seed) : random_(seed) {
    periods_.grace = std::chrono::hours(24);
    periods_.undo_window = std::chrono::hours(24 * 3);
    context_.now = WallTime(std::chrono::milliseconds(1'700'000'000'000));
    context_.uptime = std::chrono::hours(1);
    make_content();
    reopen();
    REQUIRE(twin_core_.open().has_value());
  }

  void run(int steps) {
    for (int i = 0; i < steps; ++i) step();
    compare_twin();
    compare_replay();
    leave_alone();
    delete_everything();
  }

 private:
  // ---- chance ----

  std::uint64_t below(std::uint64_t n) { return random_() % n; }
  bool one_in(std::uint64_t n) { return below(n) == 0; }
  template <class T>
  const T& any(const std::vector<T>& of) {
    return of[below(of.size())];
  }

  // ---- the world ----

  void make_content() {
    for (int i = 0; i < 7; ++i) {
      blobs_.push_back(std::string(1 + below(40), static_cast<char>('a' + i)));
      model_.blob_sizes[oci::sha256(blobs_.back())] = blobs_.back().size();
    }
    for (int i = 0; i < 5; ++i) {
      ImageParts parts{any(blobs_), {}};
      for (std::uint64_t n = 1 + below(4); n > 0; --n) parts.layers.push_back(any(blobs_));
      if (i > 1) parts.subject = manifests_[below(2)].digest.to_string();
      if (i > 1) parts.artifact_type = "application/vnd.example." + std::to_string(i);
      manifests_.push_back(image(parts));
    }
    manifests_.push_back(index_of({manifests_[0], manifests_[1]}));
    manifests_.push_back(index_of({manifests_[5], manifests_[2]}));
  }

  // ---- one step: a batch of commands, or what the process does beside it ----

  void step() {
    context_.request_id = "r" + std::to_string(++steps_);
    switch (below(14)) {
      case 0:
      case 1:
        advance();
        break;
      case 2:
      case 3:
        collect();
        break;
      case 4:
        reap();
        break;
      default:
        for (std::uint64_t n = 1 + below(6); n > 0; --n) client_acts();
    }
    commit();
    verify();
  }

  void advance() {
    const std::vector<std::chrono::milliseconds> steps = {std::chrono::seconds(1), periods_.reap_delay,
                                                          periods_.grace / 3, periods_.grace, periods_.undo_window};
    const auto by = any(steps);
    context_.uptime += by;
    context_.now += by;
    note("time passes: " + std::to_string(by.count()) + " ms");
  }

  void collect() {
    auto entries = due_entries(reader(), context_.uptime, 1 + below(8)).value();
    CollectDue command{.context = context_, .entries = entries, .periods = periods_};
    if (one_in(2)) command.records_max = 1 + below(6);
    add("collect", std::move(command));
  }

  void client_acts() {
    const std::string& name = any(kNames);
    switch (below(22)) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4:
        return push(name, any(manifests_));
      case 5:
      case 6:
        return commit_blob(name, any(blobs_));
      case 7:
      case 8:
        return mount(name, any(blobs_));
      case 9:
      case 10:
      case 11:
        return put(name, any(manifests_));
      case 12:
        return add("delete tag", DeleteTag{.context = context_,
                                           .repository = repository(name),
                                           .tag = tag(any(kTags)),
                                           .precondition = precondition(),
                                           .may_delete = may_delete()});
      case 13:
      case 14:
        return add("delete manifest", DeleteManifest{.context = context_,
                                                     .repository = repository(name),
                                                     .digest = any(manifests_).digest,
                                                     .may_delete = may_delete(),
                                                     .periods = periods_,
                                                     .tags_max = below(3)});
      case 15:
      case 16:
        return add("delete blob", DeleteBlob{.context = context_,
                                             .repository = repository(name),
                                             .digest = oci::sha256(any(blobs_)),
                                             .may_delete = may_delete(),
                                             .periods = periods_});
      case 17:
        if (!one_in(3)) return;
        return add("delete repository", DeleteRepository{.context = context_,
                                                         .repository = repository(name),
                                                         .may_delete = may_delete(),
                                                         .periods = periods_});
      case 18:
        return quarantine();
      default:
        return head(name, any(blobs_));
    }
  }

  /// As a client does it: what is missing is uploaded, then the manifest.
  void push(const std::string& name, const Pushed& manifest) {
    for (const oci::Child& child : manifest.manifest->children) {
      if (child.kind == oci::EdgeKind::manifest) {
        for (const Pushed& other : manifests_) {
          if (other.digest == child.digest) push(name, other);
        }
        continue;
      }
      for (const std::string& blob : blobs_) {
        if (oci::sha256(blob) == child.digest) one_in(3) ? mount(name, blob) : commit_blob(name, blob);
      }
    }
    put(name, manifest);
  }

  void commit_blob(const std::string& name, const std::string& blob) {
    CommitBlob command{.context = context_,
                       .repository = repository(name),
                       .digest = oci::sha256(blob),
                       .size = blob.size(),
                       .content = {},
                       .replace_copy = one_in(3),
                       .periods = periods_};
    switch (below(3)) {
      case 0:
        break;
      case 1:
        command.content = CommitBlob::Inline{shared(blob)};
        break;
      default:
        const storage::Place place = TestIndex::place(blob, std::to_string(++uploads_));
        files_.insert(place.name);
        command.content = place;
    }
    add("commit blob", std::move(command));
  }

  void mount(const std::string& name, const std::string& blob) {
    MountBlob command{
        .context = context_, .repository = repository(name), .digest = oci::sha256(blob), .periods = periods_};
    if (one_in(2)) command.from = repository(any(kNames));
    if (one_in(2)) {
      command.sources = Visibility::everything();
    } else if (one_in(2)) {
      command.sources.patterns = {RepositoryPattern::parse(any(kPatterns)).value()};
    }
    add("mount", std::move(command));
  }

  void put(const std::string& name, const Pushed& manifest) {
    PutManifest command{.context = context_,
                        .repository = repository(name),
                        .digest = manifest.digest,
                        .manifest = manifest.manifest,
                        .body = manifest.body,
                        .reference = oci::Reference(tag(any(kTags))),
                        .precondition = precondition(),
                        .may_overwrite = !one_in(3),
                        .periods = periods_};
    if (one_in(4)) {
      command.reference = manifest.digest;
      command.precondition = {};
      for (const std::string& extra : kTags) {
        if (one_in(2)) command.extra_tags.push_back({tag(extra), !one_in(4)});
      }
    }
    add("put manifest", std::move(command));
  }

  TagSet may_delete() {
    if (!one_in(3)) return TagSet::everything();
    TagSet some;
    for (const char* pattern : {"v*", "x", "latest"}) {
      if (one_in(2)) some.patterns.push_back(TagPattern::parse(pattern).value());
    }
    return some;
  }

  Precondition precondition() {
    switch (below(8)) {
      case 0:
        return {.must_not_exist = true};
      case 1:
        return {.must_match = {any(manifests_).digest.to_string(), any(manifests_).digest.to_string()}};
      case 2:
        return {.must_exist = true};
      default:
        return {};
    }
  }

  void quarantine() {
    if (one_in(2)) {
      return add("quarantine manifest",
                 QuarantineRotten{{.context = context_, .kind = ObjectKind::manifest, .digest = any(manifests_).digest}});
    }
    // The copy as a reader of the newest view finds it; commands before this one in the batch may replace it.
    commit();
    const oci::Digest digest = oci::sha256(any(blobs_));
    const auto stored = find_stored_blob(reader(), digest).value();
    QuarantineRotten command{{.context = context_, .digest = digest}};
    if (stored && stored->place) command.file = stored->place->name;
    add("quarantine blob", std::move(command));
  }

  /// A client asks whether a blob is there and relies on the answer.
  void head(const std::string& name, const std::string& blob) {
    const auto link = find_link(reader(), kLocalNamespace, repository(name), oci::sha256(blob));
    if (!link || !wants_extension(link->due, context_.uptime, periods_.grace)) return;
    add("head",
        ExtendLink{
            .context = context_, .repository = repository(name), .digest = oci::sha256(blob), .periods = periods_});
  }

  /// The collector removes files, then has them forgotten; a crash in between finds them gone already.
  void reap() {
    auto entries = reap_entries(reader(), context_.uptime, 1 + below(5)).value();
    for (const ReapKey& entry : entries) {
      note("remove " + entry.file);
      files_.erase(entry.file);
      for (const auto& [until, view] : old_views_) {
        if (until + periods_.reap_delay <= context_.uptime) continue;
        EXPECT(!is_place_in_use(view->reader(kv::Tier::any), {entry.file}).value(),
               "a reader may have a removed file open");
      }
    }
    add("reap done", ReapDone{.context = context_, .entries = entries});
  }

  // ---- the batch ----

  template <class Command>
  void add(const char* what, Command command) {
    auto answer = std::make_shared<typename Step<Command>::Answer>();
    batch_.push_back(std::make_unique<Step<Command>>(command, answer));
    // Run once it is known that the command is durable; its client was told so, or the process died before that.
    happened_.push_back([this, what, command, answer](bool acknowledged) {
      const std::string twin_says = run_on_twin(command);
      std::string expected = twin_says;
      if constexpr (!std::is_same_v<Command, CollectDue> && !std::is_same_v<Command, ReapDone>) {
        expected = model_.apply(command);
        model_.settle();
      }
      const std::string said = acknowledged ? describe(*answer) : "(not told) " + twin_says;
      note(std::string(what) + text(command) + ": " + said);
      EXPECT(twin_says == expected, "the model says " + expected + ", alone it says " + twin_says);
      EXPECT(!acknowledged || said == expected, "the model says " + expected);
      EXPECT(acknowledged || describe(*answer) == "unavailable",
             "what was not durable when it failed is not acknowledged");
    });
    // What takes things away is looked at before the next command relies on it.
    if constexpr (std::is_same_v<Command, DeleteBlob> || std::is_same_v<Command, CollectDue>) commit();
  }

  template <class Command>
  std::string run_on_twin(const Command& command) {
    auto answer = std::make_shared<typename Step<Command>::Answer>();
    std::vector<std::unique_ptr<kv::PendingCommand>> alone, cold;
    alone.push_back(std::make_unique<Step<Command>>(command, answer));
    EXPECT(twin_core_.apply(std::move(alone), cold).has_value(), "the twin can write");
    return describe(*answer);
  }

  template <class Command>
  static std::string text(const Command& command) {
    std::string out;
    if constexpr (requires { command.repository; }) out += " " + command.repository.text();
    if constexpr (requires { command.digest; }) out += " " + command.digest.hex().substr(0, 6);
    if constexpr (requires { command.tag; }) out += " " + command.tag.text();
    if constexpr (requires { command.reference; }) out += " as " + oci::to_string(command.reference).substr(0, 13);
    if constexpr (requires { command.extra_tags; }) {
      for (const PushedTag& extra : command.extra_tags) out += " +" + extra.tag.text();
    }
    return out;
  }

  /// Applies what is queued as one batch, unless the process dies before, during or after the write.
  void commit() {
    if (batch_.empty()) return;
    auto batch = std::exchange(batch_, {});
    auto happened = std::exchange(happened_, {});
    const bool crash = crashes_ && one_in(10);
    if (crash && one_in(3)) {
      note("crash before " + std::to_string(batch.size()) + " commands");
      return restart();
    }
    const bool written = one_in(2);
    if (crash) store_.fault = written ? CrashStore::Fault::written : CrashStore::Fault::lost;
    touched_.clear();
    old_views_.emplace_back(context_.uptime, core_->views().current());
    while (old_views_.size() > 8) old_views_.pop_front();

    std::vector<std::unique_ptr<kv::PendingCommand>> cold;
    const bool ok = core_->apply(std::move(batch), cold).has_value();
    EXPECT(cold.empty(), "memory answers every read");
    store_.fault = CrashStore::Fault::none;
    if (!ok) note(std::string("crash ") + (written ? "after" : "before") + " the write reached the disk");
    if (ok || written) {
      for (const auto& one : happened) one(ok);
    }
    if (!ok) return restart();
    forget(touched_);
    observe();
  }

  void reopen() {
    core_ = std::make_unique<kv::CommitterCore>(store_, [this](std::span<const std::string> keys, std::uint64_t) {
      touched_.assign(keys.begin(), keys.end());
    });
    REQUIRE(core_->open().has_value());
  }

  /// Nothing survives but the disk. Files that no record names are found and removed.
  void restart() {
    reopen();
    cached_.clear();
    old_views_.clear();
    std::set<std::string> waiting;
    for (const ReapKey& entry : all_reap_entries()) waiting.insert(entry.file);
    std::erase_if(files_, [&](const std::string& file) {
      return !waiting.contains(file) && !is_place_in_use(reader(), {file}).value();
    });
    observe();
  }

  // ---- what must hold ----

  void observe() {
    const std::string wrong = model_.observe(reader(), context_.uptime);
    EXPECT(wrong.empty(), wrong);
  }

  void verify() {
    const auto findings = check_index(reader());
    EXPECT(findings.has_value(), "every record can be read");
    EXPECT(findings->empty(), findings->empty() ? "" : findings->front());
    for (const std::string& name : kNames) verify_repository(name);
    std::vector<std::string> catalog;
    for (const PlainModel::Repo& repo : model_.repos) {
      const bool lists = std::ranges::any_of(repo.manifests, [](const auto& entry) { return entry.second.live; });
      if (repo.live && lists) catalog.push_back(repo.name);
      verify_usage(repo);
    }
    std::ranges::sort(catalog);
    EXPECT(list_repositories(reader(), kLocalNamespace, Visibility::everything(), 100, "").value().names == catalog, "the catalog is right");
    Visibility visibility{.patterns = {RepositoryPattern::parse(any(kPatterns)).value()}};
    std::erase_if(catalog, [&](const std::string& name) { return !visibility.shows(name); });
    EXPECT(list_repositories(reader(), kLocalNamespace, visibility, 100, "").value().names == catalog,
           "the catalog shows what is visible");
    verify_files();
  }

  void verify_repository(const std::string& name) {
    const PlainModel::Repo* repo = model_.find(name);
    const oci::RepositoryName parsed = repository(name);
    const auto id = registry::find_repository(reader(), kLocalNamespace, parsed).value();
    EXPECT(id == (repo == nullptr ? std::nullopt : std::optional(repo->id)), name + " exists or not");
    for (const std::string& blob : blobs_) {
      const auto found = resolve_blob(reader(), kLocalNamespace, parsed, oci::sha256(blob));
      const bool expected = repo != nullptr && model_.sees_blob(*repo, oci::sha256(blob));
      EXPECT(found.has_value() ? expected : !expected && found.failed_with(ErrorCode::blob_unknown),
             "blob " + blob.substr(0, 1) + " is visible or not in " + name);
      if (!found) continue;
      const auto* bytes = std::get_if<std::string>(&found->content);
      EXPECT(found->link.size == blob.size() && (bytes == nullptr || *bytes == blob), "a blob has its bytes");
    }
    for (const Pushed& manifest : manifests_) {
      const bool expected = repo != nullptr && model_.sees_manifest(*repo, manifest.digest);
      verify_reference(name, manifest.digest, expected ? std::optional(manifest.digest) : std::nullopt);
      verify_referrers(name, repo, manifest.digest.to_string());
    }
    std::vector<std::string> tags;
    for (const std::string& one : kTags) {
      std::optional<oci::Digest> expected;
      if (repo != nullptr && repo->tags.contains(one)) expected = repo->tags.at(one);
      if (expected) tags.push_back(one);
      if (expected && !model_.sees_manifest(*repo, *expected)) expected.reset();  // quarantined
      verify_reference(name, tag(one), expected);
    }
    const auto page = list_tags(reader(), kLocalNamespace, parsed, 100, "");
    EXPECT(page.has_value() == (repo != nullptr), "tags of an unknown repository are an error");
    if (page) EXPECT(page->tags == tags, "the tags of " + name + " are right");
  }

  /// The index as it is now, and a cache that only forgets what was touched.
  void verify_reference(const std::string& name, const oci::Reference& reference,
                        const std::optional<oci::Digest>& expected) {
    const auto answer = find_manifest(reader(), kLocalNamespace, repository(name), reference);
    const auto what = [&] { return name + " " + oci::to_string(reference); };
    EXPECT(answer.has_value() == expected.has_value(), what() + " is there or not");
    if (!answer) EXPECT(answer.failed_with(ErrorCode::manifest_unknown), what() + " is unknown");
    if (answer) EXPECT(answer->digest == *expected && oci::sha256(answer->bytes) == *expected, what() + " is right");

    const std::string key = cache_key(kLocalNamespace, name, oci::to_string(reference));
    const auto cached = cached_.find(key);
    if (cached != cached_.end()) {
      // A quarantined manifest may go on being served from memory: those bytes were good.
      const bool damaged = model_.damaged.contains({ObjectKind::manifest, cached->second});
      EXPECT(damaged || expected == cached->second, what() + " changed without a touch");
    } else if (answer) {
      cached_.emplace(key, answer->digest);
    }
  }

  void verify_referrers(const std::string& name, const PlainModel::Repo* repo, const std::string& subject) {
    std::vector<std::string> expected;
    if (repo != nullptr) {
      for (const auto& [about, digest] : repo->referrers) {
        if (about != subject) continue;
        const PlainModel::Manifest& manifest = repo->manifests.at(digest);
        expected.push_back(oci::referrer_descriptor(*manifest.content, digest, manifest.size));
      }
    }
    const auto page =
        list_referrers(reader(), kLocalNamespace, repository(name), subject, {}, 100, 1 << 20, "").value();
    EXPECT(page.descriptors == expected && page.next_cursor.empty(), "the referrers in " + name + " are right");
  }

  void verify_usage(const PlainModel::Repo& repo) {
    UsageRecord kept = repository_usage(reader(), repo.id).value();
    UsageRecord counted = model_.usage(repo);
    // Tags count until they are swept or purged.
    const bool lags =
        !repo.live || any_with_prefix(reader(), LeftoverKey::kFamily, LeftoverKey::prefix(repo.id)).value();
    EXPECT(lags ? kept.tags >= (repo.live ? counted.tags : 0) : kept.tags == counted.tags, "the tags are counted");
    kept.tags = counted.tags = 0;
    EXPECT(kept == counted, "the figures of " + repo.name + " are right");
  }

  void verify_files() {
    std::set<std::string> named;
    for (const std::string& blob : blobs_) {
      const auto stored = find_stored_blob(reader(), oci::sha256(blob)).value();
      EXPECT(stored.has_value() == model_.is_stored({ObjectKind::blob, oci::sha256(blob)}), "a blob is stored or not");
      if (stored && stored->place) EXPECT(files_.contains(stored->place->name), "a stored blob has its file");
      if (stored && stored->place) named.insert(stored->place->name);
    }
    for (const ReapKey& entry : all_reap_entries()) named.insert(entry.file);
    for (const std::string& file : files_) {
      EXPECT(named.contains(file), "a file that nothing names is left: " + file);
    }
  }

  /// What a cache does with the keys that a batch touched.
  void forget(const std::vector<std::string>& touched) {
    for (const std::string& key : touched) {
      cached_.erase(key);
      if (key.back() == '\0') std::erase_if(cached_, [&](const auto& entry) { return entry.first.starts_with(key); });
    }
  }

  // ---- how a history ends ----

  void compare_twin() {
    note("compare with the twin");
    EXPECT(dump(reader()) == dump(twin_core_.views().current()->reader(kv::Tier::any)),
           "a batch equals its commands one by one");
  }

  /// The change log holds all that a replica needs.
  void compare_replay() {
    note("compare with a replay of the change log");
    Dump expected = dump(reader());
    Dump replica;
    for (const auto& [where, value] : expected) {
      if (where.first != family::log) continue;
      const ChangeRecord change = decode<ChangeRecord>(value).value();
      for (const ChangeRecord::Write& write : change.writes) {
        if (write.value) {
          replica[{write.family, write.key}] = *write.value;
        } else {
          replica.erase({write.family, write.key});
        }
      }
    }
    std::erase_if(expected, [](const auto& entry) {
      const auto& [family, key] = entry.first;
      return family == family::queues || family == family::log || family == family::bytes ||
             (family == family::objects && key.starts_with(PlaceKey::prefix())) ||
             (family == family::meta && key.starts_with(TotalKey{}.encode().substr(0, 1)));
    });
    EXPECT(replica == expected, "the change log rebuilds the index");
  }

  void collect_all() {
    for (int round = 0; round < 4; ++round) {
      context_.uptime += periods_.undo_window + periods_.grace;
      context_.now += periods_.undo_window + periods_.grace;
      for (;;) {
        auto entries = due_entries(reader(), context_.uptime, CollectDue::kEntriesMax).value();
        if (entries.empty()) break;
        add("collect", CollectDue{.context = context_, .entries = entries, .periods = periods_});
      }
      auto files = reap_entries(reader(), context_.uptime, 10'000).value();
      for (const ReapKey& entry : files) files_.erase(entry.file);
      add("reap done", ReapDone{.context = context_, .entries = files});
      commit();
    }
    verify();
  }

  /// With time, what nothing refers to goes, and nothing else.
  void leave_alone() {
    note("time passes and nobody pushes");
    crashes_ = false;
    const auto before = model_.repos;
    collect_all();
    for (const PlainModel::Repo& repo : model_.repos) {
      EXPECT(repo.live, "deleted repositories go");
      for (const auto& [digest, link] : repo.links) {
        EXPECT(PlainModel::is_held(repo, digest, context_.uptime), "blobs that nothing refers to go");
      }
      for (const auto& [digest, manifest] : repo.manifests) EXPECT(manifest.live, "deleted manifests go");
      for (const auto& [tag, moves] : repo.history) verify_history(repo, tag, moves);
    }
    for (const PlainModel::Repo& repo : before) {
      if (!repo.live) continue;
      for (const auto& [digest, manifest] : repo.manifests) {
        const PlainModel::Repo* now = model_.find(repo.name);
        EXPECT(!manifest.live || (now != nullptr && now->manifests.contains(digest)), "live manifests stay");
      }
    }
    EXPECT(!any_with_prefix(reader(), LeftoverKey::kFamily, LeftoverKey::prefix()).value(), "leftover tags are swept");
  }

  void verify_history(const PlainModel::Repo& repo, const std::string& tag,
                      const std::vector<PlainModel::TagMove>& expected) {
    std::vector<PlainModel::TagMove> moves;
    auto cursor = reader().scan(family::tag_log, kv::prefix_range(TagLogKey::prefix(repo.id, tag))).value();
    for (; cursor->valid(); cursor->next()) {
      const auto entry = decode<TagLogRecord>(cursor->value()).value();
      moves.push_back({entry.from, entry.to});
      EXPECT(TagLogKey::decode(cursor->key()).value().version == moves.size(), "versions of a tag have no gaps");
    }
    EXPECT(moves == expected, "the log of " + repo.name + ":" + tag + " tells its history");
  }

  void delete_everything() {
    note("everything is deleted");
    for (const std::string& name : kNames) {
      add("delete repository",
          DeleteRepository{.context = context_,
                           .repository = repository(name),
                           .may_delete = TagSet::everything(),
                           .periods = periods_});
    }
    commit();
    collect_all();
    EXPECT(model_.repos.empty() && files_.empty(), "nothing is left");
    for (const auto& [where, value] : dump(reader())) {
      EXPECT(where.first == family::meta || where.first == family::log,
             "a record is left in family " + std::to_string(where.first));
    }
  }

  // ---- telling ----

  void note(const std::string& line) { story_ += "\n  " + line; }
  void broken(const std::string& what) { FAIL(what << "\nhistory:" << story_); }

  std::vector<ReapKey> all_reap_entries() { return reap_entries(reader(), Uptime::max(), 10'000).value(); }

  const kv::Reader& reader() {
    view_ = core_->views().current();
    return view_->reader(kv::Tier::any);
  }

  std::mt19937_64 random_;
  Periods periods_;
  CommandContext context_;
  std::vector<std::string> blobs_;
  std::vector<Pushed> manifests_;
  PlainModel model_;

  CrashStore store_;
  std::unique_ptr<kv::CommitterCore> core_;
  std::shared_ptr<const kv::View> view_;
  std::unique_ptr<kv::Store> twin_store_ = kv::make_memory_store(schema());
  kv::CommitterCore twin_core_{*twin_store_, nullptr};

  std::vector<std::unique_ptr<kv::PendingCommand>> batch_;
  std::vector<std::function<void(bool acknowledged)>> happened_;
  std::vector<std::string> touched_;
  std::map<std::string, oci::Digest> cached_;
  std::deque<std::pair<Uptime, std::shared_ptr<const kv::View>>> old_views_;  ///< and until when they were the newest
  std::set<std::string> files_;                                               ///< on this node's disk
  bool crashes_ = true;
  int steps_ = 0;
  int uploads_ = 0;
  std::string story_;
};

std::uint64_t number_from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

void run_histories(std::uint64_t count, int steps) {
  std::uint64_t first = 1;
  if (std::getenv("BERTH_SEED") != nullptr) {
    first = number_from_environment("BERTH_SEED", 1);
    count = 1;
  }
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    INFO("again with BERTH_SEED=" << seed);
    Simulation simulation(seed);
    simulation.run(steps);
  }
}

TEST_CASE("random histories with crashes equal a plain model", "[simulation]") { run_histories(60, 25); }

TEST_CASE("many random histories with crashes equal a plain model", "[.long][simulation-long]") {
  run_histories(number_from_environment("BERTH_RUNS", 5'000), 120);
}

}  // namespace
}  // namespace berth::registry::testing
