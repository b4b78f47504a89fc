// The policy: rows that say who may do what, and an evaluator that asks each grant in turn.
#include "auth/policy.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdlib>
#include <new>
#include <optional>
#include <random>
#include <set>

#ifndef BERTH_SANITIZED
namespace {
thread_local std::uint64_t allocations = 0;
}
void* operator new(std::size_t size) {
  ++allocations;
  void* memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) std::abort();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
#endif

namespace berth::auth {
namespace {

using registry::RepositoryPattern;
using registry::TagPattern;
using Texts = std::vector<std::string>;

oci::RepositoryName repository(std::string_view text) { return oci::RepositoryName::parse(text).value(); }
oci::Tag tag(std::string_view text) { return oci::Tag::parse(text).value(); }
std::vector<RepositoryPattern> repositories(const Texts& texts) {
  std::vector<RepositoryPattern> patterns;
  for (const std::string& text : texts) patterns.push_back(RepositoryPattern::parse(text).value());
  return patterns;
}
std::vector<TagPattern> tag_patterns(const Texts& texts) {
  std::vector<TagPattern> patterns;
  for (const std::string& text : texts) patterns.push_back(TagPattern::parse(text).value());
  return patterns;
}
Grant grant(Texts subjects, const Texts& where, std::string role, const Texts& tags, std::string origin) {
  return {std::move(subjects), repositories(where), {}, std::move(role), tag_patterns(tags), std::move(origin)};
}
Principal somebody(std::string subject, std::vector<std::string> groups = {}) {
  return Principal::authenticated(std::move(subject), std::move(groups), 7, "password");
}
Ceiling ceiling(const std::vector<std::pair<Texts, Actions>>& scopes) {
  Ceiling made;
  for (const auto& [where, actions] : scopes) made.scopes.push_back({repositories(where), actions});
  return made;
}
Principal within(Principal principal, Ceiling limit) {
  principal.ceiling = std::move(limit);
  return principal;
}

TEST_CASE("actions have names and form sets") {
  struct Row {
    const char* text;
    Action action;
  };
  for (const Row& row : std::vector<Row>{{"pull", Action::pull},
                                         {"push", Action::push},
                                         {"overwrite", Action::overwrite},
                                         {"delete", Action::delete_},
                                         {"admin", Action::admin},
                                         {"metrics", Action::metrics}}) {
    INFO(row.text);
    CHECK(to_string(row.action) == row.text);
    CHECK(parse_action(row.text).value() == row.action);
    CHECK(Actions::all().has(row.action));
    CHECK(to_string(Actions{row.action}) == row.text);
    CHECK_FALSE(Actions{}.has(row.action));
  }
  for (const char* text : {"", "Pull", "none", "catalog", "*", "pull,push", "pull "}) {
    INFO(text);
    CHECK(parse_action(text).failed_with(ErrorCode::request_invalid));
  }
  CHECK(Actions{Action::none}.empty());
  CHECK_FALSE(Actions::all().has(Action::none));
  CHECK_FALSE(Actions::all().has(Action::catalog));
  CHECK(to_string(Actions{Action::delete_, Action::pull}) == "pull,delete");
  CHECK(to_string(Actions::all()) == "pull,push,overwrite,delete,admin,metrics");
  CHECK((Actions{Action::pull, Action::push} & Actions{Action::push, Action::admin}) == Actions{Action::push});
}

TEST_CASE("the built-in roles") {
  std::string said;
  for (const Role& role : built_in_roles()) said += role.name + ": " + to_string(role.actions) + "\n";
  CHECK(said ==
        "reader: pull\n"
        "writer: pull,push,overwrite\n"
        "maintainer: pull,push,overwrite,delete\n"
        "admin: pull,push,overwrite,delete,admin,metrics\n");
}

/// One of everything.
Policy example() {
  std::vector<Grant> grants;
  grants.push_back(grant({"group:dev"}, {"team/**"}, "writer", {}, "dev writes"));
  grants.push_back(grant({"group:dev"}, {"team/**"}, "maintainer", {"dev-*", "tmp"}, "dev cleans up"));
  grants.push_back(grant({"user:alice"}, {"team/app", "*/tools"}, "maintainer", {}, "alice"));
  grants.push_back(grant({"robot:ci"}, {"team/app"}, "pusher", {}, "ci"));
  grants.push_back(grant({"anonymous"}, {"public/**"}, "reader", {}, "public"));
  grants.push_back(grant({"authenticated"}, {"shared/*"}, "reader", {}, "shared"));
  grants.push_back(grant({"user:root"}, {"**"}, "admin", {}, "root"));
  grants.push_back(grant({"user:lead"}, {"team/**"}, "admin", {}, "lead"));
  grants.push_back(grant({"user:bob"}, {"**"}, "no such role", {}, "broken"));
  grants.push_back(grant({"user:eve"}, {"**"}, "reader", {}, "own role of a built-in name"));
  Grant by_actions = grant({"user:carol", "user:dave"}, {"x/**"}, "", {"v*"}, "by actions");
  by_actions.actions = {Action::pull, Action::push, Action::catalog};
  grants.push_back(std::move(by_actions));
  return Policy(std::move(grants), {{"pusher", {Action::pull, Action::push}}, {"reader", Actions::all()}});
}

TEST_CASE("who may do what") {
  const Policy policy = example();
  const Principal dev = somebody("user:d", {"group:dev", "group:other"});
  const Principal alice = somebody("user:alice"), ci = somebody("robot:ci"), root = somebody("user:root");
  const Principal lead = somebody("user:lead"), bob = somebody("user:bob"), eve = somebody("user:eve");
  const Principal carol = somebody("user:carol"), nobody;
  struct Row {
    const char* name;
    Principal who;
    Action action;
    const char* where;   ///< null: no single repository
    const char* tag;     ///< null: none
    const char* origin;  ///< of the grant that allows it; null: denied
  };
  const std::vector<Row> rows = {
      {"a public image without a name", nobody, Action::pull, "public/app", nullptr, "public"},
      {"and with one", dev, Action::pull, "public/app", nullptr, "public"},
      {"but not push", nobody, Action::push, "public/app", nullptr, nullptr},
      {"not the tree's own name", nobody, Action::pull, "public", nullptr, nullptr},
      {"a private image without a name", nobody, Action::pull, "team/app", nullptr, nullptr},
      {"what all with a name may see", bob, Action::pull, "shared/a", nullptr, "shared"},
      {"what all with a name may see, without one", nobody, Action::pull, "shared/a", nullptr, nullptr},
      {"one level only", bob, Action::pull, "shared/a/b", nullptr, nullptr},
      {"a group pulls", dev, Action::pull, "team/app", nullptr, "dev writes"},
      {"a group pushes a tag", dev, Action::push, "team/app", "v1", "dev writes"},
      {"a group overwrites", dev, Action::overwrite, "team/app", "latest", "dev writes"},
      {"a group deletes a tag inside its limits", dev, Action::delete_, "team/app", "dev-1", "dev cleans up"},
      {"a group deletes another tag inside them", dev, Action::delete_, "team/app", "tmp", "dev cleans up"},
      {"a group deletes a tag outside", dev, Action::delete_, "team/app", "v1", nullptr},
      {"a delete without a tag passes", dev, Action::delete_, "team/app", nullptr, "dev cleans up"},
      {"elsewhere it may not", dev, Action::pull, "other/app", nullptr, nullptr},
      {"push is not delete", ci, Action::delete_, "team/app", nullptr, nullptr},
      {"push is not overwrite", ci, Action::overwrite, "team/app", "v1", nullptr},
      {"push alone", ci, Action::push, "team/app", "v1", "ci"},
      {"an own role pulls", ci, Action::pull, "team/app", nullptr, "ci"},
      {"only there", ci, Action::pull, "team/app/x", nullptr, nullptr},
      {"a user by name", alice, Action::delete_, "team/app", "v1", "alice"},
      {"by the second pattern", alice, Action::push, "any/tools", nullptr, "alice"},
      {"a user is not a group of that name", somebody("group:x", {"user:alicex"}), Action::pull, "team/app", nullptr,
       nullptr},
      {"no administrator", alice, Action::admin, "team/app", nullptr, nullptr},
      {"administrator of all", root, Action::admin, nullptr, nullptr, "root"},
      {"and of each", root, Action::admin, "team/app", nullptr, "root"},
      {"administrator of a tree", lead, Action::admin, "team/app", nullptr, "lead"},
      {"is none of all", lead, Action::admin, nullptr, nullptr, nullptr},
      {"an administrator reads the metrics", root, Action::metrics, nullptr, nullptr, "root"},
      {"of a tree not", lead, Action::metrics, nullptr, nullptr, nullptr},
      {"a right on all repositories at once", root, Action::pull, nullptr, nullptr, "root"},
      {"is not had with some", dev, Action::pull, nullptr, nullptr, nullptr},
      {"a role that does not exist gives nothing", bob, Action::pull, "team/app", nullptr, nullptr},
      {"a built-in role cannot be changed", eve, Action::push, "team/app", nullptr, nullptr},
      {"it stays what it is", eve, Action::pull, "team/app", nullptr, "own role of a built-in name"},
      {"actions without a role", carol, Action::push, "x/y", "v2", "by actions"},
      {"the second subject", somebody("user:dave"), Action::push, "x/y", "v2", "by actions"},
      {"a tag outside", carol, Action::push, "x/y", "latest", nullptr},
      {"tags never limit pull", carol, Action::pull, "x/y", "latest", "by actions"},
      {"a catalog is filtered, not denied", nobody, Action::catalog, nullptr, nullptr, "public"},
      {"nothing is asked for", bob, Action::none, nullptr, nullptr, ""},
  };
  for (const Row& row : rows) {
    INFO(row.name);
    std::optional<oci::RepositoryName> where;
    if (row.where != nullptr) where = repository(row.where);
    std::optional<oci::Tag> which;
    if (row.tag != nullptr) which = tag(row.tag);
    const oci::RepositoryName* name = where ? &*where : nullptr;
    const oci::Tag* tag_or_null = which ? &*which : nullptr;
    const Decision decision = policy.decide(row.who, row.action, name, tag_or_null);
    CHECK(decision.allowed == (row.origin != nullptr));
    CHECK(decision.origin == (row.origin == nullptr ? "" : row.origin));
    CHECK_FALSE(decision.reason.empty());
    CHECK(policy.explain(row.who, row.action, name, tag_or_null).allowed == decision.allowed);
    CHECK(Policy::allow_all().decide(row.who, row.action, name, tag_or_null).allowed);
    CHECK(Policy().decide(row.who, row.action, name, tag_or_null).allowed == (row.action == Action::none));
  }
  const Policy private_only({grant({"user:alice"}, {"a"}, "writer", {}, "")});
  CHECK_FALSE(private_only.decide(nobody, Action::catalog, nullptr).allowed);
  CHECK(private_only.decide(alice, Action::catalog, nullptr).allowed);
}

TEST_CASE("a token is a ceiling over the grants") {
  const Policy policy = example();
  const Principal root = somebody("user:root"), dev = somebody("user:d", {"group:dev"});
  const Actions pull{Action::pull}, both{Action::pull, Action::push}, list{Action::catalog};
  struct Row {
    const char* name;
    Principal who;
    Action action;
    const char* where;
    bool allowed;
  };
  const std::vector<Row> rows = {
      {"within", within(dev, ceiling({{{"team/app"}, both}})), Action::push, "team/app", true},
      {"another action", within(dev, ceiling({{{"team/app"}, pull}})), Action::push, "team/app", false},
      {"push does not hold overwrite", within(dev, ceiling({{{"team/app"}, both}})), Action::overwrite, "team/app",
       false},
      {"another repository", within(dev, ceiling({{{"team/app"}, both}})), Action::pull, "team/lib", false},
      {"the second scope", within(dev, ceiling({{{"team/app"}, pull}, {{"a", "team/*"}, both}})), Action::push,
       "team/lib", true},
      {"scopes do not mix", within(dev, ceiling({{{"team/app"}, pull}, {{"team/lib"}, both}})), Action::push,
       "team/app", false},
      {"more than the grants", within(dev, ceiling({{{"**"}, Actions::all()}})), Action::pull, "other/app", false},
      {"an empty one", within(root, Ceiling{}), Action::pull, "team/app", false},
      {"an empty one and what asks for nothing", within(root, Ceiling{}), Action::none, nullptr, true},
      {"an administrator's token for one repository", within(root, ceiling({{{"a"}, Actions::all()}})), Action::admin,
       nullptr, false},
      {"an administrator's token for all", within(root, ceiling({{{"**"}, Actions::all()}})), Action::admin, nullptr,
       true},
      {"lists with a scope to pull", within(dev, ceiling({{{"team/app"}, pull}})), Action::catalog, nullptr, true},
      {"lists with a scope for lists", within(dev, ceiling({{{"**"}, list}})), Action::catalog, nullptr, true},
      {"lists with a scope to push", within(dev, ceiling({{{"**"}, {Action::push}}})), Action::catalog, nullptr, false},
      {"a scope for lists does not pull", within(dev, ceiling({{{"**"}, list}})), Action::pull, "team/app", false},
  };
  for (const Row& row : rows) {
    INFO(row.name);
    std::optional<oci::RepositoryName> where;
    if (row.where != nullptr) where = repository(row.where);
    const oci::RepositoryName* name = where ? &*where : nullptr;
    const Decision decision = policy.decide(row.who, row.action, name);
    CHECK(decision.allowed == row.allowed);
    const Explanation explanation = policy.explain(row.who, row.action, name);
    CHECK(explanation.allowed == row.allowed);
    const bool cut_off = decision.reason == "the token's scope does not hold it";
    CHECK(explanation.ceiling_allows == !cut_off);
    if (!explanation.ceiling_allows) CHECK_FALSE(Policy::allow_all().decide(row.who, row.action, name).allowed);
  }
  const auto app = repository("team/app");
  CHECK(policy.granted(dev, app) == (Actions{Action::pull, Action::push, Action::overwrite, Action::delete_}));
  CHECK(policy.granted(within(dev, ceiling({{{"team/*"}, both}, {{"team/app"}, {Action::delete_}}})), app) ==
        (Actions{Action::pull, Action::push, Action::delete_}));
  CHECK(policy.granted(within(dev, ceiling({{{"**"}, Actions::all()}})), app) == policy.granted(dev, app));
  CHECK(policy.granted(Principal(), app).empty());
  CHECK(Policy::allow_all().granted(Principal(), app) == Actions::all());
  CHECK(Policy::allow_all().granted(within(dev, ceiling({{{"team/app"}, pull}})), app) == pull);
}

std::string text(const registry::Visibility& visibility) {
  std::string out = visibility.all ? "all" : "";
  for (const auto& pattern : visibility.patterns) out += (out.empty() ? "" : " ") + pattern.text();
  if (!visibility.within) return out;
  out += " within";
  for (const auto& pattern : *visibility.within) out += " " + pattern.text();
  return out;
}

TEST_CASE("what a caller may see is the patterns of its grants") {
  const Policy policy = example();
  const Principal dev = somebody("user:d", {"group:dev"});
  const Actions pull{Action::pull}, list{Action::catalog};
  struct Row {
    const char* name;
    Principal who;
    const char* pulls;
    const char* lists;
  };
  const std::vector<Row> rows = {
      {"without a name", {}, "public/**", "public/**"},
      {"with one", somebody("user:x"), "public/** shared/*", "public/** shared/*"},
      {"each pattern once", dev, "public/** shared/* team/**", "public/** shared/* team/**"},
      {"everything", somebody("user:root"), "all", "all"},
      {"within a token", within(dev, ceiling({{{"team/app"}, pull}, {{"x"}, {Action::push}}})),
       "public/** shared/* team/** within team/app", "public/** shared/* team/** within team/app"},
      {"everything within a token", within(somebody("user:root"), ceiling({{{"a", "b/*", "a"}, pull}})),
       "all within a b/*", "all within a b/*"},
      {"a token for everything", within(somebody("user:root"), ceiling({{{"**"}, pull}})), "all", "all"},
      {"a token for lists", within(somebody("user:root"), ceiling({{{"**"}, list}, {{"a"}, pull}})), "all within a",
       "all"},
      {"an empty token", within(somebody("user:root"), {}), "all within", "all within"},
  };
  for (const Row& row : rows) {
    INFO(row.name);
    CHECK(text(policy.visibility(row.who)) == row.pulls);
    CHECK(text(policy.catalog_visibility(row.who)) == row.lists);
    CHECK(text(Policy().visibility(row.who)).starts_with("all") == false);
  }
  CHECK(text(Policy::allow_all().visibility(Principal())) == "all");
}

TEST_CASE("tags that a caller may do something to") {
  const Policy policy = example();
  const Principal dev = somebody("user:d", {"group:dev"}), carol = somebody("user:carol");
  const auto text_of = [&](const Principal& who, Action action, const char* where) {
    const registry::TagSet tags = policy.tags(who, action, repository(where));
    std::string out = tags.all ? "all" : "";
    for (const auto& pattern : tags.patterns) out += (out.empty() ? "" : " ") + pattern.text();
    return out;
  };
  CHECK(text_of(dev, Action::delete_, "team/app") == "dev-* tmp");
  CHECK(text_of(dev, Action::overwrite, "team/app") == "all");
  CHECK(text_of(dev, Action::delete_, "other").empty());
  CHECK(text_of(carol, Action::push, "x/y") == "v*");
  CHECK(text_of(carol, Action::pull, "x/y") == "all");
  CHECK(text_of(carol, Action::delete_, "x/y").empty());
  CHECK(text_of(within(dev, ceiling({{{"team/app"}, {Action::pull}}})), Action::delete_, "team/app").empty());
  CHECK(text_of(within(dev, ceiling({{{"team/app"}, {Action::delete_}}})), Action::delete_, "team/app") == "dev-* tmp");
  CHECK(Policy::allow_all().tags(Principal(), Action::delete_, repository("a")).all);
}

TEST_CASE("an explanation has a word of every grant") {
  const Policy policy = example();
  const Principal who = somebody("user:bob", {"group:dev"});
  const auto where = repository("team/app");
  const auto which = tag("v1");
  std::string said;
  const Explanation explanation = policy.explain(who, Action::delete_, &where, &which);
  for (const GrantVerdict& verdict : explanation.grants) {
    said += std::to_string(verdict.grant) + " " + verdict.origin + ": " + std::string(to_string(verdict.why)) + " (" +
            verdict.subject + ", " + verdict.pattern + ")\n";
  }
  CHECK(said ==
        "0 dev writes: gives other actions (group:dev, team/**)\n"
        "1 dev cleans up: is for other tags (group:dev, team/**)\n"
        "2 alice: is for others (, team/app)\n"
        "3 ci: is for others (, team/app)\n"
        "4 public: is for other repositories (anonymous, )\n"
        "5 shared: is for other repositories (authenticated, )\n"
        "6 root: is for others (, **)\n"
        "7 lead: is for others (, team/**)\n"
        "8 broken: its role does not exist (user:bob, **)\n"
        "9 own role of a built-in name: is for others (, **)\n"
        "10 by actions: is for others (, )\n");
  CHECK_FALSE(explanation.allowed);
  CHECK(explanation.reason == "no grant allows it");
  const auto inside = tag("dev-1");
  const Explanation allowed = policy.explain(who, Action::delete_, &where, &inside);
  CHECK(allowed.allowed);
  CHECK(allowed.origin == "dev cleans up");
  CHECK(allowed.grants[1].why == GrantVerdict::Why::allows);
}

TEST_CASE("a principal counts as what it is") {
  CHECK(Principal().subjects == Texts{"anonymous"});
  CHECK(Principal().as_actor("r").id == registry::kAnonymousActor);
  const Principal alice = Principal::authenticated("user:alice", {"group:a", "group:b"}, 42, "password");
  CHECK(alice.subjects == Texts{"user:alice", "group:a", "group:b", "authenticated", "anonymous"});
  const registry::Actor actor = alice.as_actor("request");
  CHECK(actor.id == 42);
  CHECK(actor.name == "user:alice");
  CHECK(actor.request_id == "request");
  CHECK(alice.method == "password");
}

// ---- against the obvious ----

/// Each grant in turn.
class Naive {
 public:
  Naive(const std::vector<Grant>& grants, const std::vector<Role>& roles) : grants_(grants), roles_(roles) {}

