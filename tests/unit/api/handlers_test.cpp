// What handlers make of the registry's answers, the rare ones included.
#include <catch2/catch.hpp>

#include "tests/unit/api/exchange.h"

namespace berth::api::test {
namespace {

const std::string kHello = "hello world";
const oci::Digest kDigest = oci::sha256(kHello);
const std::string kText = kDigest.to_string();
const std::string kBlob = "/v2/a/blobs/" + kText;

Error lost() { return make_error(ErrorCode::aborted, ""); }

TEST_CASE("every answer below /v2 carries the common headers") {
  Exchange x;
  for (const char* target : {"/v2/", "/v2", "/v2/?ns=docker.io", "/v2/nowhere", "/v2/A/tags/list"}) {
    INFO(target);
    x.send(Method::get, target);
    CHECK(x.header("Docker-Distribution-API-Version") == "registry/2.0");
    CHECK(x.header("X-Content-Type-Options") == "nosniff");
    CHECK(x.header("Content-Security-Policy") == "default-src 'none'");
    CHECK(x.header("X-Request-Id").size() == 36);
  }
  x.send(Method::get, "/v2x/");
  CHECK(x.header("Docker-Distribution-API-Version").empty());
  CHECK(x.response.status == 404);
  CHECK(x.code() == "UNSUPPORTED");
}

TEST_CASE("whoever sends a blob can tell that its file could not be read") {
  Exchange x;
  x.registry.blobs[kText] = "0123456789";
  for (const char* range : {"", "bytes=1-2", "bytes=1-2,4-5"}) {
    INFO(range);
    x.registry.unreadable_reports = 0;
    x.send(Method::get, kBlob, {.headers = {{"Range", range}}});
    REQUIRE(x.response.on_unreadable);
    x.response.on_unreadable();
    CHECK(x.registry.unreadable_reports == 1);
  }
}

TEST_CASE("an incoming request id is not taken over") {
  Exchange x;
  x.send(Method::get, "/v2/", {.headers = {{"X-Request-Id", "chosen"}}});
  CHECK(x.header("X-Request-Id") != "chosen");
}

TEST_CASE("before the registry is there only health answers") {
  Exchange x({}, false);
  CHECK(x.send(Method::get, "/startupz").status == 503);
  CHECK(x.send(Method::get, "/livez").status == 200);
  CHECK(x.send(Method::get, "/v2/").status == 503);
  CHECK(x.code() == "UNAVAILABLE");
  CHECK(x.header("Retry-After") == "1");
  CHECK(x.send(Method::get, "/nowhere").status == 404);
}

TEST_CASE("health follows the life of the process") {
  Exchange x;
  CHECK(x.send(Method::get, "/readyz").status == 503);
  CHECK(x.text() == "the registry is starting\n");
  CHECK(x.send(Method::get, "/startupz").status == 503);
  CHECK(x.text() == "the registry is starting\n");
  x.lifecycle.started = true;
  CHECK(x.send(Method::get, "/readyz").status == 200);
  CHECK(x.text() == "ok\n");
  CHECK(x.header("Content-Type") == "text/plain");
  CHECK(x.send(Method::get, "/startupz").status == 200);
  x.lifecycle.draining = true;
  CHECK(x.send(Method::get, "/readyz").status == 503);
  CHECK(x.text() == "the registry is stopping\n");
  CHECK(x.send(Method::get, "/startupz").status == 200);
  x.lifecycle.loop_heartbeat_ms = 1'000'000 - 9'999;
  CHECK(x.send(Method::get, "/livez").status == 200);
  x.lifecycle.loop_heartbeat_ms = 1'000'000 - 10'000;
  CHECK(x.send(Method::get, "/livez").status == 503);
  x.registry.full = true;
  x.lifecycle.draining = false;
  CHECK(x.send(Method::get, "/readyz").status == 200);
}

TEST_CASE("a foreign host is refused before anything else on loopback") {
  Exchange x;
  x.send(Method::delete_, kBlob, {.headers = {{"Host", "evil.example"}}, .loopback = true});
  CHECK(x.response.status == 403);
  CHECK(x.code() == "DENIED");
  CHECK(x.registry.calls.empty());
  x.send(Method::get, "/v2/", {.headers = {{"Host", "evil.example"}}, .loopback = false});
  CHECK(x.response.status == 200);
}

TEST_CASE("a thrown exception is a 500 without its words") {
  Exchange x;
  x.registry.throws = true;
  x.send(Method::get, kBlob);
  CHECK(x.response.status == 500);
  CHECK(x.code() == "UNKNOWN");
  CHECK(x.text().find("library") == std::string::npos);
  CHECK(x.response.log_detail.find("a library threw") != std::string::npos);
}

TEST_CASE("each error of the registry has its status on every route") {
  struct Case {
    ErrorCode code;
    unsigned status;
    std::string wire;
    std::string retry_after;
  };
  const std::vector<Case> cases = {
      {ErrorCode::storage_full, 503, "UNAVAILABLE", "5"}, {ErrorCode::unavailable, 503, "UNAVAILABLE", "1"},
      {ErrorCode::io_error, 500, "UNKNOWN", ""},          {ErrorCode::corrupt, 500, "UNKNOWN", ""},
      {ErrorCode::denied, 403, "DENIED", ""},
  };
  const std::vector<std::pair<Method, std::string>> requests = {
      {Method::get, kBlob},
      {Method::head, kBlob},
      {Method::delete_, kBlob},
      {Method::get, "/v2/a/manifests/v1"},
      {Method::put, "/v2/a/manifests/v1"},
      {Method::delete_, "/v2/a/manifests/v1"},
      {Method::delete_, "/v2/a/manifests/" + kText},
      {Method::post, "/v2/a/blobs/uploads/"},
      {Method::post, "/v2/a/blobs/uploads/?mount=" + kText},
      {Method::post, "/v2/a/blobs/uploads/?digest=" + kText},
      {Method::patch, "/v2/a/blobs/uploads/id"},
      {Method::put, "/v2/a/blobs/uploads/id?digest=" + kText},
      {Method::get, "/v2/a/blobs/uploads/id"},
      {Method::delete_, "/v2/a/blobs/uploads/id"},
      {Method::get, "/v2/a/tags/list"},
      {Method::get, "/v2/_catalog"},
      {Method::get, "/v2/a/referrers/" + kText},
      {Method::delete_, "/api/v1/repositories/a"},
  };
  for (const Case& row : cases) {
    for (const auto& [method, target] : requests) {
      INFO(to_string(row.code) << " " << to_string(method) << " " << target);
      Exchange x;
      x.registry.fails = make_error(row.code, "sorry", "log only");
      x.send(method, target);
      CHECK(x.response.status == row.status);
      CHECK(x.code() == row.wire);
      CHECK(x.header("Retry-After") == row.retry_after);
      CHECK(x.header("Docker-Content-Digest").empty());
      CHECK(x.text().find("log only") == std::string::npos);
    }
  }
}

TEST_CASE("a deletion that is switched off is a 405 that does not offer it") {
  Exchange x;
  x.registry.fails = make_error(ErrorCode::method_not_allowed, "deletion is off");
  x.send(Method::delete_, "/v2/a/manifests/v1");
  CHECK(x.response.status == 405);
  CHECK(x.code() == "UNSUPPORTED");
  CHECK(x.header("Allow") == "GET, HEAD, PUT");
  x.send(Method::delete_, kBlob);
  CHECK(x.header("Allow") == "GET, HEAD");
}

TEST_CASE("blob reads") {
  Exchange x;
  x.registry.blobs[kText] = kHello;
  struct Case {
    std::string name;
    std::vector<std::pair<std::string, std::string>> headers;
    unsigned status;
    std::string body;
    std::string content_range;
  };
  const std::vector<Case> cases = {
      {"whole", {}, 200, kHello, ""},
      {"first", {{"Range", "bytes=0-4"}}, 206, "hello", "bytes 0-4/11"},
      {"open", {{"Range", "bytes=6-"}}, 206, "world", "bytes 6-10/11"},
      {"suffix", {{"Range", "bytes=-5"}}, 206, "world", "bytes 6-10/11"},
      {"clamped", {{"Range", "bytes=6-999"}}, 206, "world", "bytes 6-10/11"},
      {"long suffix", {{"Range", "bytes=-999"}}, 206, kHello, "bytes 0-10/11"},
      {"another unit", {{"Range", "lines=1-2"}}, 200, kHello, ""},
      {"If-Range holds", {{"Range", "bytes=0-4"}, {"If-Range", '"' + kText + '"'}}, 206, "hello", "bytes 0-4/11"},
      {"If-Range fails", {{"Range", "bytes=0-4"}, {"If-Range", "\"x\""}}, 200, kHello, ""},
      {"If-None-Match", {{"If-None-Match", '"' + kText + '"'}}, 304, "", ""},
      {"If-Match fails", {{"If-Match", "\"x\""}}, 412, "-", ""},
      {"past the end", {{"Range", "bytes=11-"}}, 416, "-", "bytes */11"},
      {"backwards", {{"Range", "bytes=5-0"}}, 416, "-", "bytes */11"},
  };
  for (const Case& row : cases) {
    INFO(row.name);
    x.send(Method::get, kBlob, {.headers = row.headers});
    CHECK(x.response.status == row.status);
    if (row.body != "-") CHECK(x.text() == row.body);
    CHECK(x.header("Content-Range") == row.content_range);
    const bool good = row.status < 400;
    CHECK(x.header("Docker-Content-Digest") == (good ? kText : ""));
    CHECK(x.header("ETag") == (good ? '"' + kText + '"' : ""));
    if (row.status == 416) CHECK(x.code() == "RANGE_INVALID");
  }
  x.send(Method::head, kBlob, {.headers = {{"Range", "bytes=0-4"}}});
  CHECK(x.response.status == 200);
  CHECK(x.response.body_size() == kHello.size());
  CHECK(x.header("Accept-Ranges") == "bytes");
  CHECK(x.header("Content-Disposition") == "attachment");
  CHECK(x.registry.calls.back() == "blob_size");
}

TEST_CASE("several ranges are as many parts, in the order of the request") {
  Exchange x;
  x.registry.blobs[kText] = kHello;
  x.send(Method::get, kBlob, {.headers = {{"Range", "bytes=6-7, 0-1,0-0"}}});
  CHECK(x.response.status == 206);
  const std::string boundary = "berth" + kDigest.hex().substr(0, 32);
  CHECK(x.header("Content-Type") == "multipart/byteranges; boundary=" + boundary);
  const auto part = [&](const std::string& range, const std::string& bytes) {
    return "--" + boundary + "\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes " + range +
           "/11\r\n\r\n" + bytes + "\r\n";
  };
  const std::string expected = part("6-7", "wo") + part("0-1", "he") + part("0-0", "h") + "--" + boundary + "--\r\n";
  CHECK(x.text() == expected);
  CHECK(x.response.body_size() == expected.size());
  CHECK(x.header("Content-Range").empty());

  ServiceOptions few;
  few.ranges_max = 2;
  Exchange y(few);
  y.registry.blobs[kText] = kHello;
  y.send(Method::get, kBlob, {.headers = {{"Range", "bytes=0-0,1-1,2-2"}}});
  CHECK(y.response.status == 200);
}

TEST_CASE("an upload from start to end") {
  Exchange x;
  x.send(Method::post, "/v2/a/blobs/uploads/");
  CHECK(x.response.status == 202);
  CHECK(x.header("Location") == "/v2/a/blobs/uploads/new-id");
  CHECK(x.header("Docker-Upload-UUID") == "new-id");
  CHECK(x.header("Range") == "0-0");
  x.send(Method::patch, "/v2/a/blobs/uploads/new-id", {.body = {"hello", " "}});
  CHECK(x.response.status == 202);
  CHECK(x.header("Range") == "0-5");
  CHECK(x.header("Location") == "/v2/a/blobs/uploads/new-id");
  CHECK(x.registry.superseded);
  x.send(Method::get, "/v2/a/blobs/uploads/new-id?digest=left-over");
  CHECK(x.response.status == 204);
  CHECK(x.header("Range") == "0-5");
  CHECK(x.response.body.empty());
  x.send(Method::put, "/v2/a/blobs/uploads/new-id?digest=" + kText, {.body = {"world"}});
  CHECK(x.response.status == 201);
  CHECK(x.header("Location") == kBlob);
  CHECK(x.header("Docker-Content-Digest") == kText);
  CHECK(x.response.body_size() == 0);
  CHECK(x.registry.blobs.at(kText) == kHello);
}

TEST_CASE("a chunk is judged before its first byte is read") {
  struct Case {
    std::string name;
    std::string range;
    std::string body;
    unsigned status;
    int reads;
    std::string kept;  ///< what the session holds afterwards
  };
  const std::vector<Case> cases = {
      {"in place", "5-9", "12345", 202, 2, "abcde12345"},
      {"docker's form", "bytes 5-9", "12345", 202, 2, "abcde12345"},
      {"repeated", "0-4", "abcde", 416, 0, "abcde"},
      {"ahead", "6-10", "12345", 416, 0, "abcde"},
      {"no range", "five", "12345", 416, 0, "abcde"},
      {"backwards", "9-5", "12345", 416, 0, "abcde"},
      {"open", "5-", "12345", 416, 0, "abcde"},
      {"longer than the body", "5-10", "12345", 400, 0, "abcde"},
      {"shorter than the body", "5-8", "12345", 400, 0, "abcde"},
  };
  for (const Method method : {Method::patch, Method::put}) {
    for (const Case& row : cases) {
      INFO(to_string(method) << " " << row.name);
      Exchange x;
      x.registry.sessions["id"] = "abcde";
      const bool put = method == Method::put;
      const std::string digest = oci::sha256("abcde12345").to_string();
      x.send(method, "/v2/a/blobs/uploads/id" + (put ? "?digest=" + digest : ""),
             {.headers = {{"Content-Range", row.range}}, .body = {row.body}});
      CHECK(x.response.status == (put && row.status == 202 ? 201 : row.status));
      CHECK(x.body_reads == row.reads);
      if (put && row.status == 202) {
        CHECK(x.registry.blobs.at(digest) == row.kept);
      } else {
        CHECK(x.registry.sessions.at("id") == row.kept);
      }
      if (row.status == 416) {
        CHECK(x.code() == "RANGE_INVALID");
        CHECK(x.header("Range") == "0-4");
        CHECK(x.header("Location") == "/v2/a/blobs/uploads/id");
      }
      if (row.status == 400) CHECK(x.code() == "SIZE_INVALID");
    }
  }
}

TEST_CASE("a chunked body must have the bytes its Content-Range says") {
  for (const auto& [name, pieces] : std::vector<std::pair<std::string, std::deque<FakeBody::Piece>>>{
           {"more", {"123", "456"}}, {"fewer", {"12"}}}) {
    INFO(name);
    Exchange x;
    x.registry.sessions["id"] = "abcde";
    x.send(Method::patch, "/v2/a/blobs/uploads/id",
           {.headers = {{"Content-Range", "5-9"}}, .body = pieces, .chunked = true});
    CHECK(x.response.status == 400);
    CHECK(x.code() == "SIZE_INVALID");
    CHECK(x.registry.sessions.at("id") == "abcde");
  }
}

TEST_CASE("a client that is lost keeps its bytes and gets no answer") {
  Exchange x;
  x.registry.sessions["id"] = "abcde";
  x.send(Method::patch, "/v2/a/blobs/uploads/id", {.body = {"12", lost()}, .content_length = 5});
  CHECK(x.response.status == kNoAnswer);
  CHECK(x.response.close);
  CHECK(x.response.headers.items().empty());
  CHECK(x.registry.sessions.at("id") == "abcde12");
  CHECK(x.registry.calls.back() == "flush");
}

TEST_CASE("a client that is too slow keeps its bytes and is sent away") {
  Exchange x;
  x.registry.sessions["id"] = "";
  x.send(Method::patch, "/v2/a/blobs/uploads/id",
         {.body = {"12", make_error(ErrorCode::request_timeout, "too slow")}, .content_length = 5});
  CHECK(x.response.status == 408);
  CHECK(x.response.close);
  CHECK(x.registry.sessions.at("id") == "12");
}

TEST_CASE("a body with broken framing changes nothing") {
  Exchange x;
  x.registry.sessions["id"] = "abcde";
  x.send(Method::patch, "/v2/a/blobs/uploads/id",
         {.body = {"12", make_error(ErrorCode::size_invalid, "bad chunk")}, .chunked = true});
  CHECK(x.response.status == 400);
  CHECK(x.registry.sessions.at("id") == "abcde");
}

TEST_CASE("closing an upload needs a digest, and without one the session lives") {
  Exchange x;
  x.registry.sessions["id"] = kHello;
  for (const char* query : {"", "?digest=", "?digest=sha256:abc", "?digest=hello", "?digest=md5:abcd"}) {
    INFO(query);
    x.send(Method::put, "/v2/a/blobs/uploads/id" + std::string(query), {.body = {"more"}});
    CHECK(x.response.status == 400);
    CHECK(x.code() == "DIGEST_INVALID");
    CHECK(x.body_reads == 0);
    CHECK(x.registry.sessions.at("id") == kHello);
  }
  x.send(Method::put, "/v2/a/blobs/uploads/id?digest=" + oci::sha256("other").to_string());
  CHECK(x.response.status == 400);
  CHECK(x.code() == "DIGEST_INVALID");
  CHECK(x.registry.sessions.empty());
  x.send(Method::put, "/v2/a/blobs/uploads/id?digest=" + kText);
  CHECK(x.response.status == 404);
  CHECK(x.code() == "BLOB_UPLOAD_UNKNOWN");
}

TEST_CASE("a whole blob in one POST leaves no session behind, whatever goes wrong") {
  const std::string target = "/v2/a/blobs/uploads/?digest=" + kText;
  {
    Exchange x;
    x.send(Method::post, target, {.body = {"hello ", "world"}});
    CHECK(x.response.status == 201);
    CHECK(x.header("Location") == kBlob);
    CHECK(x.registry.calls.front() == "start_upload sha256 single");
  }
  {
    Exchange x;
    x.send(Method::post, target, {.body = {"something else"}});
    CHECK(x.response.status == 400);
    CHECK(x.code() == "DIGEST_INVALID");
    CHECK(x.registry.sessions.empty());
  }
  {
    Exchange x;  // without a body the digest of a blob that exists elsewhere proves nothing
    x.registry.blobs[kText] = kHello;
    x.send(Method::post, target);
    CHECK(x.response.status == 400);
  }
  {
    Exchange x;
    x.send(Method::post, target, {.body = {"hello", lost()}, .content_length = 11});
    CHECK(x.response.status == kNoAnswer);
    CHECK(x.registry.sessions.empty());
  }
  {
    Exchange x;
    x.registry.append_fails = make_error(ErrorCode::storage_full, "full");
    x.send(Method::post, target, {.body = {kHello}});
    CHECK(x.response.status == 503);
    CHECK(x.registry.sessions.empty());
  }
  {
    Exchange x;
    x.send(Method::post, "/v2/a/blobs/uploads/?digest=" + oci::sha256("").to_string(), {.chunked = true});
    CHECK(x.response.status == 201);
  }
}

TEST_CASE("a full disk refuses before the body and keeps the session") {
  Exchange x;
  x.registry.full = true;
  x.registry.sessions["id"] = "abc";
  x.send(Method::patch, "/v2/a/blobs/uploads/id", {.body = {"def"}});
  CHECK(x.response.status == 503);
  CHECK(x.header("Retry-After") == "5");
  CHECK(x.body_reads == 0);
  CHECK(x.registry.sessions.at("id") == "abc");
  x.registry.full = false;
  x.registry.append_fails = make_error(ErrorCode::storage_full, "full");
  x.send(Method::patch, "/v2/a/blobs/uploads/id", {.body = {"def"}});
  CHECK(x.response.status == 503);
  CHECK(x.registry.sessions.at("id") == "abc");
}

TEST_CASE("a blob that is too large is refused as soon as its length is known") {
  ServiceOptions options;
  options.blob_bytes_max = 10;
  Exchange x(options);
  x.registry.sessions["id"] = "12345678";
  x.send(Method::patch, "/v2/a/blobs/uploads/id", {.body = {"9ab"}});
  CHECK(x.response.status == 403);
  CHECK(x.code() == "DENIED");
  CHECK(x.body_reads == 0);
  x.send(Method::patch, "/v2/a/blobs/uploads/id", {.body = {"9a"}});
  CHECK(x.response.status == 202);
  x.send(Method::post, "/v2/a/blobs/uploads/?digest=" + kText, {.body = {kHello}});
  CHECK(x.response.status == 403);
}

TEST_CASE("a mount that does not happen opens a session") {
  struct Case {
    std::string query;
    unsigned status;
    std::string call;  ///< the last one
  };
  const std::string sha512 = oci::hash(oci::Algorithm::sha512, as_bytes("x")).to_string();
  const std::vector<Case> cases = {
      {"mount=" + kText + "&from=b", 201, "mount_blob b"},
      {"mount=" + kText, 201, "mount_blob anywhere"},
      {"mount=" + oci::sha256("absent").to_string() + "&from=b", 202, "start_upload sha256"},
      {"mount=sha256:bad&from=b", 202, "start_upload sha256"},
      {"mount=&from=b", 202, "start_upload sha256"},
      {"mount=" + kText + "&from=UPPER", 202, "start_upload sha256"},
      {"mount=" + kText + "&from=../b", 202, "start_upload sha256"},
      {"mount=" + sha512 + "&from=b", 202, "start_upload sha512"},
      {"mount=" + oci::sha256("absent").to_string() + "&digest-algorithm=sha512", 202, "start_upload sha512"},
  };
  for (const Case& row : cases) {
    INFO(row.query);
    Exchange x;
    x.registry.blobs[kText] = kHello;
    x.send(Method::post, "/v2/a/blobs/uploads/?" + row.query + "&origin=ignored");
    CHECK(x.response.status == row.status);
    CHECK(x.registry.calls.back() == row.call);
    CHECK(x.header("Location") == (row.status == 201 ? kBlob : "/v2/a/blobs/uploads/new-id"));
  }
}

TEST_CASE("a session hashes with the algorithm that was asked for") {
  Exchange x;
  x.send(Method::post, "/v2/a/blobs/uploads/?digest-algorithm=sha512");
  CHECK(x.response.status == 202);
  CHECK(x.registry.calls.back() == "start_upload sha512");
  for (const char* bad : {"blake3", "", "SHA256", "sha256:"}) {
    INFO(bad);
    x.send(Method::post, "/v2/a/blobs/uploads/?digest-algorithm=" + std::string(bad));
    CHECK(x.response.status == 400);
    CHECK(x.code() == "DIGEST_INVALID");
  }
  x.send(Method::post, "/v2/a/blobs/uploads/?digest-algorithm=sha512&digest=" + kText, {.body = {kHello}});
  CHECK(x.response.status == 400);
}

TEST_CASE("manifests are read as they are stored") {
  Exchange x;
  auto answer = std::make_shared<registry::ManifestAnswer>();
  answer->digest = oci::sha256("{}");
  answer->media_type = "application/vnd.oci.image.index.v1+json";
  answer->bytes = "{}";
  x.registry.manifests["v1"] = answer;
  x.send(Method::get, "/v2/a/manifests/v1", {.headers = {{"Accept", "text/html"}, {"Range", "bytes=0-0"}}});
  CHECK(x.response.status == 200);
  CHECK(x.text() == "{}");
  CHECK(x.header("Content-Type") == answer->media_type);
  CHECK(x.header("Docker-Content-Digest") == answer->digest.to_string());
  CHECK(x.header("ETag") == '"' + answer->digest.to_string() + '"');
  CHECK(x.registry.counted_pull);
  x.send(Method::head, "/v2/a/manifests/v1");
  CHECK(x.response.body_size() == 2);
  CHECK_FALSE(x.registry.counted_pull);
  x.send(Method::get, "/v2/a/manifests/v1", {.headers = {{"If-None-Match", answer->digest.to_string()}}});
  CHECK(x.response.status == 304);
  CHECK(x.response.body.empty());
  CHECK(x.header("Docker-Content-Digest") == answer->digest.to_string());
  CHECK(x.header("ETag") == '"' + answer->digest.to_string() + '"');
  x.send(Method::get, "/v2/a/manifests/v2");
  CHECK(x.code() == "MANIFEST_UNKNOWN");
}

TEST_CASE("a manifest is pushed with all that its request says") {
  Exchange x;
  const std::string body = R"({"schemaVersion":2})";
  const std::string digest = oci::sha256(body).to_string();
  x.registry.put_subject = "sha256:ff";
  x.send(Method::put, "/v2/a/manifests/" + digest + "?tag=one&tag=two&tag=one",
         {.headers = {{"Content-Type", "application/x; charset=utf-8"}, {"If-Match", "*"}}, .body = {body}});
  CHECK(x.response.status == 201);
  CHECK(x.header("Location") == "/v2/a/manifests/" + digest);
  CHECK(x.header("Docker-Content-Digest") == digest);
  CHECK(x.header("OCI-Subject") == "sha256:ff");
  CHECK(x.response.headers.all("OCI-Tag") == std::vector<std::string_view>{"one", "two"});
  CHECK(x.registry.put->body == body);
  CHECK(x.registry.put->content_type == "application/x; charset=utf-8");
  REQUIRE(x.registry.put->extra_tags.size() == 2);
  CHECK(x.registry.put->extra_tags[0].may_overwrite);
  CHECK(x.registry.put->extra_tags[1].may_overwrite);
  CHECK(x.registry.put->precondition.must_exist);

  x.registry.put_subject.reset();
  x.send(Method::put, "/v2/a/manifests/v1?digest=" + digest, {.body = {body}, .chunked = true});
  CHECK(x.response.status == 201);
  CHECK_FALSE(x.response.headers.has("OCI-Subject"));
  CHECK_FALSE(x.response.headers.has("OCI-Tag"));
  CHECK(x.registry.put->expected_digest->to_string() == digest);
  CHECK(x.registry.put->may_overwrite);
}

TEST_CASE("a manifest push that cannot be is refused before its body") {
  const std::string digest = oci::sha256("{}").to_string();
  std::string many;
  for (int i = 0; i < 101; ++i) many += "&tag=t" + std::to_string(i);
  struct Case {
    std::string target;
    std::vector<std::pair<std::string, std::string>> headers;
    unsigned status;
    std::string code;
  };
  const std::vector<Case> cases = {
      {"v1?tag=v2", {}, 400, "TAG_INVALID"},
      {digest + "?tag=.bad", {}, 400, "TAG_INVALID"},
      {digest + "?tag=good&tag=", {}, 400, "TAG_INVALID"},
      {digest + "?x=1" + many, {}, 414, "TAG_INVALID"},
      {"v1?digest=sha256:bad", {}, 400, "DIGEST_INVALID"},
      {"v1?digest=blake3:abcd", {}, 400, "DIGEST_INVALID"},
      {digest + "?digest=" + oci::sha256("x").to_string(), {}, 400, "DIGEST_INVALID"},
      {"v1", {{"If-None-Match", "\"x\""}}, 400, "UNSUPPORTED"},
      {".bad", {}, 400, "TAG_INVALID"},
      {"sha256:bad", {}, 400, "DIGEST_INVALID"},
  };
  for (const Case& row : cases) {
    INFO(row.target);
    Exchange x;
    x.send(Method::put, "/v2/a/manifests/" + row.target, {.headers = row.headers, .body = {"{}"}});
    CHECK(x.response.status == row.status);
    CHECK(x.code() == row.code);
    CHECK(x.body_reads == 0);
    CHECK(x.registry.calls.empty());
  }
}

TEST_CASE("a manifest that is too large is refused by its announced length or while it is counted") {
  ServiceOptions options;
  options.manifest_bytes_max = 10;
  Exchange x(options);
  x.send(Method::put, "/v2/a/manifests/v1", {.body = {std::string(11, ' ')}});
  CHECK(x.response.status == 413);
  CHECK(x.code() == "MANIFEST_INVALID");
  CHECK(x.body_reads == 0);
  x.send(Method::put, "/v2/a/manifests/v1", {.body = {"12345678", "9a", "b", "never read"}, .chunked = true});
  CHECK(x.response.status == 413);
  CHECK(x.body_reads == 3);
  CHECK(x.registry.calls.empty());
  x.send(Method::put, "/v2/a/manifests/v1", {.body = {"12345678", "9a"}, .chunked = true});
  CHECK(x.response.status == 201);
}

TEST_CASE("the manifests of all requests together are bounded") {
  ServiceOptions options;
  options.manifest_bodies_bytes_max = 10;
  Exchange x(options);
  x.send(Method::put, "/v2/a/manifests/v1", {.body = {std::string(11, ' ')}});
  CHECK(x.response.status == 503);
  for (int i = 0; i < 3; ++i) {  // what one took it gave back
    x.send(Method::put, "/v2/a/manifests/v1", {.body = {std::string(10, ' ')}});
    CHECK(x.response.status == 201);
  }
}

TEST_CASE("deletes pass their conditions on") {
  Exchange x;
  x.send(Method::delete_, "/v2/a/manifests/v1", {.headers = {{"If-Match", "\"" + kText + "\""}}});
  CHECK(x.response.status == 202);
  CHECK(x.registry.calls.back() == "delete_tag v1");
  CHECK(x.registry.asked_tags.all);
  CHECK(x.registry.asked_precondition.must_match == std::vector{kText});
  x.send(Method::delete_, "/v2/a/manifests/" + kText);
  CHECK(x.response.status == 202);
  CHECK(x.registry.calls.back() == "delete_manifest");
  x.registry.fails = make_error(ErrorCode::precondition_failed, "the tag moved");
  x.send(Method::delete_, "/v2/a/manifests/v1");
  CHECK(x.response.status == 412);
  CHECK(x.code() == "PRECONDITION_FAILED");
}

TEST_CASE("lists and their pages") {
  struct Case {
    std::string query;
    unsigned status;
    std::size_t n;
    std::string last;
    std::string body;
    std::string link;
  };
  ServiceOptions options;
  options.page_entries_max = 4;
  const std::string all = R"({"name":"t/x","tags":["a","b","c","d"]})";
  const std::vector<Case> cases = {
      {"", 200, 4, "", all, "</v2/t/x/tags/list?n=4&last=d>; rel=\"next\""},
      {"?n=2", 200, 2, "", R"({"name":"t/x","tags":["a","b"]})", "</v2/t/x/tags/list?n=2&last=b>; rel=\"next\""},
      {"?n=2&last=c", 200, 2, "c", R"({"name":"t/x","tags":["d","e"]})", ""},
      {"?last=d", 200, 4, "d", R"({"name":"t/x","tags":["e"]})", ""},
      {"?last=bb", 200, 4, "bb", R"({"name":"t/x","tags":["c","d","e"]})", ""},
      {"?n=0", 200, 0, "", R"({"name":"t/x","tags":[]})", ""},
      {"?n=5", 200, 4, "", all, "</v2/t/x/tags/list?n=4&last=d>; rel=\"next\""},
      {"?n=99999999999999999999999999", 200, 4, "", all, "</v2/t/x/tags/list?n=4&last=d>; rel=\"next\""},
      {"?n=1&ns=docker.io&x=%3E%0d", 200, 1, "", R"({"name":"t/x","tags":["a"]})",
       "</v2/t/x/tags/list?n=1&last=a&ns=docker.io&x=%3E%0D>; rel=\"next\""},
      {"?n=-1", 400, 0, "", "", ""},
      {"?n=", 400, 0, "", "", ""},
      {"?n=two", 400, 0, "", "", ""},
      {"?n=1.5", 400, 0, "", "", ""},
      {"?n=%2B1", 400, 0, "", "", ""},
      {"?n=+1", 400, 0, "", "", ""},
  };
  for (const Case& row : cases) {
    INFO(row.query);
    Exchange x(options);
    x.registry.tags = {"a", "b", "c", "d", "e"};
    x.send(Method::get, "/v2/t/x/tags/list" + row.query);
    CHECK(x.response.status == row.status);
    if (row.status == 400) {
      CHECK(x.code() == "PAGINATION_NUMBER_INVALID");
      CHECK(x.registry.calls.empty());
      continue;
    }
    CHECK(x.text() == row.body);
    CHECK(x.header("Link") == row.link);
    CHECK(x.registry.asked_n == row.n);
    CHECK(x.registry.asked_last == row.last);
    CHECK(x.header("Content-Type") == "application/json");
  }
}

TEST_CASE("the catalog") {
  Exchange x;
  x.send(Method::get, "/v2/_catalog");
  CHECK(x.registry.asked_n == 100);
  CHECK(x.text() == R"({"repositories":["a","b/c"]})");
  CHECK_FALSE(x.response.headers.has("Link"));
  x.send(Method::get, "/v2/_catalog?n=2");
  CHECK(x.header("Link") == "</v2/_catalog?n=2&last=b%2Fc>; rel=\"next\"");
  x.send(Method::get, "/v2/_catalog?n=4000000000");
  CHECK(x.registry.asked_n == 1000);
  CHECK(x.send(Method::get, "/v2/_catalog?n=-5").status == 400);
}

TEST_CASE("referrers") {
  Exchange x;
  const std::string path = "/v2/a/referrers/" + kText;
  const std::string head = R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[)";
  x.send(Method::get, path);
  CHECK(x.response.status == 200);
  CHECK(x.text() == head + "]}");
  CHECK(x.header("Content-Type") == "application/vnd.oci.image.index.v1+json");
  CHECK_FALSE(x.response.headers.has("OCI-Filters-Applied"));
  CHECK_FALSE(x.response.headers.has("Docker-Content-Digest"));

  x.registry.referrers = {R"({"digest":"a"})", R"({"digest":"b"})"};
  x.registry.referrers_cursor = "7.x";
  x.send(Method::get, path + "?artifactType=t%2Fone&artifactType=t/two&artifactType=&n=2&other=1");
  CHECK(x.text() == head + R"({"digest":"a"},{"digest":"b"}]})");
  CHECK(x.header("OCI-Filters-Applied") == "artifactType");
  CHECK(x.registry.asked_types == std::vector<std::string>{"t/one", "t/two"});
  CHECK(x.registry.asked_n == 2);
  CHECK(x.header("Link") == "</v2/a/referrers/" + kText +
                                "?n=2&last=7.x&artifactType=t%2Fone&artifactType=t%2Ftwo&artifactType=&other=1>; "
                                "rel=\"next\"");
  x.send(Method::get, path + "?last=7.x&artifactType=");
  CHECK(x.registry.asked_last == "7.x");
  CHECK_FALSE(x.response.headers.has("OCI-Filters-Applied"));
  CHECK(x.send(Method::get, path + "?n=x").status == 400);
}

TEST_CASE("a repository is deleted as a whole") {
  Exchange x;
  x.send(Method::delete_, "/api/v1/repositories/team/app");
  CHECK(x.response.status == 202);
  CHECK(x.registry.calls.back() == "delete_repository team/app");
  CHECK_FALSE(x.response.headers.has("Docker-Distribution-API-Version"));
  x.registry.fails = make_error(ErrorCode::repository_unknown, "no such repository");
  x.send(Method::delete_, "/api/v1/repositories/team/app");
  CHECK(x.response.status == 404);
  CHECK(x.code() == "NAME_UNKNOWN");
}

}  // namespace
}  // namespace berth::api::test
