#include "api/routes.h"

#include <algorithm>
#include <array>
#include <vector>

#include "api/admin/handlers.h"
#include "api/admin/manage.h"
#include "api/query.h"

namespace berth::api {

namespace {

using admin::manage;
using auth::Action;

constexpr std::string_view kBase = "/v2/";
constexpr std::string_view kCatalog = "/v2/_catalog";
constexpr std::string_view kTags = "/v2/{name}/tags/list";
constexpr std::string_view kReferrers = "/v2/{name}/referrers/{subject}";
constexpr std::string_view kManifest = "/v2/{name}/manifests/{reference}";
constexpr std::string_view kUploads = "/v2/{name}/blobs/uploads/";
constexpr std::string_view kUpload = "/v2/{name}/blobs/uploads/{upload}";
constexpr std::string_view kBlob = "/v2/{name}/blobs/{digest}";
constexpr std::string_view kRepositories = "/api/v1/repositories";
constexpr std::string_view kRepository = "/api/v1/repositories/{name}";
constexpr std::string_view kReadOnly = "/api/v1/read-only";
constexpr std::string_view kLogLevel = "/api/v1/log-level";
constexpr std::string_view kMyTokens = "/api/v1/me/tokens";
constexpr std::string_view kMyToken = "/api/v1/me/tokens/{token}";
constexpr std::string_view kTokens = "/api/v1/tokens";
constexpr std::string_view kToken = "/api/v1/tokens/{token}";
constexpr std::string_view kUsers = "/api/v1/users";
constexpr std::string_view kUser = "/api/v1/users/{user}";
constexpr std::string_view kGroups = "/api/v1/groups";
constexpr std::string_view kGroup = "/api/v1/groups/{group}";
constexpr std::string_view kGroupUsers = "/api/v1/groups/{group}/users";
constexpr std::string_view kRobots = "/api/v1/robots";
constexpr std::string_view kRobot = "/api/v1/robots/{robot}";
constexpr std::string_view kRobotSecrets = "/api/v1/robots/{robot}/secrets";
constexpr std::string_view kRobotSecret = "/api/v1/robots/{robot}/secrets/{secret}";
constexpr std::string_view kRoles = "/api/v1/roles";
constexpr std::string_view kRole = "/api/v1/roles/{role}";
constexpr std::string_view kGrants = "/api/v1/grants";
constexpr std::string_view kGrant = "/api/v1/grants/{grant}";

// Cancelling an upload asks for push, not for delete: who may start one may also give it up.
constexpr std::array kRoutes = {
    Route{"ping", "end-1", Method::get, true, kBase, Action::none, ping},
    Route{"list_repositories", "-", Method::get, true, kCatalog, Action::catalog, list_repositories},
    Route{"list_tags", "end-8a", Method::get, true, kTags, Action::pull, list_tags},
    Route{"list_referrers", "end-12a", Method::get, true, kReferrers, Action::pull, list_referrers},
    Route{"get_manifest", "end-3", Method::get, true, kManifest, Action::pull, get_manifest},
    Route{"put_manifest", "end-7", Method::put, false, kManifest, Action::push, put_manifest},
    Route{"delete_manifest", "end-9", Method::delete_, false, kManifest, Action::delete_, delete_manifest},
    Route{"start_upload", "end-4a", Method::post, false, kUploads, Action::push, start_upload},
    Route{"get_upload", "end-13", Method::get, true, kUpload, Action::push, get_upload},
    Route{"append_upload", "end-5", Method::patch, false, kUpload, Action::push, append_upload},
    Route{"commit_upload", "end-6", Method::put, false, kUpload, Action::push, commit_upload},
    Route{"cancel_upload", "end-14", Method::delete_, false, kUpload, Action::push, cancel_upload},
    Route{"get_blob", "end-2", Method::get, false, kBlob, Action::pull, get_blob},
    Route{"head_blob", "end-2", Method::head, false, kBlob, Action::pull, head_blob},
    Route{"delete_blob", "end-10", Method::delete_, false, kBlob, Action::delete_, delete_blob},
    Route{"delete_repository", "-", Method::delete_, false, kRepository, Action::delete_, delete_repository},
    Route{"get_token", "-", Method::get, false, "/token", Action::none, make_token},
    Route{"post_token", "-", Method::post, false, "/token", Action::none, make_token},
    Route{"list_token_keys", "-", Method::get, true, "/token/keys", Action::none, list_token_keys},
    Route{"list_well_known_keys", "-", Method::get, true, "/.well-known/jwks.json", Action::none, list_token_keys},
    // Whoever may manage something asks for it in the handler where the answer is one's own.
    Route{"list_visible_repositories", "-", Method::get, true, kRepositories, Action::catalog,
          manage<admin::list_visible_repositories>},
    Route{"set_up", "-", Method::post, false, "/api/v1/setup", Action::none, manage<admin::set_up>},
    Route{"get_me", "-", Method::get, true, "/api/v1/me", Action::none, manage<admin::get_me>},
    Route{"list_own_tokens", "-", Method::get, true, kMyTokens, Action::none, manage<admin::list_own_tokens>},
    Route{"create_own_token", "-", Method::post, false, kMyTokens, Action::none, manage<admin::create_own_token>},
    Route{"revoke_own_token", "-", Method::delete_, false, kMyToken, Action::none, manage<admin::revoke_own_token>},
    Route{"explain_access", "-", Method::get, true, "/api/v1/access/explain", Action::none,
          manage<admin::explain_access>},
    Route{"get_version", "-", Method::get, true, "/api/v1/version", Action::none, manage<admin::get_version>},
    Route{"get_openapi", "-", Method::get, true, "/api/v1/openapi.json", Action::none, manage<admin::get_openapi>},
    Route{"list_certificates", "-", Method::get, true, "/api/v1/certificates", Action::admin,
          manage<admin::list_certificates>},
    Route{"get_read_only", "-", Method::get, true, kReadOnly, Action::admin, manage<admin::get_read_only>},
    Route{"set_read_only", "-", Method::put, false, kReadOnly, Action::admin, manage<admin::set_read_only>},
    Route{"get_log_level", "-", Method::get, true, kLogLevel, Action::admin, manage<admin::get_log_level>},
    Route{"set_log_level", "-", Method::put, false, kLogLevel, Action::admin, manage<admin::set_log_level>},
    Route{"list_tokens", "-", Method::get, true, kTokens, Action::admin, manage<admin::list_tokens>},
    Route{"revoke_tokens", "-", Method::delete_, false, kTokens, Action::admin, manage<admin::revoke_tokens>},
    Route{"revoke_token", "-", Method::delete_, false, kToken, Action::admin, manage<admin::revoke_token>},
    Route{"list_users", "-", Method::get, true, kUsers, Action::admin, manage<admin::list_users>},
    Route{"create_user", "-", Method::post, false, kUsers, Action::admin, manage<admin::create_user>},
    Route{"get_user", "-", Method::get, true, kUser, Action::admin, manage<admin::get_user>},
    Route{"update_user", "-", Method::patch, false, kUser, Action::admin, manage<admin::update_user>},
    Route{"delete_user", "-", Method::delete_, false, kUser, Action::admin, manage<admin::delete_user>},
    Route{"list_groups", "-", Method::get, true, kGroups, Action::admin, manage<admin::list_groups>},
    Route{"create_group", "-", Method::post, false, kGroups, Action::admin, manage<admin::create_group>},
    Route{"get_group", "-", Method::get, true, kGroup, Action::admin, manage<admin::get_group>},
    Route{"update_group", "-", Method::patch, false, kGroup, Action::admin, manage<admin::update_group>},
    Route{"delete_group", "-", Method::delete_, false, kGroup, Action::admin, manage<admin::delete_group>},
    Route{"list_group_users", "-", Method::get, true, kGroupUsers, Action::admin, manage<admin::list_group_users>},
    Route{"list_robots", "-", Method::get, true, kRobots, Action::admin, manage<admin::list_robots>},
    Route{"create_robot", "-", Method::post, false, kRobots, Action::admin, manage<admin::create_robot>},
    Route{"get_robot", "-", Method::get, true, kRobot, Action::admin, manage<admin::get_robot>},
    Route{"update_robot", "-", Method::patch, false, kRobot, Action::admin, manage<admin::update_robot>},
    Route{"delete_robot", "-", Method::delete_, false, kRobot, Action::admin, manage<admin::delete_robot>},
    Route{"add_robot_secret", "-", Method::post, false, kRobotSecrets, Action::admin, manage<admin::add_robot_secret>},
    Route{"revoke_robot_secret", "-", Method::delete_, false, kRobotSecret, Action::admin,
          manage<admin::revoke_robot_secret>},
    Route{"list_roles", "-", Method::get, true, kRoles, Action::admin, manage<admin::list_roles>},
    Route{"create_role", "-", Method::post, false, kRoles, Action::admin, manage<admin::create_role>},
    Route{"get_role", "-", Method::get, true, kRole, Action::admin, manage<admin::get_role>},
    Route{"update_role", "-", Method::patch, false, kRole, Action::admin, manage<admin::update_role>},
    Route{"delete_role", "-", Method::delete_, false, kRole, Action::admin, manage<admin::delete_role>},
    Route{"list_grants", "-", Method::get, true, kGrants, Action::admin, manage<admin::list_grants>},
    Route{"create_grant", "-", Method::post, false, kGrants, Action::admin, manage<admin::create_grant>},
    Route{"get_grant", "-", Method::get, true, kGrant, Action::admin, manage<admin::get_grant>},
    Route{"replace_grant", "-", Method::put, false, kGrant, Action::admin, manage<admin::replace_grant>},
    Route{"delete_grant", "-", Method::delete_, false, kGrant, Action::admin, manage<admin::delete_grant>},
    Route{"livez", "-", Method::get, true, "/livez", Action::none, get_livez, false},
    Route{"readyz", "-", Method::get, true, "/readyz", Action::none, get_readyz, false},
    Route{"startupz", "-", Method::get, true, "/startupz", Action::none, get_startupz, false},
    Route{"metrics", "-", Method::get, true, "/metrics", Action::metrics, get_metrics},
};

// The longest path that can name anything: a name of 255 bytes and a digest of 255, each byte escaped.
constexpr std::size_t kPathMax = 2048;

/// A template, cut at its slashes when the program is compiled.
struct Pattern {
  std::array<std::string_view, 8> parts{};
  std::size_t count = 0;
  std::size_t name_at = 8;  ///< position of {name}; 8 = none
  bool final_slash = false;

