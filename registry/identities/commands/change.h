// What every change of an identity has in common.
#pragma once

#include <string>
#include <string_view>

#include "registry/identities/records.h"
#include "registry/identities/rules.h"
#include "registry/identities/values.h"
#include "registry/index.h"

namespace berth::registry {

/// One per command; lives inside apply(). The command decides first; begin() is the first write, finish() the last.
class IdentityChange {
 public:
  IdentityChange(kv::Transaction& transaction, CommandKind command, const CommandContext& context)
      : index_(transaction, command, context) {}

  Index& index() { return index_; }
  const kv::Reader& reader() const { return index_.reader(); }
  const CommandContext& context() const { return index_.context(); }

  /// Takes the number of this change: the version of what it changes and the id of what it makes. Numbers of one index
  /// are never given twice, so nothing that is made anew can be mistaken for what it replaces.
  Result<void> begin();
  IdentityNumber number() const { return number_; }

  /// The policy has to be made anew.
  void policy_changed() { policy_changed_ = true; }
  /// Caches above hear of it; writes the entry of the change log.
  void finish();

  /// Is there room for one more? Errors: request_invalid.
  Result<void> check_room(std::uint64_t TotalsRecord::*which, std::uint64_t max, std::string_view what) const;
  Result<void> count(std::uint64_t TotalsRecord::*which, std::int64_t delta);

 private:
  Index index_;
  IdentityNumber number_ = 0;
  bool policy_changed_ = false;
};

/// Errors: kIdentityConflict.
Result<void> check_version(const IfVersion& wanted, IdentityNumber version);

/// Errors: request_invalid, for a subject that stands for many.
Result<void> check_acts(const std::string& subject);
/// The actor of a subject, made when there is none. After begin().
Result<ActorId> bind_actor(IdentityChange& change, const std::string& subject);
/// The subject is free for somebody else; the actor stays in histories, by name or only by number.
Result<void> unbind_actor(IdentityChange& change, const std::string& subject, Erasure erasure);

}  // namespace berth::registry