  bool allows(const Principal& who, Action action, const std::string* where, const std::string* which) const {
    if (!below_ceiling(who, action, where)) return false;
    for (const Grant& grant : grants_) {
      if (!is_for(grant, who) || !actions_of(grant).has(action) || !reaches(grant.repositories, where)) continue;
      const bool limited = action == Action::push || action == Action::overwrite || action == Action::delete_;
      bool tag_fits = which == nullptr || grant.tags.empty() || !limited;
      for (const TagPattern& pattern : grant.tags) tag_fits = tag_fits || pattern.matches(*which);
      if (tag_fits) return true;
    }
    return false;
  }

 private:
  static bool is_for(const Grant& grant, const Principal& who) {
    for (const std::string& subject : grant.subjects) {
      if (std::ranges::count(who.subjects, subject) > 0) return true;
    }
    return false;
  }
  Actions actions_of(const Grant& grant) const {
    if (grant.role.empty()) return grant.actions;
    for (const Role& role : built_in_roles()) {
      if (role.name == grant.role) return role.actions;
    }
    for (const Role& role : roles_) {
      if (role.name == grant.role) return role.actions;
    }
    return {};
  }
  static bool reaches(const std::vector<RepositoryPattern>& patterns, const std::string* where) {
    for (const RepositoryPattern& pattern : patterns) {
      if (where == nullptr ? pattern.text() == "**" : pattern.matches(*where)) return true;
    }
    return false;
  }
  static bool below_ceiling(const Principal& who, Action action, const std::string* where) {
    if (!who.ceiling) return true;
    for (const Ceiling::Scope& scope : who.ceiling->scopes) {
      if (scope.actions.has(action) && reaches(scope.repositories, where)) return true;
    }
    return false;
  }
  const std::vector<Grant>& grants_;
  const std::vector<Role>& roles_;
};

const Texts kSubjects = {"user:a", "user:b", "group:x", "group:y", "group:z", "robot:r", "authenticated", "anonymous"};
const Texts kPatterns = {"**", "a", "a/**", "a/b", "a/b/**", "*/b", "**/c", "a/*", "b*", "c/**/d", "a/b/c", "b"};
const Texts kNames = {"a", "b", "c", "bb", "a/b", "a/c", "a/b/c", "b/b", "c/d", "c/x/d", "a/b/c/d", "x"};
const Texts kTagPatterns = {"*", "v*", "latest", "v1"};
const Texts kTags = {"v1", "v2", "latest", "x"};
const Texts kRoles = {"reader", "writer", "maintainer", "admin", "own", "none such"};
const std::vector<Action> kAsked = {Action::pull, Action::push, Action::overwrite, Action::delete_, Action::admin,
                                    Action::metrics};

class Chance {
 public:
  explicit Chance(std::uint64_t seed) : random_(seed) {}
  std::uint64_t below(std::uint64_t n) { return random_() % n; }
  const std::string& any(const Texts& of) { return of[below(of.size())]; }
  Texts some(const Texts& of, std::uint64_t most) {
    Texts out;
    for (std::uint64_t n = below(most + 1); n > 0; --n) out.push_back(any(of));
    return out;
  }
  Actions actions() {
    Actions out;
    for (const Action action : kAsked) {
      if (below(2) == 0) out |= {action};
    }
    return out;
  }
  Grant grant() {
    Grant made{some(kSubjects, 2), repositories(some(kPatterns, 2)), {}, {}, {}, std::to_string(below(1000))};
    if (below(2) == 0) {
      made.role = any(kRoles);
    } else {
      made.actions = actions();
    }
    if (below(3) == 0) made.tags = tag_patterns(some(kTagPatterns, 2));
    return made;
  }
  Principal principal() {
    if (below(6) == 0) return {};
    Principal made = somebody(any(kSubjects), some(kSubjects, 3));
    if (below(3) != 0) return made;
    made.ceiling.emplace();
    for (std::uint64_t n = below(3); n > 0; --n) {
      made.ceiling->scopes.push_back({repositories(some(kPatterns, 2)), actions()});
    }
    return made;
  }

