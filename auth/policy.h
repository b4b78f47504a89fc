// May this caller do this here? One pure function that every route asks; its answer carries its reason.
//
// A grant gives subjects actions on the repositories that its patterns match. What neither a grant nor the credential
// itself (Principal::rights) gives is denied; no grant takes away. Its tag patterns limit push, overwrite and delete of tags: a question that names no tag (blobs, manifests
// by digest) passes them, and what a manifest's delete would take along is asked with tags(). A token's ceiling cuts
// off whatever grants say. Setting a tag asks for `push`, moving it for `overwrite` as well.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "auth/actions.h"
#include "auth/principal.h"
#include "oci/name.h"
#include "registry/actor.h"
#include "registry/pattern.h"

namespace berth::auth {

/// A named set of actions.
struct Role {
  std::string name;
  Actions actions;
};
/// reader, writer, maintainer, admin. They mean the same everywhere: another role of such a name is not looked at.
std::span<const Role> built_in_roles();

struct Grant {
  std::vector<std::string> subjects;
  std::vector<registry::RepositoryPattern> repositories;
  Actions actions = {};                         ///< without a role
  std::string role = {};                        ///< one that does not exist gives nothing
  std::vector<registry::TagPattern> tags = {};  ///< none: all tags
  std::string origin = {};                      ///< `config`, or the id of a stored one
};

/// Denied until somebody says otherwise. The views live as long as the policy.
struct Decision {
  bool allowed = false;
  std::string_view reason = "no grant allows it";  ///< for the log
  std::string_view origin = {};                    ///< of the grant that allows it
};

/// What one grant has to say to a question.
struct GrantVerdict {
  enum class Why : std::uint8_t { allows, unknown_role, other_subject, other_repository, other_action, other_tag };
  Why why = Why::allows;
  std::size_t grant = 0;  ///< its position among those the policy was made of
  std::string origin = {};
  std::string subject = {};  ///< which of the principal's it names, if it does
  std::string pattern = {};  ///< which of its own matches, if one does
};
std::string_view to_string(GrantVerdict::Why why);

struct Explanation {
  bool allowed = false;
  std::string reason = {};
  std::string origin = {};
  bool ceiling_allows = true;             ///< also without one
  std::vector<GrantVerdict> grants = {};  ///< all of them, in their order
};

/// A default-constructed policy denies everything. Const after construction; a change of grants is another policy.
///
/// How it works: grants are filed by subject, and under each by the beginnings of their patterns (PatternIndex), so a
/// question costs one look-up for each subject of the principal, however many grants there are. It does not allocate.
class Policy {
 public:
  explicit Policy(std::vector<Grant> grants = {}, const std::vector<Role>& roles = {});
  /// Everybody may do everything: right where only this machine, or whoever the operator let in, can reach berth.
  static Policy allow_all();

  Policy(Policy&&) = default;
  Policy& operator=(Policy&&) = default;

  /// `repository` is null for what concerns no single one: then a grant on `**` is asked for. `tag` is null for what
  /// concerns none. `catalog` is allowed to whom any repository may be visible.
  Decision decide(const Principal& principal, Action action, const oci::RepositoryName* repository,
                  const oci::Tag* tag = nullptr) const;
  /// The same question to each grant. Slow.
  Explanation explain(const Principal& principal, Action action, const oci::RepositoryName* repository,
                      const oci::Tag* tag = nullptr) const;
  /// All actions that decide() allows on a repository when no tag is named: what a token may be issued for.
  Actions granted(const Principal& principal, const oci::RepositoryName& repository) const;
  /// The tags of a repository that the caller may do this to, for rules that a command decides.
  registry::TagSet tags(const Principal& principal, Action action, const oci::RepositoryName& repository) const;
  /// Which repositories the caller may pull from: they serve a mount that names no source.
  registry::Visibility visibility(const Principal& principal) const;
  /// Which ones lists show: the same, and what a token's scope names for lists alone.
  registry::Visibility catalog_visibility(const Principal& principal) const;

  /// What a role gives; nothing when there is none of that name.
  Actions actions_of_role(std::string_view name) const;

  std::size_t size() const { return grants_.size(); }

  /// A grant with its role looked up.
  struct Rule {
    Grant grant;
    Actions actions;
    bool role_known = true;
  };
  /// What it was made of, in that order: for lists, and for questions about what a change would leave.
  std::span<const Rule> rules() const { return grants_; }
  /// Without the built-in ones.
  std::span<const Role> roles() const { return roles_; }

 private:
  /// What is filed under one subject.
  struct Filed {
    registry::PatternIndex by_repository;  ///< values are positions in grants_
    std::vector<std::uint32_t> grants;
    Actions actions;  ///< of all of them together
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };

  /// Calls `visit(rule)` for the grants of the principal on `name` until one call answers true. Answers whether one
  /// did.
  template <class Visit>
  bool any_rule(const Principal& principal, std::string_view name, Visit visit) const;
  registry::Visibility readable(const Principal& principal, Actions scope_actions) const;

  bool everything_ = false;
  std::vector<Role> roles_;
  std::vector<Rule> grants_;
  std::unordered_map<std::string, Filed, Hash, std::equal_to<>> by_subject_;
};

}  // namespace berth::auth
