// What went wrong in other registries, tried on the whole of this one. Each case names where it was found; each fails when
// what prevents it here is taken out. Others are where their part is tested: docs/development.md lists all.
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "tests/unit/api/access_world.h"

namespace berth::api::test {
namespace {

constexpr const char* kLayer = "a layer that is private";
const std::string kLayerDigest = oci::sha256(kLayer).to_string();

/// A private repository of the owner's, another of the stranger's, and a public one.
struct Registries : AccessWorld {
  explicit Registries(ServiceOptions options = {}) : AccessWorld(quick(), std::move(options)) {
    for (const char* name : {"owner", "stranger", "pusher"}) add_user(name, name);
    grant("user:owner", "private/**", "maintainer");
    grant("user:stranger", "theirs/**", "maintainer");
    must(identities().create_grant(
        kRoot, {.subjects = {"user:pusher"}, .repositories = {"private/**"}, .actions = registry::action::pull | registry::action::push}));
    auto pushed = registry.push_image("private/app", "latest", {"config", kLayer});
    REQUIRE(pushed.has_value());
    manifest = pushed->digest.to_string();
    REQUIRE(registry.push_image("theirs/app", "latest", {"config"}).has_value());
  }
  static Shown as(const std::string& name) { return basic(name, name); }
  unsigned status(const Shown& who, Method method, const std::string& target, Said said = {}) {
    return send(who, method, target, std::move(said)).status;
  }
  /// Puts an image without layers under a tag or digest.
  unsigned put(const Shown& who, const std::string& reference, const std::string& annotation = "x") {
    const std::string body = berth::test::TestRegistry::image_manifest({"config"}, annotation);
    return status(who, Method::put, "/v2/private/app/manifests/" + reference,
                  {.body = body, .headers = {{"Content-Type", "application/vnd.oci.image.manifest.v1+json"}}});
  }
  std::string manifest;
};

}  // namespace

// zot CVE-2024-39897: whoever knew a digest had the blob, once a cache of all repositories' blobs knew it too.
TEST_CASE("a digest is no key to another repository's blob") {
  Registries w;
  const std::string blob = "/v2/private/app/blobs/" + kLayerDigest;
  const std::string here = "/v2/theirs/app/blobs/" + kLayerDigest;
  const std::string uploads = "/v2/theirs/app/blobs/uploads/";
  const Shown stranger = Registries::as("stranger");
  const bool warm = GENERATE(false, true);
  if (warm) REQUIRE(w.status(Registries::as("owner"), Method::get, blob) == 200);  // every cache has it now
  INFO((warm ? "cached" : "not cached"));
  CHECK(w.status(stranger, Method::head, blob) == 403);
  CHECK(w.status(stranger, Method::get, blob) == 403);
  CHECK(w.status(stranger, Method::head, here) == 404);
  CHECK(w.status(stranger, Method::get, here) == 404);
  CHECK(w.status(stranger, Method::get, "/v2/theirs/app/manifests/" + w.manifest) == 404);
  // None of these may link it, nor answer otherwise than for a digest that nobody has.
  const std::string nobodys = oci::sha256("nobody has this").to_string();
  for (const std::string& digest : {kLayerDigest, nobodys}) {
    INFO(digest);
    CHECK(w.status(stranger, Method::post, uploads + "?mount=" + digest) == 202);
    CHECK(w.status(stranger, Method::post, uploads + "?mount=" + digest + "&from=private/app") == 202);
    CHECK(w.status(stranger, Method::post, uploads + "?digest=" + digest) == 400);
    const Response session = w.send(stranger, Method::post, uploads);
    CHECK(w.status(stranger, Method::put, std::string(session.headers.get("Location")) + "?digest=" + digest) == 400);
    CHECK(w.status(stranger, Method::head, "/v2/theirs/app/blobs/" + digest) == 404);
  }
  // A manifest that refers to it says the same as for one that refers to what nobody has.
  const std::string body = berth::test::TestRegistry::image_manifest({"config", kLayer});
  CHECK(w.status(stranger, Method::put, "/v2/theirs/app/manifests/v2",
                 {.body = body, .headers = {{"Content-Type", "application/vnd.oci.image.manifest.v1+json"}}}) == 400);
}

// distribution CVE-2026-35172: what was deleted could be read again once another repository had filled the shared cache.
TEST_CASE("what is deleted in one repository stays deleted there, whatever others hold") {
  Registries w;
  w.grant("user:owner", "theirs/**", "maintainer");
  const Shown owner = Registries::as("owner");
  REQUIRE(w.registry.push_image("theirs/app", "copy", {"config", kLayer}).has_value());
  const auto at = [](const char* repository, const std::string& what) { return std::string("/v2/") + repository + what; };
  const std::string blob = "/blobs/" + kLayerDigest, by_digest = "/manifests/" + w.manifest, by_tag = "/manifests/latest";
  for (const std::string& what : {blob, by_digest, by_tag}) {
    REQUIRE(w.status(owner, Method::get, at("private/app", what)) == 200);
  }
  CHECK(w.status(owner, Method::delete_, at("private/app", by_digest)) == 202);
  CHECK(w.status(owner, Method::delete_, at("private/app", blob)) == 202);
  REQUIRE(w.status(owner, Method::get, at("theirs/app", blob)) == 200);
  REQUIRE(w.status(owner, Method::get, at("theirs/app", by_digest)) == 200);
  for (const std::string& what : {blob, by_digest, by_tag}) {
    INFO(what);
    CHECK(w.status(owner, Method::get, at("private/app", what)) == 404);
    CHECK(w.status(owner, Method::head, at("private/app", what)) == 404);
  }
}

// zot CVE-2026-31801: whoever might only add tags moved `latest`.
TEST_CASE("who may push and not overwrite moves no tag, however it is pushed") {
  Registries w;
  const std::string body = berth::test::TestRegistry::image_manifest({"config"}, "y");
  const std::string digest = oci::sha256(body).to_string();
  const Shown pusher = Registries::as("pusher");
  const Shown asked = bearer(w.access_token(pusher, "repository:private/app:pull,push,overwrite,*"));
  for (const Shown& who : {pusher, asked}) {
    CHECK(w.put(who, "latest", "y") == 403);
    CHECK(w.put(who, digest + "?tag=latest", "y") == 403);
    CHECK(w.put(who, digest + "?tag=fresh&tag=latest", "y") == 403);
    CHECK(w.status(who, Method::get, "/v2/private/app/manifests/fresh") == 404);  // all tags or none
    CHECK(w.send(who, Method::get, "/v2/private/app/manifests/latest").headers.get("Docker-Content-Digest") == w.manifest);
  }
  CHECK(w.put(pusher, "fresh", "y") == 201);
  CHECK(w.put(pusher, "fresh", "y") == 201);  // no move
  CHECK(w.put(pusher, "fresh", "z") == 403);
  CHECK(w.put(bearer(w.access_token(Registries::as("owner"), "repository:private/app:pull,push")), "latest", "y") == 201);
}

// zot GHSA-qg67-7m6v-qg25: a token for pushes deleted.
TEST_CASE("the right to push is no right to delete") {
  Registries w;
  const Shown pusher = Registries::as("pusher");
  const Shown asked = bearer(w.access_token(pusher, "repository:private/app:pull,push,delete,*"));
  const Shown narrow = bearer(w.access_token(Registries::as("owner"), "repository:private/app:pull,push"));
  struct Row {
    Shown who;
    unsigned refused;
  };
  for (const Row& row : {Row{pusher, 403}, Row{asked, 401}, Row{narrow, 401}}) {
    CHECK(w.status(row.who, Method::delete_, "/v2/private/app/manifests/latest") == row.refused);
    CHECK(w.status(row.who, Method::delete_, "/v2/private/app/manifests/" + w.manifest) == row.refused);
    CHECK(w.status(row.who, Method::delete_, "/v2/private/app/blobs/" + kLayerDigest) == row.refused);
    CHECK(w.status(row.who, Method::delete_, "/api/v1/repositories/private/app") == row.refused);
  }
  CHECK(w.status(Registries::as("owner"), Method::get, "/v2/private/app/manifests/latest") == 200);
}

// Quay CVE-2026-32589: upload sessions of others were within reach of whoever had their id.
TEST_CASE("an upload is within reach of who began it, and of nobody else who may push there") {
  Registries w;
  const Response session = w.send(Registries::as("owner"), Method::post, "/v2/private/app/blobs/uploads/");
  const std::string at(session.headers.get("Location"));
  const std::string id(session.headers.get("Docker-Upload-UUID"));
  w.grant("user:owner", "theirs/**", "maintainer");
  const Shown pusher = Registries::as("pusher"), owner = Registries::as("owner");
  for (const auto& [who, where] : {std::pair{pusher, at}, std::pair{owner, "/v2/theirs/app/blobs/uploads/" + id}}) {
    CHECK(w.status(who, Method::get, where) == 404);
    CHECK(w.status(who, Method::patch, where, {.body = "x"}) == 404);
    CHECK(w.status(who, Method::put, where + "?digest=" + oci::sha256("x").to_string(), {.body = "x"}) == 404);
    CHECK(w.status(who, Method::delete_, where) == 404);
  }
  CHECK(w.status(owner, Method::get, at) == 204);
  // Its own token is the owner too.
  CHECK(w.status(bearer(w.access_token(owner, "repository:private/app:pull,push")), Method::get, at) == 204);
}

// Gitea CVE-2025-68944 and CVE-2026-24791: a limited token, exchanged for one of the registry's, was limited no more.
TEST_CASE("no exchange widens a credential") {
  Registries w;
  const registry::Ceiling only_pull = std::vector{registry::CeilingEntry{{"private/app"}, registry::action::pull}};
  REQUIRE(w.registry.push_image("private/other", "latest", {"config"}).has_value());
  const Shown limited = bearer(w.add_token("owner", only_pull));
  const Shown exchanged =
      bearer(w.access_token(limited, "repository:private/app:pull,push,delete repository:private/other:pull,push registry:catalog:*"));
  for (const Shown& who : {limited, exchanged}) {
    CHECK(w.status(who, Method::get, "/v2/private/app/manifests/latest") == 200);
    CHECK(w.status(who, Method::get, "/v2/private/other/manifests/latest") / 100 == 4);
    CHECK(w.put(who, "v2") / 100 == 4);
    CHECK(w.status(who, Method::delete_, "/v2/private/app/manifests/latest") / 100 == 4);
    CHECK(AccessWorld::text(w.send(who, Method::get, "/v2/_catalog")) == R"({"repositories":["private/app"]})");
  }
}

// distribution CVE-2023-2253: the size of a page was allocated as it was asked for.
TEST_CASE("a page is no larger than the registry says") {
  ServiceOptions options;
  options.page_entries_max = 1;
  Registries w(options);
  const Shown owner = Registries::as("owner");
  REQUIRE(w.registry.push_image("private/app", "another", {"config"}).has_value());
  REQUIRE(w.registry.push_image("private/zoo", "v1", {"config"}).has_value());
  for (const char* n : {"2", "9223372036854775807", "18446744073709551615", "18446744073709551616",
                        "18446744073709551617", "99999999999999999999999999"}) {
    INFO(n);
    const Response catalog = w.send(owner, Method::get, std::string("/v2/_catalog?n=") + n);
    CHECK(AccessWorld::text(catalog) == R"({"repositories":["private/app"]})");
    CHECK(catalog.headers.has("Link"));
    const Response tags = w.send(owner, Method::get, std::string("/v2/private/app/tags/list?n=") + n);
    CHECK(AccessWorld::text(tags) == R"({"name":"private/app","tags":["another"]})");
    CHECK(tags.headers.has("Link"));
    CHECK(w.status(owner, Method::get, "/v2/private/app/referrers/" + w.manifest + "?n=" + n) == 200);
  }
}

// Gitea CVE-2026-27771 (private images for everybody) beside what lists give away.
TEST_CASE("nobody learns of a private repository by the ways around it") {
  Registries w;
  const Shown stranger = Registries::as("stranger");
  CHECK(AccessWorld::text(w.send(stranger, Method::get, "/v2/_catalog")) == R"({"repositories":["theirs/app"]})");
  // One page after another: no Link leads past what is shown.
  CHECK_FALSE(w.send(stranger, Method::get, "/v2/_catalog?n=1").headers.has("Link"));
  CHECK_FALSE(w.send(stranger, Method::get, "/v2/_catalog?n=1&last=a").headers.has("Link"));
  // Names that are there, are not there, or cannot be: the same.
  for (const char* name : {"private/app", "private/none", "none"}) {
    INFO(name);
    const std::string path = std::string("/v2/") + name;
    for (const std::string& what : {std::string("/tags/list"), "/referrers/" + w.manifest, std::string("/manifests/latest"),
                                    "/manifests/" + w.manifest, "/blobs/" + kLayerDigest}) {
      INFO(what);
      CHECK(w.status({}, Method::get, path + what) == 401);
      CHECK(w.status(stranger, Method::get, path + what) == 403);
      CHECK(w.status(bearer(w.access_token({}, std::string("repository:") + name + ":pull")), Method::get, path + what) == 401);
    }
  }
}

// Harbor CVE-2026-4404: it came with an administrator whose password everybody knew.
TEST_CASE("a registry that nobody was let into lets nobody in") {
  AccessWorld w;
  for (const char* user : {"admin", "root", "berth", "administrator", "user", ""}) {
    for (const char* password : {"admin", "root", "berth", "password", "Harbor12345", "admin123", ""}) {
      INFO(user << ':' << password);
      const Response answer = w.send(basic(user, password), Method::get, "/v2/_catalog");
      CHECK((answer.status == 401 || answer.status == 429));
    }
  }
  const auto policy = w.must(w.access().policy());
  CHECK(policy->size() == 1);  // whoever has the data directory
}

// zot CVE-2025-48374: secrets were written to the log.
TEST_CASE("no secret gets into the log, wherever it was sent") {
  Registries w;
  const std::string token = w.access_token(Registries::as("owner"), "repository:private/app:pull");
  const std::string personal = w.add_token("owner");
  const std::string secret = "a-password-of-somebody";
  const int file = ::memfd_create("log", MFD_CLOEXEC);
  REQUIRE(file >= 0);
  log::setup(log::Level::trace, log::Format::json, file);
  const std::string path = "/v2/private/app/manifests/latest";
  for (const Shown& shown : {basic("owner", secret), basic("nobody", secret), basic("x", personal), bearer(personal),
                             bearer(token), bearer(secret), Shown{.authorization = "Digest " + secret}, Shown{}}) {
    w.send(shown, Method::get, path);
    w.send(shown, Method::get, path + "?password=" + secret + "&refresh_token=" + personal + "&token=" + token);
    w.send(shown, Method::get, "/token?password=" + secret + "&scope=" + secret + "&service=" + secret);
    w.send(shown, Method::post, "/token?refresh_token=" + personal,
           {.body = "grant_type=password&username=owner&password=" + secret + "&refresh_token=" + personal + "&subject_token=" + token,
            .headers = {{"Content-Type", "application/x-www-form-urlencoded"}}});
    w.send(shown, Method::post, "/token",
           {.body = "grant_type=password&username=owner&password=" + secret,
            .headers = {{"Content-Type", "application/x-www-form-urlencoded"}}});
    w.send(shown, Method::post, "/token",
           {.body = "grant_type=refresh_token&refresh_token=" + personal,
            .headers = {{"Content-Type", "application/x-www-form-urlencoded"}}});
  }
  CHECK(log::flush(std::chrono::seconds(5)));
  log::shutdown();
  std::string written(static_cast<std::size_t>(::lseek(file, 0, SEEK_END)), '\0');
  REQUIRE(::pread(file, written.data(), written.size(), 0) == static_cast<ssize_t>(written.size()));
  ::close(file);
  CHECK(written.find("get_manifest") != std::string::npos);
  CHECK(written.find("/token") != std::string::npos);
  for (const std::string& one : {secret, personal, token, encode_base64(as_bytes("owner:" + secret))}) {
    const std::size_t at = written.find(one);
    INFO(written.substr(at == std::string::npos ? 0 : at - std::min<std::size_t>(at, 300), 400));
    CHECK(at == std::string::npos);
  }
}

// Addresses that a client says itself count for nothing: else each guess would be somebody else's.
TEST_CASE("who guesses passwords is known by where the guesses come from, whatever headers say") {
  Registries w;
  int refused = 0;
  for (int i = 0; i < 12; ++i) {
    const std::string address = "203.0.113." + std::to_string(i);
    const Response answer = w.send(basic("owner", "wrong"), Method::get, "/v2/",
                                   {.headers = {{"X-Forwarded-For", address}, {"X-Real-IP", address}, {"Forwarded", "for=" + address}}});
    refused += answer.status == 429 ? 1 : 0;
    if (answer.status == 429) CHECK(answer.headers.has("Retry-After"));
  }
  CHECK(refused > 0);
}

}  // namespace berth::api::test