  constexpr bool has_name() const { return name_at < count; }
  constexpr bool has_parameter() const { return parts[count - 1].starts_with('{') && name_at + 1 != count; }
};

constexpr Pattern make_pattern(std::string_view path) {
  Pattern pattern;
  path.remove_prefix(1);
  if (path.ends_with('/')) {
    pattern.final_slash = true;
    path.remove_suffix(1);
  }
  while (true) {
    const std::size_t slash = path.find('/');
    if (path.substr(0, slash) == "{name}") pattern.name_at = pattern.count;
    pattern.parts[pattern.count++] = path.substr(0, slash);
    if (slash == std::string_view::npos) return pattern;
    path.remove_prefix(slash + 1);
  }
}

constexpr auto kPatterns = [] {
  std::array<Pattern, kRoutes.size()> patterns{};
  for (std::size_t i = 0; i < kRoutes.size(); ++i) patterns[i] = make_pattern(kRoutes[i].path);
  return patterns;
}();

bool part_fits(std::string_view part, std::string_view segment) {
  return part.starts_with('{') ? !segment.empty() : part == segment;
}

/// How many segments the {name} takes; empty when the path does not fit.
std::optional<std::size_t> fit(const Pattern& pattern, std::span<const std::string> segments) {
  if (pattern.final_slash && segments.size() > 1 && segments.back().empty()) {
    segments = segments.first(segments.size() - 1);
  }
  if (segments.size() < pattern.count) return std::nullopt;
  const std::size_t extra = segments.size() - pattern.count;
  if (extra > 0 && !pattern.has_name()) return std::nullopt;
  for (std::size_t i = pattern.count; i-- > 0;) {
    if (i == pattern.name_at) continue;
    const std::size_t at = pattern.has_name() && i > pattern.name_at ? i + extra : i;
    if (!part_fits(pattern.parts[i], segments[at])) return std::nullopt;
  }
  return extra + 1;
}

// A segment that decodes to one of these could be read as another path by something behind us.
bool is_hostile(std::string_view segment) {
  if (segment == "." || segment == "..") return true;
  return std::any_of(segment.begin(), segment.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return c == '/' || c == '\\' || c == '%' || byte < 0x20 || byte == 0x7f;
  });
}

Error refuse_path(std::string_view path) {
  if (path == "/v2" || path.starts_with("/v2/")) {
    return make_error(ErrorCode::name_invalid, "the path holds a segment that no repository name can have");
  }
  return make_error(ErrorCode::route_unknown, "there is nothing at this path");
}

Result<std::vector<std::string>> split(std::string_view path) {
  if (!path.starts_with('/') || path.size() > kPathMax) return refuse_path(path);
  std::vector<std::string> segments;
  segments.reserve(8);
  std::string_view rest = path.substr(1);
  while (true) {
    const std::size_t slash = rest.find('/');
    auto segment = percent_decode(rest.substr(0, slash), false);
    if (!segment || is_hostile(*segment)) return refuse_path(path);
    segments.push_back(std::move(*segment));
    if (slash == std::string_view::npos) return segments;
    rest.remove_prefix(slash + 1);
  }
}

bool takes(const Route& route, Method method) {
  return route.method == method || (route.head && method == Method::head);
}

std::string join(std::span<const std::string> segments) {
  std::string text;
  for (const std::string& segment : segments) {
    if (!text.empty() || &segment != segments.data()) text += '/';
    text += segment;
  }
  return text;
}

bool is_upload_id(std::string_view text) {
  return text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
         });
}

}  // namespace

