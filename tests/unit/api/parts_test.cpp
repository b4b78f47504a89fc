// The small parts: query, errors, conditions, hosts, pages, the policy.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "api/conditions.h"
#include "api/errors.h"
#include "api/host_check.h"
#include "api/query.h"
#include "auth/policy.h"

namespace berth::api {
namespace {

TEST_CASE("a query is decoded once, keeps its order and repeats") {
  struct Case {
    std::string text;
    std::vector<std::pair<std::string, std::string>> expected;
  };
  const std::vector<Case> cases = {
      {"", {}},
      {"&&", {}},
      {"n=5&last=abc", {{"n", "5"}, {"last", "abc"}}},
      {"tag=a&tag=b&tag=a", {{"tag", "a"}, {"tag", "b"}, {"tag", "a"}}},
      {"digest=sha256%3Aab", {{"digest", "sha256:ab"}}},
      {"digest=sha256:ab", {{"digest", "sha256:ab"}}},
      {"artifactType=application%2Fx%2Bjson", {{"artifactType", "application/x+json"}}},
      {"a=b+c", {{"a", "b c"}}},
      {"a=b%2Bc", {{"a", "b+c"}}},
      {"a=%2541", {{"a", "%41"}}},
      {"flag", {{"flag", ""}}},
      {"=x", {{"", "x"}}},
      {"a=b=c", {{"a", "b=c"}}},
      {"a%3Db=c", {{"a=b", "c"}}},
      {"a=%00", {{"a", std::string(1, '\0')}}},
  };
  for (const Case& row : cases) {
    INFO(row.text);
    CHECK(Query::parse(row.text)->items() == row.expected);
  }
  CHECK(Query::parse("a=%").failed_with(ErrorCode::request_invalid));
  CHECK(Query::parse("a=%4").failed_with(ErrorCode::request_invalid));
  CHECK(Query::parse("%g0=a").failed_with(ErrorCode::request_invalid));
  std::string flood;
  for (std::size_t i = 0; i < Query::kParametersMax; ++i) flood += "a&";
  CHECK(Query::parse(flood)->items().size() == Query::kParametersMax);
  CHECK(Query::parse(flood + "b").failed_with(ErrorCode::too_many_tags));
}

TEST_CASE("what is percent-encoded decodes to itself and is safe in a header") {
  std::string all;
  for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
  const std::string encoded = percent_encode(all);
  CHECK(percent_decode(encoded, false) == all);
  CHECK(percent_decode(encoded, true) == all);
  CHECK(encoded.find_first_of(" \r\n<>;\"&=+#?/") == std::string::npos);
}

TEST_CASE("the whole error table") {
  std::string text;
  for (const ErrorRow& row : error_table()) {
    text += std::string(to_string(row.code)) + ' ' + std::to_string(row.status) + ' ' +
            (row.wire.empty() ? "-" : std::string(row.wire));
    if (row.retry_after_s != 0) text += " retry " + std::to_string(row.retry_after_s);
    text += '\n';
  }
  CHECK(text ==
        "name_invalid 400 NAME_INVALID\n"
        "tag_invalid 400 TAG_INVALID\n"
        "digest_invalid 400 DIGEST_INVALID\n"
        "digest_unsupported 400 DIGEST_INVALID\n"
        "digest_mismatch 400 DIGEST_INVALID\n"
        "manifest_invalid 400 MANIFEST_INVALID\n"
        "manifest_too_large 413 MANIFEST_INVALID\n"
        "manifest_blob_unknown 400 MANIFEST_BLOB_UNKNOWN\n"
        "size_invalid 400 SIZE_INVALID\n"
        "upload_range_invalid 416 RANGE_INVALID\n"
        "range_unsatisfiable 416 RANGE_INVALID\n"
        "page_invalid 400 PAGINATION_NUMBER_INVALID\n"
        "precondition_failed 412 PRECONDITION_FAILED\n"
        "too_many_tags 414 TAG_INVALID\n"
        "request_invalid 400 UNSUPPORTED\n"
        "request_too_large 431 UNSUPPORTED\n"
        "expectation_failed 417 UNSUPPORTED\n"
        "method_not_allowed 405 UNSUPPORTED\n"
        "route_unknown 404 UNSUPPORTED\n"
        "blob_unknown 404 BLOB_UNKNOWN\n"
        "upload_unknown 404 BLOB_UPLOAD_UNKNOWN\n"
        "manifest_unknown 404 MANIFEST_UNKNOWN\n"
        "repository_unknown 404 NAME_UNKNOWN\n"
        "unauthorized 401 UNAUTHORIZED\n"
        "denied 403 DENIED\n"
        "too_many_requests 429 TOOMANYREQUESTS retry 1\n"
        "host_refused 403 DENIED\n"
        "storage_full 503 UNAVAILABLE retry 5\n"
        "unavailable 503 UNAVAILABLE retry 1\n"
        "request_timeout 408 UNAVAILABLE\n"
        "aborted 499 -\n"
        "io_error 500 UNKNOWN\n"
        "corrupt 500 UNKNOWN\n"
        "would_block 500 UNKNOWN\n"
        "internal 500 UNKNOWN\n");
}

std::string body_of(const Response& response) { return std::get<std::string>(response.body.at(0)); }

TEST_CASE("an error is one element of valid JSON, whatever its message holds") {
  const std::string hostile = "say \"hi\"\\ \n\x01\xff\xfe\xed\xa0\x80 \xe2\x82";
  const Response response = error_response(make_error(ErrorCode::blob_unknown, hostile, "secret"), "id-1");
  CHECK(response.status == 404);
  CHECK(response.headers.get("content-type") == "application/json");
  const auto json = nlohmann::json::parse(body_of(response));
  REQUIRE(json["errors"].size() == 1);
  CHECK(json["errors"][0]["code"] == "BLOB_UNKNOWN");
  CHECK(json["errors"][0]["detail"]["request_id"] == "id-1");
  CHECK(json["errors"][0]["message"].get<std::string>().starts_with("say \"hi\"\\ \n\x01"));
  CHECK(json.size() == 1);
  CHECK(body_of(response).find("secret") == std::string::npos);
  CHECK(response.log_detail.find("secret") != std::string::npos);
}

TEST_CASE("several missing blobs are several elements") {
  Error error = make_error(ErrorCode::manifest_blob_unknown, "missing");
  error.subjects = {"sha256:aa", "sha256:bb"};
  const auto json = nlohmann::json::parse(body_of(error_response(error, "id")));
  REQUIRE(json["errors"].size() == 2);
  CHECK(json["errors"][0]["detail"]["digest"] == "sha256:aa");
  CHECK(json["errors"][1]["detail"]["digest"] == "sha256:bb");
  CHECK(json["errors"][1]["code"] == "MANIFEST_BLOB_UNKNOWN");
}

TEST_CASE("a client that is gone gets nothing") {
  const Response response = error_response(make_error(ErrorCode::aborted, ""), "id");
  CHECK(response.status == kNoAnswer);
  CHECK(response.close);
  CHECK(response.body.empty());
}

Headers headers_of(std::vector<std::pair<std::string, std::string>> items) {
  Headers headers;
  for (auto& [name, value] : items) headers.add(name, value);
  return headers;
}

TEST_CASE("conditions of a read") {
  const oci::Digest digest = oci::sha256("x");
  const std::string text = digest.to_string();
  const std::string other = oci::sha256("y").to_string();
  struct Case {
    std::vector<std::pair<std::string, std::string>> headers;
    ReadCondition expected;
  };
  const std::vector<Case> cases = {
      {{}, ReadCondition::proceed},
      {{{"If-None-Match", '"' + text + '"'}}, ReadCondition::not_modified},
      {{{"If-None-Match", text}}, ReadCondition::not_modified},
      {{{"If-None-Match", "W/\"" + text + '"'}}, ReadCondition::not_modified},
      {{{"If-None-Match", "*"}}, ReadCondition::not_modified},
      {{{"If-None-Match", '"' + other + "\", \"" + text + '"'}}, ReadCondition::not_modified},
      {{{"If-None-Match", '"' + other + '"'}, {"if-none-match", text}}, ReadCondition::not_modified},
      {{{"If-None-Match", '"' + other + '"'}}, ReadCondition::proceed},
      {{{"If-None-Match", ""}}, ReadCondition::proceed},
      {{{"If-Match", '"' + text + '"'}}, ReadCondition::proceed},
      {{{"If-Match", text}}, ReadCondition::proceed},
      {{{"If-Match", "*"}}, ReadCondition::proceed},
      {{{"If-Match", "W/\"" + text + '"'}}, ReadCondition::failed},
      {{{"If-Match", '"' + other + '"'}}, ReadCondition::failed},
      {{{"If-Match", ""}}, ReadCondition::failed},
      {{{"If-Match", text}, {"If-None-Match", text}}, ReadCondition::not_modified},
  };
  for (const Case& row : cases) {
    INFO((row.headers.empty() ? "" : row.headers[0].first + ": " + row.headers[0].second));
    CHECK(check_read(headers_of(row.headers), digest) == row.expected);
  }
  CHECK(range_applies(headers_of({}), digest));
  CHECK(range_applies(headers_of({{"If-Range", '"' + text + '"'}}), digest));
  CHECK_FALSE(range_applies(headers_of({{"If-Range", '"' + other + '"'}}), digest));
  CHECK_FALSE(range_applies(headers_of({{"If-Range", "W/\"" + text + '"'}}), digest));
  CHECK_FALSE(range_applies(headers_of({{"If-Range", "Sat, 21 Nov 2026 10:00:00 GMT"}}), digest));
}

TEST_CASE("conditions of a write") {
  const std::string text = oci::sha256("x").to_string();
  CHECK_FALSE(write_precondition(headers_of({}))->any());
  CHECK(write_precondition(headers_of({{"If-None-Match", "*"}}))->must_not_exist);
  CHECK(write_precondition(headers_of({{"If-Match", "*"}}))->must_exist);
  CHECK(write_precondition(headers_of({{"If-Match", '"' + text + '"'}}))->must_match == std::vector{text});
  CHECK(write_precondition(headers_of({{"If-Match", text + ", \"b\""}}))->must_match ==
        std::vector<std::string>{text, "b"});
  // What can match nothing must fail the write rather than let it through.
  CHECK(write_precondition(headers_of({{"If-Match", "W/\"" + text + '"'}}))->must_match == std::vector{"W/" + text});
  CHECK(write_precondition(headers_of({{"If-Match", ""}}))->any());
  CHECK(write_precondition(headers_of({{"If-None-Match", '"' + text + '"'}})).failed_with(ErrorCode::request_invalid));
}

TEST_CASE("which hosts are this machine") {
  const std::vector<std::string> allowed = {"Registry.Example.com"};
  for (const char* host : {"localhost", "localhost:5000", "LOCALHOST:5000", "127.0.0.1", "127.0.0.1:5000", "127.9.8.7:1",
                           "[::1]", "[::1]:5000", "app.localhost", "a.b.localhost:80", "registry.example.com",
                           "registry.example.com:5000"}) {
    INFO(host);
    CHECK(is_local_host(host, allowed));
  }
  for (const char* host : {"", "example.com", "example.com:5000", "localhost.example.com", "notlocalhost", ".localhost",
                           "127.0.0.1.example.com", "127.0.0", "127.0.0.256", "127.0.0.1.1", "128.0.0.1", "0.0.0.0",
                           "[::2]", "[::1", "::1", "[::1]x", "localhost:", "localhost:99999", "localhost:5000:5000",
                           "localhost@example.com", "192.168.0.1", "2130706433", "0x7f.0.0.1"}) {
    INFO(host);
    CHECK_FALSE(is_local_host(host, allowed));
  }
}

TEST_CASE("a foreign page is refused") {
  struct Case {
    std::string host;
    std::optional<std::string> origin;
    bool good;
  };
  const std::vector<Case> cases = {
      {"localhost:5000", std::nullopt, true},
      {"localhost:5000", "http://localhost:5000", true},
      {"localhost:5000", "http://127.0.0.1:3000", true},
      {"localhost:5000", "https://evil.example", false},
      {"localhost:5000", "null", false},
      {"localhost:5000", "", false},
      {"rebound.example:5000", std::nullopt, false},
      {"rebound.example:5000", "http://localhost:5000", false},
  };
  for (const Case& row : cases) {
    INFO(row.host << " " << row.origin.value_or("-"));
    Request request;
    request.headers.add("Host", row.host);
    if (row.origin) request.headers.add("Origin", *row.origin);
    const auto checked = check_host(request, {});
    CHECK(checked.has_value() == row.good);
    if (!row.good) CHECK(checked.failed_with(ErrorCode::host_refused));
  }
  CHECK(check_host(Request{}, {}).has_value());  // HTTP/1.0 without a Host
}

TEST_CASE("a policy denies what nobody allowed") {
  const auto name = oci::RepositoryName::parse("a");
  for (const auto action : {auth::Action::pull, auth::Action::push, auth::Action::delete_, auth::Action::catalog,
                            auth::Action::overwrite, auth::Action::admin, auth::Action::metrics}) {
    INFO(auth::to_string(action));
    CHECK_FALSE(auth::Policy().decide({}, action, &*name).allowed);
    CHECK(auth::Policy::allow_all().decide({}, action, &*name).allowed);
  }
  CHECK(auth::Policy().decide({}, auth::Action::none, nullptr).allowed);
  CHECK_FALSE(auth::Policy().visibility({}).all);
  CHECK(auth::Policy::allow_all().visibility({}).all);
  CHECK(auth::Policy::allow_all().tags({}, auth::Action::delete_, *name).all);
  CHECK_FALSE(auth::Policy().tags({}, auth::Action::delete_, *name).all);
}

}  // namespace
}  // namespace berth::api
