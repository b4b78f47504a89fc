// Typed access to the index: a key knows its family and its record, so a get or a put cannot mix them up.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/env.h"
#include "registry/actor.h"
#include "registry/keys.h"
#include "registry/records.h"
#include "storage/kv/kv.h"

namespace berth::registry {

/// What a command is told instead of looking at clocks: the same inputs give the same writes.
struct CommandContext {
  ActorId actor = kSystemActor;
  std::string request_id = {};
  WallTime now{};    ///< for people and histories
  Uptime uptime{0};  ///< for everything that falls due; above 0
};

/// How long things stay. Settings, handed to the commands that need them.
struct Periods {
  std::chrono::milliseconds grace = std::chrono::hours(24);             ///< for a blob that nothing refers to
  std::chrono::milliseconds undo_window = std::chrono::hours(24 * 14);  ///< for what was deleted
  std::chrono::milliseconds reap_delay = std::chrono::seconds(60);      ///< for files that a reader may have open
};

/// Reads one record. Empty when it is absent. Errors: those of the reader, corrupt.
template <class Key>
Result<std::optional<typename Key::Record>> get(const kv::Reader& reader, const Key& key) {
  BERTH_TRY(const std::optional<std::string> bytes, reader.get(Key::kFamily, key.encode()));
  if (!bytes) return std::optional<typename Key::Record>{};
  BERTH_TRY(auto record, decode<typename Key::Record>(*bytes));
  return std::optional<typename Key::Record>(std::move(record));
}

/// Is there any key with this prefix?
Result<bool> any_with_prefix(const kv::Reader& reader, kv::Family family, std::string_view prefix);

/// At most `limit` keys with this prefix, in order, from the first that is not below `from` (empty: from the start).
Result<std::vector<std::string>> keys_with_prefix(const kv::Reader& reader, kv::Family family, std::string_view prefix,
                                                  std::size_t limit, std::string_view from = {});

/// What a command writes through. Gathers every replicated write, so that the change log records it in full without any
/// command thinking of it. One per command; lives inside apply().
class Index {
 public:
  Index(kv::Transaction& transaction, CommandKind command, const CommandContext& context)
      : transaction_(transaction), command_(command), context_(context) {}
  Index(const Index&) = delete;
  Index& operator=(const Index&) = delete;

  const kv::Reader& reader() const { return transaction_; }
  const CommandContext& context() const { return context_; }

  template <class Key>
  Result<std::optional<typename Key::Record>> get(const Key& key) const {
    return registry::get(static_cast<const kv::Reader&>(transaction_), key);
  }
  template <class Key>
  void put(const Key& key, const typename Key::Record& record) {
    write(Key::kFamily, key.encode(), encode(record), Key::kReplicated);
  }
  template <class Key>
  void erase(const Key& key) {
    write(Key::kFamily, key.encode(), std::nullopt, Key::kReplicated);
  }
  void put_content(const ContentKey& key, std::string content) {
    transaction_.put(ContentKey::kFamily, key.encode(), std::move(content));
  }
  /// An entry of the change log that is no longer needed.
  void erase_log_entry(std::string key) { transaction_.erase(family::log, std::move(key)); }

  /// The next number of a counter, starting at 1.
  Result<std::uint64_t> next(Counter counter);

  /// The answer for this reference changed. An empty reference: every answer of the repository.
  void touch(NamespaceId name_space, std::string_view repository, std::string_view reference) {
    transaction_.touch(cache_key(name_space, repository, reference));
  }

  /// Something changed that is filed under no repository (identities/signal.h).
  void touch(std::string_view what) { transaction_.touch(std::string(what)); }

  /// Appends this command's entry to the change log, if it wrote anything replicated. Last thing of every apply().
  void record_change();

 private:
  void write(kv::Family family, std::string key, std::optional<std::string> value, bool replicated);

  kv::Transaction& transaction_;
  CommandKind command_;
  const CommandContext& context_;
  std::map<std::pair<kv::Family, std::string>, std::optional<std::string>> changes_;  ///< the last write of a key wins
};

}  // namespace berth::registry
