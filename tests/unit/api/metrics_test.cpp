#include "base/metrics.h"

#include <zlib.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "api/http_metrics.h"
#include "api/metrics_page.h"
#include "tests/support/scrape.h"

namespace berth::api {
namespace {

using namespace std::chrono_literals;

/// The value of a series in the page of now; empty: it is not there.
std::string value_of(const std::string& series) {
  const std::string page = "\n" + metrics::scrape_text();
  const auto at = page.find("\n" + series + " ");
  if (at == std::string::npos) return {};
  const auto begin = at + series.size() + 2;
  return page.substr(begin, page.find('\n', begin) - begin);
}

std::string unzipped(const std::string& bytes) {
  z_stream stream{};
  REQUIRE(::inflateInit2(&stream, 15 + 16) == Z_OK);
  std::string out(4 << 20, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  CHECK(::inflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  ::inflateEnd(&stream);
  return out;
}

}  // namespace

TEST_CASE("every route is counted as something, and what clients do by name") {
  for (const Route& route : route_table()) {
    INFO(route.operation);
    const Operation operation = operation_of(route, route.method);
    const bool management = route.path.starts_with("/api/v1/");
    const bool as_management = operation == Operation::api_read || operation == Operation::api_write;
    CHECK(operation != Operation::other);
    CHECK(management == as_management);
  }
  struct Row {
    const char* route;
    Method method;
    Operation counted;
  };
  for (const Row& row :
       {Row{"get_manifest", Method::get, Operation::manifest_get},
        Row{"get_manifest", Method::head, Operation::manifest_head},
        Row{"commit_upload", Method::put, Operation::upload_finish},
        Row{"list_users", Method::get, Operation::api_read}, Row{"list_users", Method::head, Operation::api_read},
        Row{"create_user", Method::post, Operation::api_write}, Row{"readyz", Method::get, Operation::health}}) {
    INFO(row.route);
    const auto route = std::ranges::find(route_table(), row.route, &Route::operation);
    REQUIRE(route != route_table().end());
    CHECK(operation_of(*route, row.method) == row.counted);
  }
}

TEST_CASE("an exchange is counted with its status, times and bytes") {
  const std::string count = R"(berth_http_requests_total{operation="blob_delete",code="418"})";
  CHECK(value_of(count).empty());
  const test::Changes changes;
  Outcome outcome{.received = 10, .sent = 20, .complete = true, .until_answer = 3ms, .elapsed = 2s};
  count_exchange(Operation::blob_delete, 418, outcome);
  CHECK(changes.of(count) == 1);
  CHECK(changes.of(R"(berth_http_response_start_seconds_bucket{operation="blob_delete",le="0.0025"})") == 0);
  CHECK(changes.of(R"(berth_http_response_start_seconds_bucket{operation="blob_delete",le="0.005"})") == 1);
  CHECK(changes.of(R"(berth_http_request_seconds_count{class="api"})") == 1);
  CHECK(changes.of(R"(berth_http_request_bytes_total{class="api"})") == 10);
  CHECK(changes.of(R"(berth_http_response_bytes_total{class="api"})") == 20);

  // A client that went away has seen no answer.
  count_exchange(Operation::blob_delete, kNoAnswer, outcome);
  CHECK(changes.of(R"(berth_http_requests_total{operation="blob_delete",code="499"})") == 1);
  CHECK(changes.of(R"(berth_http_response_start_seconds_count{operation="blob_delete"})") == 1);
  const std::string cut = R"(berth_http_requests_total{operation="blob_delete",code="500"})";
  outcome.unreadable = true;
  count_exchange(Operation::blob_delete, 418, outcome);
  CHECK(changes.of(cut) == 1);
  CHECK(changes.of(count) == 1);
  outcome.unreadable = false;
  // No status that HTTP has makes a series of its own.
  count_exchange(Operation::blob_delete, 9999, outcome);
  CHECK(value_of(R"(berth_http_requests_total{operation="blob_delete",code="9999"})").empty());
}

TEST_CASE("what is under way is counted until it goes, however it goes") {
  const std::string gauge = R"(berth_http_requests_in_flight{class="push"})";
  REQUIRE(value_of(gauge) == "0");
  {
    InFlight first(Operation::upload_append);
    InFlight moved = std::move(first);
    InFlight second;
    second = InFlight(Operation::manifest_put);
    CHECK(value_of(gauge) == "2");
  }
  CHECK(value_of(gauge) == "0");
}

TEST_CASE("who shows nothing is not counted as denied") {
  const std::string denied = R"(berth_authorization_denied_total{action="push"})";
  const test::Changes changes;
  auth::Principal nobody;
  count_denied(auth::Action::push, nobody);
  CHECK(changes.of(denied) == 0);
  nobody.from_token = true;
  count_denied(auth::Action::push, nobody);
  auth::Principal alice;
  alice.method = "password";
  count_denied(auth::Action::push, alice);
  CHECK(changes.of(denied) == 2);
}

TEST_CASE("gzip is for who asks") {
  struct Row {
    std::vector<const char*> values;
    bool wanted;
  };
  for (const Row& row :
       {Row{{}, false}, Row{{""}, false}, Row{{"gzip"}, true}, Row{{"GZIP"}, true}, Row{{"deflate, gzip"}, true},
        Row{{"deflate", "br , gzip;q=0.5"}, true}, Row{{"gzip;q=0"}, false}, Row{{"gzip; q=0.000"}, false},
        Row{{"gzip;q=0.001"}, true}, Row{{"gzipped, x-gzip"}, false}, Row{{"identity"}, false}}) {
    Headers headers;
    std::string shown;
    for (const char* value : row.values) {
      headers.add("Accept-Encoding", value);
      shown += std::string(value) + "|";
    }
    INFO(shown);
    CHECK(accepts_gzip(headers) == row.wanted);
  }
  std::string text;
  for (int i = 0; i < 20'000; ++i) text += "line " + std::to_string(i) + "\n";
  const auto packed = gzip(text);
  REQUIRE(packed);
  CHECK(packed->size() < text.size() / 2);
  CHECK(unzipped(*packed) == text);
}

TEST_CASE("all who ask at once get a page, packed for who wants that") {
  MetricsPage page;
  asio::io_context io;
  std::vector<std::string> plain, packed;
  for (int i = 0; i < 20; ++i) {
    auto& pages = i % 2 == 0 ? packed : plain;
    auto keep = [&pages](const std::exception_ptr&, Result<MetricsPage::Text> text) {
      REQUIRE(text);
      pages.push_back(**text);
    };
    asio::co_spawn(io, page.get(i % 2 == 0), keep);
  }
  io.run();
  REQUIRE(plain.size() == 10);
  REQUIRE(packed.size() == 10);
  for (const std::string& text : plain) CHECK(text.find("berth_http_requests_total") != std::string::npos);
  for (const std::string& bytes : packed) CHECK(unzipped(bytes).find("berth_http_requests_total") != std::string::npos);
}

}  // namespace berth::api