 private:
  std::mt19937_64 random_;
};

TEST_CASE("a policy decides as one who asks each grant in turn") {
  constexpr std::uint64_t kSeed = 4'711;
  Chance chance(kSeed);
  int allowed = 0, denied = 0;
  for (int round = 0; round < 150; ++round) {
    INFO("seed " << kSeed << ", round " << round);
    std::vector<Grant> grants;
    for (std::uint64_t n = chance.below(9); n > 0; --n) grants.push_back(chance.grant());
    const std::vector<Role> roles = {{"own", chance.actions()}, {"reader", Actions::all()}};
    const Naive naive(grants, roles);
    const Policy policy(grants, roles);
    REQUIRE(policy.size() == grants.size());
    for (int caller = 0; caller < 4; ++caller) {
      const Principal who = chance.principal();
      const registry::Visibility visibility = policy.visibility(who);
      for (const std::string& name : kNames) {
        const auto where = repository(name);
        Actions granted;
        for (const Action action : kAsked) {
          const registry::TagSet tags = policy.tags(who, action, where);
          const bool expected = naive.allows(who, action, &name, nullptr);
          const Decision decision = policy.decide(who, action, &where);
          REQUIRE(decision.allowed == expected);
          if (expected) granted |= {action};
          (expected ? allowed : denied) += 1;
          for (const std::string& one : kTags) {
            const auto which = tag(one);
            const bool with_tag = naive.allows(who, action, &name, &one);
            REQUIRE(policy.decide(who, action, &where, &which).allowed == with_tag);
            REQUIRE(tags.contains(one) == with_tag);
            const Explanation explanation = policy.explain(who, action, &where, &which);
            const bool some_grant = std::ranges::any_of(
                explanation.grants, [](const GrantVerdict& v) { return v.why == GrantVerdict::Why::allows; });
            REQUIRE(explanation.grants.size() == grants.size());
            REQUIRE((some_grant && explanation.ceiling_allows) == with_tag);
          }
        }
        REQUIRE(policy.granted(who, where) == granted);
        REQUIRE(visibility.shows(name) == granted.has(Action::pull));
      }
      for (const Action action : kAsked) {
        REQUIRE(policy.decide(who, action, nullptr).allowed == naive.allows(who, action, nullptr, nullptr));
      }
    }
  }
  CHECK(allowed > 1'000);  // else the test says little
  CHECK(denied > 1'000);
}

TEST_CASE("ten thousand grants cost no more than a few") {
  std::vector<Grant> grants;
  for (int i = 0; i < 10'000; ++i) {
    const std::string n = std::to_string(i);
    // A hundred of each group, and all of it in trees that nearly match.
    grants.push_back(
        grant({"group:g" + std::to_string(i % 100)}, {"team/app" + n + "/**", "team/x" + n}, "writer", {"v*"}, n));
  }
  const Policy policy(std::move(grants));
  Texts groups;
  for (int i = 0; i < 50; ++i) groups.push_back("group:g" + std::to_string(i));
  const Principal who = somebody("user:alice", groups);
  const auto last = repository("team/app9949/deep/name"), other = repository("team/app9999/deep/name");
  const auto which = tag("v1.2.3");
  REQUIRE(policy.decide(who, Action::push, &last, &which).origin == "9949");
  REQUIRE_FALSE(policy.decide(who, Action::push, &other, &which).allowed);

  // The fastest of many short runs: what else the machine does is not measured.
  constexpr int kRuns = 50, kTimes = 10;
  auto best = std::chrono::nanoseconds::max();
  int said_yes = 0;
#ifndef BERTH_SANITIZED
  const std::uint64_t before = allocations;
#endif
  for (int run = 0; run < kRuns; ++run) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < kTimes; ++i) {
      said_yes += policy.decide(who, Action::push, &last, &which).allowed ? 1 : 0;
      said_yes += policy.decide(who, Action::push, &other, &which).allowed ? 1 : 0;
    }
    best = std::min<std::chrono::nanoseconds>(best, (std::chrono::steady_clock::now() - start) / (2 * kTimes));
  }
#ifndef BERTH_SANITIZED
  CHECK(allocations == before);
  constexpr auto kMost = std::chrono::microseconds(100);  // without optimization; a walk over them all takes far more
#else
  constexpr auto kMost = std::chrono::milliseconds(2);
#endif
  CHECK(said_yes == kRuns * kTimes);
  CHECK(best < kMost);
  if (std::getenv("BERTH_TIMES") != nullptr) WARN(best.count() << " ns a decision");
}

}  // namespace
}  // namespace berth::auth
