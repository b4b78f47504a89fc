// May this caller do this here? One pure function that every route asks; its answer carries its reason.
#pragma once

#include <cstdint>
#include <string_view>

#include "oci/name.h"
#include "registry/actor.h"

namespace berth::auth {

/// What a route does to what it names. `none` asks for nothing: liveness, and the ping that says "a registry is here".
enum class Action : std::uint8_t { none, pull, push, delete_, catalog, overwrite };
std::string_view to_string(Action action);

/// Denied until somebody says otherwise.
struct Decision {
  bool allowed = false;
  std::string_view reason = "no rule allows it";  ///< for the log; static text
};

/// A default-constructed policy denies everything. Const after construction.
class Policy {
 public:
  /// Everybody may do everything: right where only this machine, or whoever the operator let in, can reach berth.
  static Policy allow_all();

  /// `repository` is null for what concerns no single one, `tag` for what concerns none.
  Decision decide(const registry::Actor& actor, Action action, const oci::RepositoryName* repository,
                  const oci::Tag* tag = nullptr) const;
  /// The tags of a repository that the caller may do this to, for rules that a command decides.
  registry::TagSet tags(const registry::Actor& actor, Action action, const oci::RepositoryName& repository) const;
  /// Which repositories show up in lists and serve a mount that names no source.
  registry::Visibility visibility(const registry::Actor& actor) const;

 private:
  bool everything_ = false;
};

}  // namespace berth::auth
