// Every route and method, by every kind of caller, on a private repository. The rows are compared with the real route
// table both ways, so a route that has no row fails here.
#include <catch2/catch.hpp>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "api/routes.h"
#include "tests/unit/api/access_world.h"

namespace berth::api::test {
namespace {

/// Who asks, in the order of the letters in a row.
enum class Who {
  anonymous,        ///< shows nothing
  anonymous_token,  ///< a token without a name
  stranger,         ///< a user with no right here
  reader,
  writer,
  maintainer,
  admin,            ///< of the whole registry
  narrow_token,     ///< the maintainer's access token, good for pull alone
  narrow_secret,    ///< the maintainer's personal token, good for pull alone
  robot,            ///< a writer
  disabled,         ///< a user that was a maintainer
  root,             ///< through the local socket
};
struct Caller {
  Who who;
  const char* name;
  char letter;
  unsigned refused;  ///< what it hears when it may not
};
constexpr Caller kCallers[] = {
    {Who::anonymous, "anonymous", '-', 401},
    {Who::anonymous_token, "anonymous token", '~', 401},
    {Who::stranger, "stranger", 's', 403},
    {Who::reader, "reader", 'r', 403},
    {Who::writer, "writer", 'w', 403},
    {Who::maintainer, "maintainer", 'm', 403},
    {Who::admin, "admin", 'a', 403},
    {Who::narrow_token, "narrow access token", 't', 401},
    {Who::narrow_secret, "narrow personal token", 'p', 403},
    {Who::robot, "robot", 'b', 403},
    {Who::disabled, "disabled", 'x', 401},
    {Who::root, "root", '0', 403},
};

constexpr const char* kAll = "-~srwmatpbx0";     // nothing is asked of them, not even who they are
constexpr const char* kKnown = "~srwmatpb0";     // any good credential
constexpr const char* kAnybody = "-~srwmatpb0";  // also without one, but not with a bad one
constexpr const char* kAskers = "-srwmapb0";      // whoever shows what is no token already
constexpr const char* kPull = "rwmatpb0";
constexpr const char* kPush = "wmab0";
constexpr const char* kDelete = "ma0";
constexpr const char* kAdmin = "a0";
constexpr const char* kNamed = "srwmatpb0";    // somebody, not just a good credential
constexpr const char* kOwnLogin = "srwmab0";   // somebody who did not come with a token
constexpr const char* kCatalog = "srwmatpb0";  // who may pull anything; what it shows is filtered

struct Row {
  const char* operation;
  Method method;
  const char* target;  ///< {repo}, and {digest} and {tag} of what is there or is not
  const char* allowed;
};
const std::vector<Row>& rows() {
  static const std::vector<Row> table = {
      {"ping", Method::get, "/v2/", kKnown},
      {"ping", Method::head, "/v2/", kKnown},
      {"list_repositories", Method::get, "/v2/_catalog", kCatalog},
      {"list_repositories", Method::head, "/v2/_catalog", kCatalog},
      {"list_tags", Method::get, "/v2/{repo}/tags/list", kPull},
      {"list_tags", Method::head, "/v2/{repo}/tags/list", kPull},
      {"list_referrers", Method::get, "/v2/{repo}/referrers/{digest}", kPull},
      {"list_referrers", Method::head, "/v2/{repo}/referrers/{digest}", kPull},
      {"get_manifest", Method::get, "/v2/{repo}/manifests/{tag}", kPull},
      {"get_manifest", Method::get, "/v2/{repo}/manifests/{digest}", kPull},
      {"get_manifest", Method::head, "/v2/{repo}/manifests/{tag}", kPull},
      {"get_manifest", Method::head, "/v2/{repo}/manifests/{digest}", kPull},
      {"put_manifest", Method::put, "/v2/{repo}/manifests/{tag}", kPush},
      {"put_manifest", Method::put, "/v2/{repo}/manifests/{digest}?tag=more", kPush},
      {"delete_manifest", Method::delete_, "/v2/{repo}/manifests/{tag}", kDelete},
      {"delete_manifest", Method::delete_, "/v2/{repo}/manifests/{digest}", kDelete},
      {"start_upload", Method::post, "/v2/{repo}/blobs/uploads/", kPush},
      {"start_upload", Method::post, "/v2/{repo}/blobs/uploads/?mount={blob}&from=team/other", kPush},
      {"start_upload", Method::post, "/v2/{repo}/blobs/uploads/?mount={blob}", kPush},
      {"start_upload", Method::post, "/v2/{repo}/blobs/uploads/?digest={blob}", kPush},
      {"get_upload", Method::get, "/v2/{repo}/blobs/uploads/{upload}", kPush},
      {"get_upload", Method::head, "/v2/{repo}/blobs/uploads/{upload}", kPush},
      {"append_upload", Method::patch, "/v2/{repo}/blobs/uploads/{upload}", kPush},
      {"commit_upload", Method::put, "/v2/{repo}/blobs/uploads/{upload}?digest={blob}", kPush},
      {"cancel_upload", Method::delete_, "/v2/{repo}/blobs/uploads/{upload}", kPush},
      {"get_blob", Method::get, "/v2/{repo}/blobs/{blob}", kPull},
      {"head_blob", Method::head, "/v2/{repo}/blobs/{blob}", kPull},
      {"delete_blob", Method::delete_, "/v2/{repo}/blobs/{blob}", kDelete},
      {"delete_repository", Method::delete_, "/api/v1/repositories/{repo}", kDelete},
      {"get_token", Method::get, "/token", kAskers},
      {"post_token", Method::post, "/token", kAskers},
      {"list_token_keys", Method::get, "/token/keys", kAnybody},
      {"list_token_keys", Method::head, "/token/keys", kAnybody},
      {"list_well_known_keys", Method::get, "/.well-known/jwks.json", kAnybody},
      {"list_well_known_keys", Method::head, "/.well-known/jwks.json", kAnybody},
      {"list_visible_repositories", Method::get, "/api/v1/repositories", kCatalog},
      {"list_visible_repositories", Method::head, "/api/v1/repositories", kCatalog},
      {"set_up", Method::post, "/api/v1/setup", kAnybody},
      {"get_me", Method::get, "/api/v1/me", kNamed},
      {"get_me", Method::head, "/api/v1/me", kNamed},
      {"list_own_tokens", Method::get, "/api/v1/me/tokens", kNamed},
      {"list_own_tokens", Method::head, "/api/v1/me/tokens", kNamed},
      {"create_own_token", Method::post, "/api/v1/me/tokens", kOwnLogin},
      {"revoke_own_token", Method::delete_, "/api/v1/me/tokens/999999", kOwnLogin},
      {"explain_access", Method::get, "/api/v1/access/explain?action=pull", kNamed},
      {"explain_access", Method::head, "/api/v1/access/explain?action=pull", kNamed},
      {"explain_access", Method::get, "/api/v1/access/explain?action=pull&subject=user:nobody", kAdmin},
      {"explain_access", Method::head, "/api/v1/access/explain?action=pull&subject=user:nobody", kAdmin},
      {"get_version", Method::get, "/api/v1/version", kNamed},
      {"get_version", Method::head, "/api/v1/version", kNamed},
      {"get_openapi", Method::get, "/api/v1/openapi.json", kNamed},
      {"get_openapi", Method::head, "/api/v1/openapi.json", kNamed},
      {"list_certificates", Method::get, "/api/v1/certificates", kAdmin},
      {"list_certificates", Method::head, "/api/v1/certificates", kAdmin},
      {"get_read_only", Method::get, "/api/v1/read-only", kAdmin},
      {"get_read_only", Method::head, "/api/v1/read-only", kAdmin},
      {"set_read_only", Method::put, "/api/v1/read-only", kAdmin},
      {"get_log_level", Method::get, "/api/v1/log-level", kAdmin},
      {"get_log_level", Method::head, "/api/v1/log-level", kAdmin},
      {"set_log_level", Method::put, "/api/v1/log-level", kAdmin},
      {"list_tokens", Method::get, "/api/v1/tokens?owner=user:nobody", kAdmin},
      {"list_tokens", Method::head, "/api/v1/tokens?owner=user:nobody", kAdmin},
      {"revoke_tokens", Method::delete_, "/api/v1/tokens?owner=user:nobody", kAdmin},
      {"revoke_token", Method::delete_, "/api/v1/tokens/999999?owner=user:nobody", kAdmin},
      {"list_users", Method::get, "/api/v1/users", kAdmin},
      {"list_users", Method::head, "/api/v1/users", kAdmin},
      {"create_user", Method::post, "/api/v1/users", kAdmin},
      {"get_user", Method::get, "/api/v1/users/nobody", kAdmin},
      {"get_user", Method::head, "/api/v1/users/nobody", kAdmin},
      {"update_user", Method::patch, "/api/v1/users/nobody", kAdmin},
      {"delete_user", Method::delete_, "/api/v1/users/nobody", kAdmin},
      {"list_groups", Method::get, "/api/v1/groups", kAdmin},
      {"list_groups", Method::head, "/api/v1/groups", kAdmin},
      {"create_group", Method::post, "/api/v1/groups", kAdmin},
      {"get_group", Method::get, "/api/v1/groups/nobody", kAdmin},
      {"get_group", Method::head, "/api/v1/groups/nobody", kAdmin},
      {"update_group", Method::patch, "/api/v1/groups/nobody", kAdmin},
      {"delete_group", Method::delete_, "/api/v1/groups/nobody", kAdmin},
      {"list_group_users", Method::get, "/api/v1/groups/nobody/users", kAdmin},
      {"list_group_users", Method::head, "/api/v1/groups/nobody/users", kAdmin},
      {"list_robots", Method::get, "/api/v1/robots", kAdmin},
      {"list_robots", Method::head, "/api/v1/robots", kAdmin},
      {"create_robot", Method::post, "/api/v1/robots", kAdmin},
      {"get_robot", Method::get, "/api/v1/robots/nobody", kAdmin},
      {"get_robot", Method::head, "/api/v1/robots/nobody", kAdmin},
      {"update_robot", Method::patch, "/api/v1/robots/nobody", kAdmin},
      {"delete_robot", Method::delete_, "/api/v1/robots/nobody", kAdmin},
      {"add_robot_secret", Method::post, "/api/v1/robots/nobody/secrets", kAdmin},
      {"revoke_robot_secret", Method::delete_, "/api/v1/robots/nobody/secrets/999999", kAdmin},
      {"list_roles", Method::get, "/api/v1/roles", kAdmin},
      {"list_roles", Method::head, "/api/v1/roles", kAdmin},
      {"create_role", Method::post, "/api/v1/roles", kAdmin},
      {"get_role", Method::get, "/api/v1/roles/nobody", kAdmin},
      {"get_role", Method::head, "/api/v1/roles/nobody", kAdmin},
      {"update_role", Method::patch, "/api/v1/roles/nobody", kAdmin},
      {"delete_role", Method::delete_, "/api/v1/roles/nobody", kAdmin},
      {"list_grants", Method::get, "/api/v1/grants", kAdmin},
      {"list_grants", Method::head, "/api/v1/grants", kAdmin},
      {"create_grant", Method::post, "/api/v1/grants", kAdmin},
      {"get_grant", Method::get, "/api/v1/grants/999999", kAdmin},
      {"get_grant", Method::head, "/api/v1/grants/999999", kAdmin},
      {"replace_grant", Method::put, "/api/v1/grants/999999", kAdmin},
      {"delete_grant", Method::delete_, "/api/v1/grants/999999", kAdmin},
      {"livez", Method::get, "/livez", kAll},
      {"livez", Method::head, "/livez", kAll},
      {"readyz", Method::get, "/readyz", kAll},
      {"readyz", Method::head, "/readyz", kAll},
      {"startupz", Method::get, "/startupz", kAll},
      {"startupz", Method::head, "/startupz", kAll},
      {"metrics", Method::get, "/metrics", kAdmin},
      {"metrics", Method::head, "/metrics", kAdmin},
  };
  return table;
}

/// What a target names: there, or nowhere.
struct Things {
  const char* name;
  std::map<std::string, std::string> words;
};

std::string fill(std::string target, const std::map<std::string, std::string>& words) {
  for (const auto& [word, text] : words) {
    for (std::size_t at = target.find(word); at != std::string::npos; at = target.find(word)) {
      target.replace(at, word.size(), text);
    }
  }
  return target;
}

/// All that a client sees of an answer, but for what is its own question or drawn anew for each.
std::string seen(Response response, const std::map<std::string, std::string>& words) {
  std::string out = std::to_string(response.status) + '\n';
  const std::string id(response.headers.get("X-Request-Id"));
  for (const auto& [name, value] : response.headers.items()) {
    if (name != "X-Request-Id") out += name + ": " + value + '\n';
  }
  out += AccessWorld::text(response);
  if (const std::size_t at = out.find(id); at != std::string::npos) out.replace(at, id.size(), "{id}");
  const std::string& repository = words.at("{repo}");
  for (std::size_t at = out.find(repository); at != std::string::npos; at = out.find(repository)) {
    out.replace(at, repository.size(), "{repo}");
  }
  return out;
}

struct World {
  AccessWorld w;
  std::map<Who, Shown> shown;
  std::string digest;  ///< of the manifest
  std::string blob;
  std::string upload;  ///< the maintainer's