std::span<const Route> route_table() { return kRoutes; }

bool changes_content(const Route& route) {
  const bool reads = route.method == Method::get || route.method == Method::head;
  return !reads && (route.action == Action::push || route.action == Action::delete_);
}

std::string allowed_methods(std::string_view path) {
  std::string allowed;
  for (const Route& route : kRoutes) {
    if (route.path != path) continue;
    if (!allowed.empty()) allowed += ", ";
    allowed += to_string(route.method);
    if (route.head) allowed += ", HEAD";
  }
  return allowed;
}

Result<Match> match_path(Method method, std::string_view path) {
  BERTH_TRY(const std::vector<std::string> segments, split(path));
  Match match;
  for (std::size_t i = 0; i < kRoutes.size(); ++i) {
    const Route& route = kRoutes[i];
    // The first template that fits decides; its further rows differ in the method only.
    if (!match.path.empty() && match.path != route.path) continue;
    // Which listener serves health and metrics is told by the path as it was sent, so these have one spelling only.
    if (route.path.rfind('/') == 0 && path != route.path) continue;
    const auto name_segments = fit(kPatterns[i], segments);
    if (!name_segments) continue;
    match.path = route.path;
    if (!takes(route, method)) continue;
    match.route = &route;
    const Pattern& pattern = kPatterns[i];
    if (pattern.has_name()) match.name = join(std::span(segments).subspan(pattern.name_at, *name_segments));
    if (pattern.has_parameter()) match.parameter = segments.back();
    for (std::size_t part = 0; part < pattern.count; ++part) {
      if (part == pattern.name_at || !pattern.parts[part].starts_with('{')) continue;
      const bool behind_name = pattern.has_name() && part > pattern.name_at;
      match.parameters.push_back(segments[behind_name ? part + *name_segments - 1 : part]);
    }
    return match;
  }
  return match;
}

