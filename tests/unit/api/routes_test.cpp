#include "api/routes.h"

#include <catch2/catch.hpp>
#include <set>

#include "api/errors.h"

namespace berth::api {
namespace {

const std::string kSha = "sha256:" + std::string(64, 'a');
const std::string kSha512 = "sha512:" + std::string(128, 'b');

struct Case {
  std::string name;
  Method method;
  std::string path;
  std::string expected;  ///< "operation repository parameter", or the error, or "405 <Allow>", or "unknown"
};

std::string describe(Method method, const std::string& path) {
  auto match = match_path(method, path);
  if (!match) return std::string(to_string(match.error().code));
  if (match->path.empty()) return "unknown";
  if (match->route == nullptr) return "405 " + allowed_methods(match->path);
  auto repository = parse_repository(*match);
  if (!repository) return std::string(to_string(repository.error().code));
  std::string out(match->route->operation);
  if (*repository) out += ' ' + (*repository)->text();
  auto target = parse_target(*match, *repository);
  if (!target) return std::string(to_string(target.error().code));
  if (target->digest) out += ' ' + target->digest->to_string();
  if (target->reference) {
    out += (std::holds_alternative<oci::Tag>(*target->reference) ? " tag " : " digest ") +
           oci::to_string(*target->reference);
  }
  if (!target->subject.empty()) out += ' ' + target->subject;
  if (!target->upload_id.empty()) out += ' ' + target->upload_id;
  if (match->path.starts_with("/api/")) {
    for (const std::string& part : target->parts) out += " [" + part + "]";
  }
  return out;
}

TEST_CASE("a path finds its route from the right end") {
  const auto get = Method::get;
  const std::vector<Case> cases = {
      {"ping", get, "/v2/", "ping"},
      {"ping without slash", get, "/v2", "ping"},
      {"ping by HEAD", Method::head, "/v2/", "ping"},
      {"ping by POST", Method::post, "/v2/", "405 GET, HEAD"},
      {"two slashes are no ping", get, "/v2//", "unknown"},
      {"catalog", get, "/v2/_catalog", "list_repositories"},
      {"catalog is no directory", get, "/v2/_catalog/", "unknown"},
      {"tags", get, "/v2/a/tags/list", "list_tags a"},
      {"tags by HEAD", Method::head, "/v2/a/b/tags/list", "list_tags a/b"},
      {"tags by DELETE", Method::delete_, "/v2/a/tags/list", "405 GET, HEAD"},
      {"referrers", get, "/v2/a/referrers/" + kSha, "list_referrers a " + kSha},
      {"referrers of an algorithm that berth lacks", get, "/v2/a/referrers/blake3:00ff", "list_referrers a blake3:00ff"},
      {"referrers of a malformed digest", get, "/v2/a/referrers/sha256:zz", "digest_invalid"},
      {"referrers of a tag", get, "/v2/a/referrers/latest", "digest_invalid"},
      {"manifest by tag", get, "/v2/a/manifests/latest", "get_manifest a tag latest"},
      {"manifest by digest", get, "/v2/a/manifests/" + kSha, "get_manifest a digest " + kSha},
      {"manifest by sha512", get, "/v2/a/manifests/" + kSha512, "get_manifest a digest " + kSha512},
      {"an escaped colon", get, "/v2/a/manifests/sha256%3A" + std::string(64, 'a'), "get_manifest a digest " + kSha},
      {"a tag that looks like a digest is a tag", get, "/v2/a/manifests/sha256-" + std::string(64, 'a'),
       "get_manifest a tag sha256-" + std::string(64, 'a')},
      {"put manifest", Method::put, "/v2/a/manifests/v1", "put_manifest a tag v1"},
      {"delete manifest", Method::delete_, "/v2/a/manifests/v1", "delete_manifest a tag v1"},
      {"manifest by POST", Method::post, "/v2/a/manifests/v1", "405 GET, HEAD, PUT, DELETE"},
      {"an illegal tag is not there", get, "/v2/a/manifests/.INVALID", "manifest_unknown"},
      {"an illegal tag is not there for HEAD", Method::head, "/v2/a/manifests/.INVALID", "manifest_unknown"},
      {"an illegal tag is not there for DELETE", Method::delete_, "/v2/a/manifests/.INVALID", "manifest_unknown"},
      {"an illegal tag is refused to PUT", Method::put, "/v2/a/manifests/.INVALID", "tag_invalid"},
      {"a tag of 129 bytes", get, "/v2/a/manifests/" + std::string(129, 'a'), "manifest_unknown"},
      {"a bad digest is never a tag", get, "/v2/a/manifests/sha256:baddigeststring", "digest_invalid"},
      {"a bad digest is never a tag for PUT", Method::put, "/v2/a/manifests/sha256:baddigeststring", "digest_invalid"},
      {"a bad digest is never a tag for DELETE", Method::delete_, "/v2/a/manifests/sha256:bad", "digest_invalid"},
      {"upper-case hex", get, "/v2/a/manifests/sha256:" + std::string(64, 'A'), "digest_invalid"},
      {"an unknown algorithm is not there", get, "/v2/a/manifests/blake3:" + std::string(64, 'a'), "manifest_unknown"},
      {"an unknown algorithm is refused to PUT", Method::put, "/v2/a/manifests/blake3:" + std::string(64, 'a'),
       "digest_unsupported"},
      {"no reference", get, "/v2/a/manifests/", "unknown"},
      {"uploads", Method::post, "/v2/a/blobs/uploads/", "start_upload a"},
      {"uploads without slash", Method::post, "/v2/a/blobs/uploads", "start_upload a"},
      {"uploads by GET", get, "/v2/a/blobs/uploads/", "405 POST"},
      {"upload", get, "/v2/a/blobs/uploads/0f-1", "get_upload a 0f-1"},
      {"upload by HEAD", Method::head, "/v2/a/blobs/uploads/0f-1", "get_upload a 0f-1"},
      {"upload by PATCH", Method::patch, "/v2/a/blobs/uploads/0f-1", "append_upload a 0f-1"},
      {"upload by PUT", Method::put, "/v2/a/blobs/uploads/0f-1", "commit_upload a 0f-1"},
      {"upload by DELETE", Method::delete_, "/v2/a/blobs/uploads/0f-1", "cancel_upload a 0f-1"},
      {"upload by POST", Method::post, "/v2/a/blobs/uploads/0f-1", "405 GET, HEAD, PATCH, PUT, DELETE"},
      {"an upload id of 64", get, "/v2/a/blobs/uploads/" + std::string(64, 'a'), "get_upload a " + std::string(64, 'a')},
      {"an upload id of 65", get, "/v2/a/blobs/uploads/" + std::string(65, 'a'), "upload_unknown"},
      {"an upload id with a dot", get, "/v2/a/blobs/uploads/a.b", "upload_unknown"},
      {"blob", get, "/v2/a/blobs/" + kSha, "get_blob a " + kSha},
      {"blob by HEAD", Method::head, "/v2/a/blobs/" + kSha, "head_blob a " + kSha},
      {"blob by DELETE", Method::delete_, "/v2/a/blobs/" + kSha, "delete_blob a " + kSha},
      {"blob by PUT", Method::put, "/v2/a/blobs/" + kSha, "405 GET, HEAD, DELETE"},
      {"blob by a bad digest", get, "/v2/a/blobs/sha256:abc", "digest_invalid"},
      {"blob by a tag", get, "/v2/a/blobs/latest", "digest_invalid"},
      {"blob of an unknown algorithm", get, "/v2/a/blobs/blake3:" + std::string(64, 'a'), "blob_unknown"},
      {"an algorithm of another length", get, "/v2/a/blobs/sha512:" + std::string(64, 'a'), "digest_invalid"},

      {"a repository called blobs", get, "/v2/blobs/blobs/" + kSha, "get_blob blobs " + kSha},
      {"a repository called manifests/tags/list", get, "/v2/manifests/tags/list/tags/list",
       "list_tags manifests/tags/list"},
      {"a repository called blobs/uploads", Method::post, "/v2/blobs/uploads/blobs/uploads/",
       "start_upload blobs/uploads"},
      {"a repository called tags", get, "/v2/tags/tags/list", "list_tags tags"},
      {"a repository called v2", get, "/v2/v2/tags/list", "list_tags v2"},
      {"a tag called uploads", get, "/v2/a/manifests/uploads", "get_manifest a tag uploads"},
      {"a tag called list in a repository that ends in tags", get, "/v2/a/tags/manifests/list",
       "get_manifest a/tags tag list"},
      {"no repository before blobs", get, "/v2/blobs/" + kSha, "unknown"},
      {"no repository before tags", get, "/v2/tags/list", "unknown"},
      {"no repository before uploads", Method::post, "/v2/blobs/uploads/", "unknown"},

      {"dots", get, "/v2/../tags/list", "name_invalid"},
      {"dots in the middle", get, "/v2/a/../b/tags/list", "name_invalid"},
      {"one dot", get, "/v2/./a/tags/list", "name_invalid"},
      {"escaped dots", get, "/v2/a/%2e%2e/tags/list", "name_invalid"},
      {"escaped slash", get, "/v2/a%2fb/tags/list", "name_invalid"},
      {"escaped slash, upper case", get, "/v2/a%2Fb/tags/list", "name_invalid"},
      {"escaped percent", get, "/v2/a%252fb/tags/list", "name_invalid"},
      {"backslash", get, "/v2/a\\b/tags/list", "name_invalid"},
      {"escaped backslash", get, "/v2/a%5Cb/tags/list", "name_invalid"},
      {"NUL", get, "/v2/a%00/tags/list", "name_invalid"},
      {"line feed", get, "/v2/a%0a/tags/list", "name_invalid"},
      {"carriage return in a tag", get, "/v2/a/manifests/v1%0d%0aX:%20y", "name_invalid"},
      {"DEL", get, "/v2/a%7f/tags/list", "name_invalid"},
      {"a broken escape", get, "/v2/a%2/tags/list", "name_invalid"},
      {"a broken escape at the end", get, "/v2/a/manifests/v%", "name_invalid"},
      {"an escape of no digits", get, "/v2/a%zz/tags/list", "name_invalid"},
      {"dots for a digest", get, "/v2/a/blobs/..", "name_invalid"},
      {"an empty segment first", get, "/v2//a/tags/list", "name_invalid"},
      {"an empty segment inside", get, "/v2/a//b/tags/list", "name_invalid"},
      {"an empty segment last", get, "/v2/a//tags/list", "name_invalid"},
      {"a slash behind tags/list", get, "/v2/a/tags/list/", "unknown"},
      {"a slash behind a digest", get, "/v2/a/blobs/" + kSha + "/", "unknown"},
      {"upper case", get, "/v2/A/tags/list", "name_invalid"},
      {"a look-alike from Cyrillic", get, "/v2/%D0%B0/tags/list", "name_invalid"},
      {"a full-width slash", get, "/v2/a%EF%BC%8Fb/tags/list", "name_invalid"},
      {"an overlong slash", get, "/v2/a%C0%AFb/tags/list", "name_invalid"},
      {"a plus is a plus", get, "/v2/a+b/tags/list", "name_invalid"},
      {"a reserved prefix", get, "/v2/_oci/tags/list", "name_invalid"},
      {"a name of 255", get, "/v2/" + std::string(255, 'a') + "/tags/list", "list_tags " + std::string(255, 'a')},
      {"a name of 256", get, "/v2/" + std::string(256, 'a') + "/tags/list", "name_invalid"},
      {"a path without end", get, "/v2/" + std::string(40'000, 'a') + "/tags/list", "name_invalid"},
      {"a path of slashes", get, "/v2/" + std::string(30'000, '/'), "name_invalid"},
      {"extensions are not offered", get, "/v2/_oci/ext/discover", "unknown"},
      {"extensions of a repository are not offered", get, "/v2/a/_oci/ext/discover", "unknown"},

      {"root", get, "/", "unknown"},
      {"no path", get, "", "route_unknown"},
      {"favicon", get, "/favicon.ico", "unknown"},
      {"version 1 is gone", get, "/v1/_ping", "unknown"},
      {"case counts in v2", get, "/V2/", "unknown"},
      {"v2 may be escaped, for it is decoded once", get, "/%762/", "ping"},
      {"metrics have one spelling, by which listeners know them", get, "/%6detrics", "unknown"},
      {"health has one spelling", get, "/%6civez", "unknown"},
      {"dots outside of v2", get, "/../etc/passwd", "route_unknown"},
      {"liveness", get, "/livez", "livez"},
      {"readiness", Method::head, "/readyz", "readyz"},
      {"start", get, "/startupz", "startupz"},
      {"metrics", get, "/metrics", "metrics"},
      {"metrics by POST", Method::post, "/metrics", "405 GET, HEAD"},
      {"liveness by POST", Method::post, "/livez", "405 GET, HEAD"},
      {"liveness is no directory", get, "/livez/", "unknown"},
      {"delete a repository", Method::delete_, "/api/v1/repositories/team/app", "delete_repository team/app"},
      {"get a repository", get, "/api/v1/repositories/team/app", "405 DELETE"},
      {"delete no repository", Method::delete_, "/api/v1/repositories/", "name_invalid"},
      {"a user", get, "/api/v1/users/alice", "get_user [alice]"},
      {"users with a slash behind", get, "/api/v1/users/", "unknown"},
      {"a user with a slash", get, "/api/v1/users/a%2fb", "route_unknown"},
      {"a secret of a robot", Method::delete_, "/api/v1/robots/ci/secrets/7", "revoke_robot_secret [ci] [7]"},
      {"my tokens are no token", get, "/api/v1/me/tokens", "list_own_tokens"},
      {"users by PATCH", Method::patch, "/api/v1/users", "405 GET, HEAD, POST"},
      {"a method nobody knows", Method::other, "/v2/", "405 GET, HEAD"},
      {"OPTIONS", Method::options, "/v2/a/tags/list", "405 GET, HEAD"},
  };
  for (const Case& row : cases) {
    INFO(row.name << ": " << to_string(row.method) << " " << row.path.substr(0, 120));
    CHECK(describe(row.method, row.path) == row.expected);
  }
}

TEST_CASE("the route table is whole") {
  std::set<std::string> operations;
  for (const Route& route : route_table()) {
    INFO(route.operation);
    CHECK(operations.insert(std::string(route.operation)).second);
    CHECK(route.path.starts_with('/'));
    CHECK(route.handle != nullptr);
    // Whatever names a repository asks for a right on it, and management for that of an administrator, but for what
    // is one's own.
    const bool names_repository = route.path.find("{name}") != std::string_view::npos;
    if (route.action == auth::Action::admin) {
      CHECK(route.path.starts_with("/api/v1/"));
      CHECK_FALSE(names_repository);
      continue;
    }
    if (route.action == auth::Action::metrics) {
      CHECK_FALSE(names_repository);
      continue;
    }
    if (route.path.starts_with("/api/v1/me")) {
      CHECK(route.action == auth::Action::none);
      continue;
    }
    CHECK(names_repository == (route.action != auth::Action::none && route.action != auth::Action::catalog));
    // Reading asks for pull alone, except for sessions, which are their pusher's own.
    if (route.method == Method::get && names_repository) {
      CHECK(route.action == (route.path.ends_with("{upload}") ? auth::Action::push : auth::Action::pull));
    }
    if (route.method == Method::delete_) {
      CHECK(route.action == (route.path.ends_with("{upload}") ? auth::Action::push : auth::Action::delete_));
    }
  }
}

}  // namespace
}  // namespace berth::api