  World() {
    for (const char* name : {"stranger", "reader", "writer", "maintainer", "admin", "disabled"}) w.add_user(name, name);
    for (const char* name : {"reader", "writer", "maintainer"}) w.grant(std::string("user:") + name, "team/**", name);
    w.grant("user:admin", "**", "admin");
    w.grant("user:disabled", "team/**", "maintainer");
    w.grant("user:stranger", "elsewhere", "maintainer");
    w.grant("robot:ci", "team/**", "writer");
    w.must(w.identities().update_user(AccessWorld::kRoot, "disabled", {.enabled = false}));
    for (const Caller& caller : kCallers) shown[caller.who] = basic(caller.name, caller.name);
    shown[Who::anonymous] = {};
    shown[Who::root] = {.local = true};
    shown[Who::robot] = basic("ci", w.add_robot("ci"));
    const registry::Ceiling pull_only = std::vector{registry::CeilingEntry{{"**"}, registry::action::pull}};
    shown[Who::narrow_secret] = bearer(w.add_token("maintainer", pull_only));
    shown[Who::narrow_token] = bearer(w.access_token(
        shown[Who::maintainer], "repository:team/here:pull repository:team/gone:pull repository:team/other:pull"));
    shown[Who::anonymous_token] = bearer(w.access_token({}, "repository:team/here:pull,push"));

    blob = oci::sha256("layer").to_string();
    REQUIRE(w.registry.push_image("team/other", "v1", {"layer"}).has_value());
    refill();
  }
  /// Puts back what a request took away.
  void refill() {
    auto pushed = w.registry.push_image("team/here", "v1", {"config", "layer"});
    REQUIRE(pushed.has_value());
    digest = pushed->digest.to_string();
    const Response started = w.send(shown[Who::maintainer], Method::post, "/v2/team/here/blobs/uploads/");
    REQUIRE(started.status == 202);
    upload = std::string(started.headers.get("Docker-Upload-UUID"));
  }
  std::vector<Things> things() const {
    const std::string nothing = oci::sha256("nothing").to_string();
    const std::string no_upload = "00000000-0000-4000-8000-000000000000";
    return {{"what is there",
             {{"{repo}", "team/here"}, {"{tag}", "v1"}, {"{digest}", digest}, {"{blob}", blob}, {"{upload}", upload}}},
            {"what is not there",
             {{"{repo}", "team/here"}, {"{tag}", "v2"}, {"{digest}", nothing}, {"{blob}", nothing}, {"{upload}", no_upload}}},
            {"a repository that is not there",
             {{"{repo}", "team/gone"}, {"{tag}", "v1"}, {"{digest}", digest}, {"{blob}", blob}, {"{upload}", upload}}}};
  }
};

}  // namespace

TEST_CASE("the table of access has a row for every route and method, and no other") {
  std::set<std::pair<std::string, Method>> routes, tested;
  for (const Route& route : route_table()) {
    routes.emplace(route.operation, route.method);
    if (route.head) routes.emplace(route.operation, Method::head);
  }
  for (const Row& row : rows()) {
    INFO(row.operation << ' ' << to_string(row.method) << ' ' << row.target);
    tested.emplace(row.operation, row.method);
    const std::string target = fill(row.target, {{"{repo}", "a/b"},
                                                 {"{tag}", "v1"},
                                                 {"{digest}", oci::sha256("x").to_string()},
                                                 {"{blob}", oci::sha256("x").to_string()},
                                                 {"{upload}", "u"}});
    const auto match = match_path(row.method, target.substr(0, target.find('?')));
    REQUIRE(match.has_value());
    REQUIRE(match->route != nullptr);
    CHECK(match->route->operation == row.operation);
  }
  for (const auto& [operation, method] : routes) {
    INFO(operation << ' ' << to_string(method) << " needs a row in rows(): who may, and who may not");
    CHECK(tested.contains({operation, method}));
  }
  for (const auto& [operation, method] : tested) {
    INFO(operation << ' ' << to_string(method) << " is no route any more");
    CHECK(routes.contains({operation, method}));
  }
}

TEST_CASE("every route lets through whom it should, and tells the others nothing") {
  World world;
  for (const Row& row : rows()) {
    for (const Caller& caller : kCallers) {
      const bool allowed = std::string_view(row.allowed).find(caller.letter) != std::string_view::npos;
      std::string first;
      for (const Things& things : world.things()) {
        const std::string target = fill(row.target, things.words);
        INFO(caller.name << ": " << to_string(row.method) << ' ' << target << " (" << things.name << ')');
        const Response response = world.w.send(world.shown.at(caller.who), row.method, target);
        if (allowed) {
          CHECK(response.status != 401);
          CHECK(response.status != 403);
          CHECK(response.status < 500);
          if (response.status / 100 == 2 && row.method != Method::get && row.method != Method::head) world.refill();
          continue;
        }
        CHECK(response.status == caller.refused);
        CHECK(response.headers.has("WWW-Authenticate") == (response.status == 401));
        const std::string answer = seen(response, things.words);
        if (first.empty()) first = answer;
        CHECK(answer == first);
      }
    }
  }
}

TEST_CASE("the catalog shows to each what it may pull") {
  World world;
  world.w.grant("anonymous", "public/*", "reader");
  REQUIRE(world.w.registry.push_image("public/tool", "v1", {"layer"}).has_value());
  REQUIRE(world.w.registry.push_image("elsewhere", "v1", {"layer"}).has_value());
  const Shown listing = bearer(world.w.access_token(world.shown[Who::reader], "registry:catalog:*"));
  struct Row {
    const char* name;
    Shown shown;
    const char* list;
  };
  const Row table[] = {
      {"anonymous", {}, R"(["public/tool"])"},
      {"stranger", world.shown[Who::stranger], R"(["elsewhere","public/tool"])"},
      {"reader", world.shown[Who::reader], R"(["public/tool","team/here","team/other"])"},
      {"reader's token for lists", listing, R"(["public/tool","team/here","team/other"])"},
      {"maintainer's token for two", world.shown[Who::narrow_token], R"(["team/here","team/other"])"},
      {"admin", world.shown[Who::admin], R"(["elsewhere","public/tool","team/here","team/other"])"},
  };
  for (const Row& row : table) {
    INFO(row.name);
    const Response response = world.w.send(row.shown, Method::get, "/v2/_catalog");
    CHECK(AccessWorld::text(response) == std::string(R"({"repositories":)") + row.list + "}");
  }
}

}  // namespace berth::api::test
