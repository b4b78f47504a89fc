// The route table, and how a path finds its row.
//
// Repository names contain slashes and may contain the words `blobs`, `manifests`, `tags` and so on, so a template with
// a {name} is compared from the right end of the path and the name is what is left in the middle. The rows are tried in
// order. A path is split at its raw slashes and each segment is decoded once; nothing is ever normalised.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/handlers.h"
#include "auth/policy.h"

namespace berth::api {

struct Route {
  std::string_view operation;  ///< for the access log
  std::string_view id;         ///< the endpoint's number in distribution-spec, "Endpoints"; "-" for berth's own
  Method method;
  bool head;  ///< HEAD too, by the same handler; the session leaves the body out
  /// Literals, {name} {digest} {reference} {subject} {upload}, and below /api/v1 other parameters of one segment each; a
  /// final slash may be left out by the client.
  std::string_view path;
  auth::Action action;
  Handle handle;
  bool needs_registry = true;
};

/// In the order in which they are tried.
std::span<const Route> route_table();

/// A read-only registry refuses it. Accounts are no content: whoever maintains the registry may have to end a token just
/// then.
bool changes_content(const Route& route);

/// The methods that a path template answers, for Allow: "GET, HEAD, PUT".
std::string allowed_methods(std::string_view path);

/// What a path names, before its parts are parsed.
struct Match {
  const Route* route = nullptr;   ///< null: see `path`
  std::string_view path;          ///< the template; empty when no row fits. Set without a route: wrong method
  std::string name;               ///< the text of {name}
  std::string parameter;          ///< the text of the last segment when the template ends in a parameter
  std::vector<std::string> parameters;  ///< the text of each parameter but {name}, from the left
};

/// Errors: name_invalid (a segment below /v2/ that is a broken escape, a dot segment, or holds '/', '\', '%' or a
/// control byte; or a path too long for any name), route_unknown (the same elsewhere).
Result<Match> match_path(Method method, std::string_view path);

/// The repository that a match names, if its template has one. Errors: name_invalid.
Result<std::optional<oci::RepositoryName>> parse_repository(const Match& match);

/// Turns the rest into types. Asked after the permission, for its errors may say that something is not there. Errors:
/// digest_invalid, digest_unsupported, tag_invalid, blob_unknown, manifest_unknown, upload_unknown.
Result<Target> parse_target(const Match& match, std::optional<oci::RepositoryName> repository);

}  // namespace berth::api