Result<std::optional<oci::RepositoryName>> parse_repository(const Match& match) {
  if (match.path.find("{name}") == std::string_view::npos) return std::optional<oci::RepositoryName>();
  BERTH_TRY(auto repository, oci::RepositoryName::parse(match.name));
  return std::optional(std::move(repository));
}

Result<Target> parse_target(const Match& match, std::optional<oci::RepositoryName> repository) {
  const Route& route = *match.route;
  Target target;
  target.repository = std::move(repository);
  target.parts = match.parameters;
  if (route.path.ends_with("{digest}")) {
    auto digest = oci::Digest::parse(match.parameter);
    // An algorithm that berth does not know names nothing that berth has.
    if (digest.failed_with(ErrorCode::digest_unsupported)) {
      return make_error(ErrorCode::blob_unknown, "this repository has no such blob: " + match.parameter);
    }
    BERTH_TRY(target.digest, std::move(digest));
  } else if (route.path.ends_with("{reference}")) {
    auto reference = oci::parse_reference(match.parameter);
    const bool unknown_to_berth =
        reference.failed_with(ErrorCode::tag_invalid) || reference.failed_with(ErrorCode::digest_unsupported);
    // A tag that can not exist does not exist; only who wants to write it has to hear what is wrong with it.
    if (unknown_to_berth && route.method != Method::put) {
      return make_error(ErrorCode::manifest_unknown, "this repository has no such manifest: " + match.parameter);
    }
    BERTH_TRY(target.reference, std::move(reference));
  } else if (route.path.ends_with("{subject}")) {
    auto digest = oci::Digest::parse(match.parameter);
    // A subject may be of any algorithm, for it need not exist.
    if (!digest && !digest.failed_with(ErrorCode::digest_unsupported)) return std::move(digest).error();
    target.subject = match.parameter;
  } else if (route.path.ends_with("{upload}")) {
    if (!is_upload_id(match.parameter)) {
      return make_error(ErrorCode::upload_unknown, "this repository has no such upload session");
    }
    target.upload_id = match.parameter;
  }
  return target;
}

}  // namespace berth::api
