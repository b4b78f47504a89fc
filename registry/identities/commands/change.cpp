#include "registry/identities/commands/change.h"

#include <algorithm>

#include "registry/identities/signal.h"

namespace berth::registry {

namespace {

Result<ActorKind> actor_kind(const std::string& subject) {
  BERTH_TRY(const SubjectKind kind, parse_subject(subject));
  switch (kind) {
    case SubjectKind::user:
      return ActorKind::user;
    case SubjectKind::robot:
      return ActorKind::robot;
    case SubjectKind::federated:
      return ActorKind::federated;
    case SubjectKind::certificate:
      return ActorKind::certificate;
    case SubjectKind::group:
    case SubjectKind::authenticated:
    case SubjectKind::anonymous:
      break;
  }
  return invalid("only a user, a robot, a federated identity or a certificate acts");
}

}  // namespace

Result<void> IdentityChange::begin() {
  const CounterKey key{Counter::identities};
  BERTH_TRY(const auto found, index_.get(key));
  CounterRecord record = found.value_or(CounterRecord{});
  // Some of the numbers become ids of actors, and the first ones of those are taken.
  record.value = std::max<std::uint64_t>(record.value, kAnonymousActor) + 1;
  index_.put(key, record);
  number_ = record.value;
  return {};
}

void IdentityChange::finish() {
  index_.touch(kIdentitiesTouched);
  if (policy_changed_) index_.touch(kPolicyTouched);
  index_.record_change();
}

Result<void> IdentityChange::check_room(std::uint64_t TotalsRecord::*which, std::uint64_t max,
                                        std::string_view what) const {
  BERTH_TRY(const auto totals, index_.get(TotalsKey{}));
  if (!totals || (*totals).*which < max) return {};
  return invalid("there are " + std::to_string(max) + " " + std::string(what) + " already, and more cannot be");
}

Result<void> IdentityChange::count(std::uint64_t TotalsRecord::*which, std::int64_t delta) {
  BERTH_TRY(const auto found, index_.get(TotalsKey{}));
  TotalsRecord totals = found.value_or(TotalsRecord{});
  if (delta < 0 && totals.*which == 0) return make_error(ErrorCode::corrupt, "identities are not counted right");
  totals.*which += static_cast<std::uint64_t>(delta);
  index_.put(TotalsKey{}, totals);
  return {};
}

Result<void> check_version(const IfVersion& wanted, IdentityNumber version) {
  if (!wanted || *wanted == version) return {};
  return identity_conflict("it was changed meanwhile: its version is " + std::to_string(version));
}

Result<void> check_acts(const std::string& subject) {
  BERTH_CHECK(actor_kind(subject));
  return {};
}

Result<ActorId> bind_actor(IdentityChange& change, const std::string& subject) {
  BERTH_TRY(const ActorKind kind, actor_kind(subject));
  BERTH_TRY(const auto bound, change.index().get(ActorOfKey{subject}));
  if (bound) return bound->actor;
  const ActorId actor = change.number();
  change.index().put(ActorKey{actor}, {.kind = kind, .subject = subject, .created_at = change.context().now});
  change.index().put(ActorOfKey{subject}, {.actor = actor});
  return actor;
}

Result<void> unbind_actor(IdentityChange& change, const std::string& subject, Erasure erasure) {
  BERTH_TRY(const auto bound, change.index().get(ActorOfKey{subject}));
  if (!bound) return {};
  change.index().erase(ActorOfKey{subject});
  if (erasure == Erasure::keep_name) return {};
  BERTH_TRY(auto record, change.index().get(ActorKey{bound->actor}));
  if (!record) return make_error(ErrorCode::corrupt, "a subject leads to no actor");
  record->subject.clear();
  change.index().put(ActorKey{bound->actor}, *record);
  return {};
}

}  // namespace berth::registry
