#include "server/request_head.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "server/second_opinion.h"

namespace berth::server {
namespace {

using Progress = RequestHeadParser::Progress;

struct Verdict {
  Progress progress = Progress::more;
  unsigned status = 0;
  std::string reason;
  std::size_t size = 0;
  bool operator==(const Verdict&) const = default;
};

Verdict verdict_of(const RequestHeadParser& parser, Progress progress) {
  Verdict verdict;
  verdict.progress = progress;
  if (progress == Progress::refused) verdict.status = parser.refusal().status, verdict.reason = parser.refusal().reason;
  if (progress == Progress::done) verdict.size = parser.size();
  return verdict;
}

Verdict read_whole(std::string_view bytes, HeadLimits limits = {}) {
  RequestHeadParser parser(limits);
  return verdict_of(parser, parser.advance(bytes));
}

/// The same bytes in packets that end at `cuts`.
Verdict read_in_packets(std::string_view bytes, const std::vector<std::size_t>& cuts, HeadLimits limits = {}) {
  RequestHeadParser parser(limits);
  for (const auto cut : cuts) {
    const auto progress = parser.advance(bytes.substr(0, cut));
    if (progress != Progress::more) return verdict_of(parser, progress);
  }
  return verdict_of(parser, parser.advance(bytes));
}

void check_every_split(std::string_view bytes, const Verdict& expected, HeadLimits limits = {}) {
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    INFO("cut at " << cut);
    REQUIRE(read_in_packets(bytes, {cut}, limits) == expected);
  }
  std::vector<std::size_t> each;
  for (std::size_t cut = 0; cut < bytes.size(); ++cut) each.push_back(cut);
  REQUIRE(read_in_packets(bytes, each, limits) == expected);
}

constexpr std::string_view kHost = "Host: berth.example\r\n";

struct Accepted {
  std::string name;
  std::string bytes;
  std::optional<std::uint64_t> length = std::nullopt;
  bool chunked = false;
  bool close = false;
  bool expects_continue = false;
};

const std::vector<Accepted>& accepted_heads() {
  static const std::string host(kHost);
  static const std::vector<Accepted> rows = {
      {"the least of 1.1", "GET / HTTP/1.1\r\n" + host + "\r\n"},
      {"the least of 1.0", "GET / HTTP/1.0\r\n\r\n", {}, false, true},
      {"1.0 with Host", "GET /v2/ HTTP/1.0\r\n" + host + "\r\n", {}, false, true},
      {"1.0 that asks to keep alive closes all the same", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", {}, false, true},
      {"a query", "GET /v2/a/tags/list?n=5&last=x HTTP/1.1\r\n" + host + "\r\n"},
      {"percent-encoding is left alone", "GET /v2/a%2Fb/blobs/sha256%3Aff HTTP/1.1\r\n" + host + "\r\n"},
      {"all printable target characters", "GET /!\"$%&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~ HTTP/1.1\r\n" + host + "\r\n"},
      {"two slashes are a path", "GET //v2// HTTP/1.1\r\n" + host + "\r\n"},
      {"an unknown method", "PROPFIND /x HTTP/1.1\r\n" + host + "\r\n"},
      {"methods have case", "get / HTTP/1.1\r\n" + host + "\r\n"},
      {"a method of all token characters", "!#$%&'*+-.^_`|~aZ9 / HTTP/1.1\r\n" + host + "\r\n"},
      {"field names have no case", "GET / HTTP/1.1\r\nhOsT: a\r\n\r\n"},
      {"no space after the colon", "GET / HTTP/1.1\r\nHost:a\r\n\r\n"},
      {"spaces and tabs around a value", "GET / HTTP/1.1\r\nHost: \t a \t \r\n\r\n"},
      {"a tab inside a value", "GET / HTTP/1.1\r\n" + host + "X: a\tb\r\n\r\n"},
      {"an empty value", "GET / HTTP/1.1\r\n" + host + "X:\r\n\r\n"},
      {"a value of spaces", "GET / HTTP/1.1\r\n" + host + "X:    \r\n\r\n"},
      {"a value with colons", "GET / HTTP/1.1\r\n" + host + "X: a:b: c\r\n\r\n"},
      {"repeated Accept", "GET / HTTP/1.1\r\n" + host + "Accept: a\r\nAccept: b\r\naccept: a\r\n\r\n"},
      {"Host with port", "GET / HTTP/1.1\r\nHost: localhost:5000\r\n\r\n"},
      {"Host as IPv4", "GET / HTTP/1.1\r\nHost: 127.0.0.1:65535\r\n\r\n"},
      {"Host as IPv6", "GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n"},
      {"Host as IPv6 with port", "GET / HTTP/1.1\r\nHost: [2001:db8::7f00:1]:5000\r\n\r\n"},
      {"a length", "PUT / HTTP/1.1\r\n" + host + "Content-Length: 17\r\n\r\n", 17},
      {"length zero", "POST / HTTP/1.1\r\n" + host + "Content-Length: 0\r\n\r\n", 0},
      {"a length with zeros in front", "POST / HTTP/1.1\r\n" + host + "Content-Length: 0012\r\n\r\n", 12},
      {"the largest length", "PUT / HTTP/1.1\r\n" + host + "Content-Length: 9223372036854775807\r\n\r\n", 9223372036854775807U},
      {"a length on 1.0", "PUT / HTTP/1.0\r\nContent-Length: 3\r\n\r\n", 3, false, true},
      {"chunked", "PATCH / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n", {}, true},
      {"codings have no case", "PATCH / HTTP/1.1\r\n" + host + "transfer-encoding: CHUNKED\r\n\r\n", {}, true},
      {"close", "GET / HTTP/1.1\r\n" + host + "Connection: close\r\n\r\n", {}, false, true},
      {"close in a list", "GET / HTTP/1.1\r\n" + host + "Connection: Keep-Alive ,\tCLOSE\r\n\r\n", {}, false, true},
      {"close in a second field", "GET / HTTP/1.1\r\n" + host + "Connection: a\r\nConnection: close\r\n\r\n", {}, false, true},
      {"empty list members", "GET / HTTP/1.1\r\n" + host + "Connection: ,, keep-alive,\r\n\r\n"},
      {"a word that only contains close", "GET / HTTP/1.1\r\n" + host + "Connection: closed, x-close\r\n\r\n"},
      {"a wish to upgrade is no reason to", "GET / HTTP/1.1\r\n" + host + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n"},
      {"Expect with a body", "PUT / HTTP/1.1\r\n" + host + "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n", 5, false, false, true},
      {"Expect before the framing", "PUT / HTTP/1.1\r\n" + host + "expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n\r\n", {}, true, false, true},
      {"Expect without a body", "GET / HTTP/1.1\r\n" + host + "Expect: 100-continue\r\n\r\n"},
      {"Expect with an empty body", "PUT / HTTP/1.1\r\n" + host + "Expect: 100-continue\r\nContent-Length: 0\r\n\r\n", 0},
      {"Expect of 1.0 is ignored", "PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", 5, false, true},
      {"names that only look like framing", "GET / HTTP/1.1\r\n" + host + "Content_Length: 5\r\nX-Transfer-Encoding: chunked\r\n\r\n"},
      {"what another framing would need", "GET / HTTP/1.1\r\n" + host + "Trailer: X\r\nTE: trailers\r\n\r\n"},
  };
  return rows;
}

struct Refused {
  std::string name;
  std::string bytes;
  unsigned status = 400;
};

std::vector<Refused> refused_heads() {
  const std::string host(kHost);
  const std::string get = "GET / HTTP/1.1\r\n" + host;
  const std::string put = "PUT / HTTP/1.1\r\n" + host;
  const std::string length = "Content-Length: 5\r\n";
  const std::string nul(1, '\0');
  std::vector<Refused> rows = {
      // The request line.
      {"a TLS handshake", "\x16\x03\x01\x02\x00\x01"},
      {"an empty line first", "\r\nGET / HTTP/1.1\r\n"},
      {"a bare line feed first", "\nGET / HTTP/1.1\r\n"},
      {"a space first", " GET / HTTP/1.1\r\n"},
      {"no target", "GET HTTP/1.1\r\n"},
      {"an empty target", "GET  HTTP/1.1\r\n"},
      {"no version (HTTP/0.9)", "GET /\r\n"},
      {"only a method", "GET\r\n"},
      {"two spaces before the target", "GET  / HTTP/1.1\r\n"},
      {"two spaces after the target", "GET /  HTTP/1.1\r\n"},
      {"a space after the version", "GET / HTTP/1.1 \r\n"},
      {"a tab for a space", "GET\t/\tHTTP/1.1\r\n"},
      {"a tab after the target", "GET /\tHTTP/1.1\r\n"},
      {"a space in the target", "GET /a b HTTP/1.1\r\n"},
      {"a colon in the method", "GET: / HTTP/1.1\r\n"},
      {"a parenthesis in the method", "GE(T / HTTP/1.1\r\n"},
      {"absolute form", "GET http://berth.example/v2/ HTTP/1.1\r\n"},
      {"absolute form of https", "GET https://berth.example/ HTTP/1.1\r\n"},
      {"authority form", "CONNECT berth.example:443 HTTP/1.1\r\n"},
      {"asterisk form", "OPTIONS * HTTP/1.1\r\n"},
      {"a relative target", "GET v2/ HTTP/1.1\r\n"},
      {"only a query", "GET ?n=1 HTTP/1.1\r\n"},
      {"a fragment", "GET /v2/#top HTTP/1.1\r\n"},
      {"raw UTF-8 in the target", "GET /caf\xc3\xa9 HTTP/1.1\r\n"},
      {"a raw high byte in the target", "GET /\xff HTTP/1.1\r\n"},
      {"DEL in the target", "GET /\x7f HTTP/1.1\r\n"},
      {"NUL in the target", "GET /" + nul + " HTTP/1.1\r\n"},
      {"a control byte in the target", "GET /\x01 HTTP/1.1\r\n"},
      {"a carriage return in the target", "GET /\rHTTP/1.1 HTTP/1.1\r\n"},
      {"lower-case protocol", "GET / http/1.1\r\n"},
      {"another protocol", "GET / ICY/1.1\r\n"},
      {"no minor version", "GET / HTTP/1\r\n"},
      {"a long minor version", "GET / HTTP/1.10\r\n"},
      {"a zero in front of the version", "GET / HTTP/01.1\r\n"},
      {"a comma in the version", "GET / HTTP/1,1\r\n"},
      {"a space in the version", "GET / HTTP/ 1.1\r\n"},
      {"HTTP/0.9 by name", "GET / HTTP/0.9\r\n", 505},
      {"HTTP/1.2", "GET / HTTP/1.2\r\n", 505},
      {"HTTP/2.0", "GET / HTTP/2.0\r\n", 505},
      {"the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
      {"a bare line feed after the request line", "GET / HTTP/1.1\n"},
      {"two carriage returns", "GET / HTTP/1.1\r\r\n"},
      // Lines and names.
      {"a bare line feed after a field", "GET / HTTP/1.1\r\nHost: a\n\r\n"},
      {"a bare line feed as the end", get + "\n"},
      {"a bare line feed inside a value", get + "X: a\nTransfer-Encoding: chunked\r\n\r\n"},
      {"a bare carriage return inside a value", get + "X: a\rTransfer-Encoding: chunked\r\n\r\n"},
      {"a carriage return before the line end", get + "X: a\r\r\n\r\n"},
      {"a carriage return in the empty line", get + "\r\r\n"},
      {"a folded value", get + "X: a\r\n b\r\n\r\n"},
      {"a value folded by a tab", get + "X: a\r\n\tb\r\n\r\n"},
      {"a folded first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n"},
      {"a line of spaces", get + "  \r\n\r\n"},
      {"a space before the colon", get + "X : a\r\n\r\n"},
      {"a tab before the colon", get + "X\t: a\r\n\r\n"},
      {"a framing field with a space before the colon", put + "Transfer-Encoding : chunked\r\n\r\n"},
      {"a length with a space before the colon", put + "Content-Length : 5\r\n\r\n"},
      {"a line without a colon", get + "X\r\n\r\n"},
      {"an empty name", get + ": a\r\n\r\n"},
      {"a space inside a name", get + "X Y: a\r\n\r\n"},
      {"a NUL in a name", get + "X" + nul + ": a\r\n\r\n"},
      {"a control byte before a name", get + "\x0bTransfer-Encoding: chunked\r\n\r\n"},
      {"a high byte in a name", get + "X\xe9: a\r\n\r\n"},
      {"a slash in a name", get + "X/Y: a\r\n\r\n"},
      {"a NUL in a value", get + "X: a" + nul + "b\r\n\r\n"},
      {"a control byte in a value", get + "X: a\x01\r\n\r\n"},
      {"a vertical tab in a value", get + "X: a\x0b\r\n\r\n"},
      {"DEL in a value", get + "X: a\x7f\r\n\r\n"},
      {"latin-1 in a value", get + "X: caf\xe9\r\n\r\n"},
      {"UTF-8 in a value", get + "X: caf\xc3\xa9\r\n\r\n"},
      {"a second request line as a field", get + "GET /admin HTTP/1.1\r\n\r\n"},
      // Host.
      {"1.1 without Host", "GET / HTTP/1.1\r\n\r\n"},
      {"1.1 with other fields but no Host", "GET / HTTP/1.1\r\nAccept: */*\r\n\r\n"},
      {"two Hosts", get + "Host: other.example\r\n\r\n"},
      {"two equal Hosts", get + host + "\r\n"},
      {"two Hosts on 1.0", "GET / HTTP/1.0\r\n" + host + host + "\r\n"},
      {"two Hosts of different case", get + "HOST: a\r\n\r\n"},
      {"an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n"},
      {"a list of Hosts", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"},
      {"a space in Host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"},
      {"a path in Host", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"},
      {"a user in Host", "GET / HTTP/1.1\r\nHost: user@a\r\n\r\n"},
      {"a URL as Host", "GET / HTTP/1.1\r\nHost: http://a\r\n\r\n"},
      {"a percent-encoded Host", "GET / HTTP/1.1\r\nHost: a%2eb\r\n\r\n"},
      {"an empty port", "GET / HTTP/1.1\r\nHost: a:\r\n\r\n"},
      {"a port that is no number", "GET / HTTP/1.1\r\nHost: a:80x\r\n\r\n"},
      {"a port too large", "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n"},
      {"two ports", "GET / HTTP/1.1\r\nHost: a:80:81\r\n\r\n"},
      {"only a port", "GET / HTTP/1.1\r\nHost: :80\r\n\r\n"},
      {"IPv6 without brackets", "GET / HTTP/1.1\r\nHost: ::1\r\n\r\n"},
      {"IPv6 with an open bracket", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"},
      {"IPv6 with text behind", "GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n"},
      {"empty brackets", "GET / HTTP/1.1\r\nHost: []\r\n\r\n"},
      // Framing.
      {"length and chunked", put + length + "Transfer-Encoding: chunked\r\n\r\n"},
      {"chunked and length", put + "Transfer-Encoding: chunked\r\n" + length + "\r\n"},
      {"length and an unknown coding", put + length + "Transfer-Encoding: gzip\r\n\r\n"},
      {"length zero and chunked", put + "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n"},
      {"two lengths", put + length + "Content-Length: 6\r\n\r\n"},
      {"two equal lengths", put + length + length + "\r\n"},
      {"two lengths of different case", put + length + "content-LENGTH: 5\r\n\r\n"},
      {"a list of lengths", put + "Content-Length: 5, 5\r\n\r\n"},
      {"a list of two lengths", put + "Content-Length: 5,6\r\n\r\n"},
      {"an empty length", put + "Content-Length:\r\n\r\n"},
      {"a positive length", put + "Content-Length: +5\r\n\r\n"},
      {"a negative length", put + "Content-Length: -5\r\n\r\n"},
      {"a hexadecimal length", put + "Content-Length: 0x5\r\n\r\n"},
      {"an underscored length", put + "Content-Length: 1_0\r\n\r\n"},
      {"a broken length", put + "Content-Length: 5 5\r\n\r\n"},
      {"a length with a fraction", put + "Content-Length: 5.0\r\n\r\n"},
      {"a length of 2^63", put + "Content-Length: 9223372036854775808\r\n\r\n"},
      {"a length of 2^64 and a little", put + "Content-Length: 18446744073709551621\r\n\r\n"},
      {"a length of many digits", put + "Content-Length: 00000000000000000005\r\n\r\n"},
      {"a length in quotes", put + "Content-Length: \"5\"\r\n\r\n"},
      {"an unknown coding", put + "Transfer-Encoding: xchunked\r\n\r\n"},
      {"gzip", put + "Transfer-Encoding: gzip\r\n\r\n"},
      {"gzip and chunked", put + "Transfer-Encoding: gzip, chunked\r\n\r\n"},
      {"chunked and identity", put + "Transfer-Encoding: chunked, identity\r\n\r\n"},
      {"identity", put + "Transfer-Encoding: identity\r\n\r\n"},
      {"chunked twice", put + "Transfer-Encoding: chunked, chunked\r\n\r\n"},
      {"two codings", put + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"},
      {"two codings, one of them unknown", put + "Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n"},
      {"an empty coding", put + "Transfer-Encoding:\r\n\r\n"},
      {"a coding with a parameter", put + "Transfer-Encoding: chunked;q=1\r\n\r\n"},
      {"a coding in quotes", put + "Transfer-Encoding: \"chunked\"\r\n\r\n"},
      {"a coding with a comma", put + "Transfer-Encoding: ,chunked\r\n\r\n"},
      {"a coding with a vertical tab", put + "Transfer-Encoding: \x0b" "chunked\r\n\r\n"},
      {"a folded coding", put + "Transfer-Encoding:\r\n chunked\r\n\r\n"},
      {"chunked on 1.0", "PUT / HTTP/1.0\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n"},
      // Other fields that are understood.
      {"another expectation", put + "Expect: 200-ok\r\n\r\n", 417},
      {"two expectations", put + "Expect: 100-continue, x\r\n\r\n", 417},
      {"an empty expectation", put + "Expect:\r\n\r\n", 417},
      {"a malformed Connection", get + "Connection: a b\r\n\r\n"},
      {"a quoted Connection", get + "Connection: \"close\"\r\n\r\n"},
  };
  std::string many;
  for (int i = 0; i < 100; ++i) many += "X: y\r\n";
  rows.push_back({"101 fields", get + many + "\r\n", 431});
  return rows;
}

}  // namespace

TEST_CASE("heads that mean one thing are accepted, however they are cut") {
  for (const auto& row : accepted_heads()) {
    DYNAMIC_SECTION(row.name) {
      RequestHeadParser parser;
      const auto progress = parser.advance(row.bytes);
      INFO(parser.refusal().reason);
      REQUIRE(progress == Progress::done);
      REQUIRE(parser.size() == row.bytes.size());
      const auto head = parser.head(row.bytes);
      CHECK(head.content_length == row.length);
      CHECK(head.chunked == row.chunked);
      CHECK(head.close == row.close);
      CHECK(head.expects_continue == row.expects_continue);
      const auto disagreement = find_disagreement(row.bytes, head);
      INFO(disagreement.value_or(""));
      CHECK(!disagreement);
      check_every_split(row.bytes, verdict_of(parser, progress));
      // What follows belongs to the next request and changes nothing.
      check_every_split(row.bytes + "GET /next HTTP/1.1\r\n", verdict_of(parser, progress));
    }
  }
}

TEST_CASE("heads that two readers could read differently are refused, however they are cut") {
  for (const auto& row : refused_heads()) {
    DYNAMIC_SECTION(row.name) {
      const auto verdict = read_whole(row.bytes);
      INFO(verdict.reason);
      REQUIRE(verdict.progress == Progress::refused);
      CHECK(verdict.status == row.status);
      CHECK(!verdict.reason.empty());
      check_every_split(row.bytes, verdict);
    }
  }
}

TEST_CASE("a head says what it holds") {
  const std::string bytes =
      "PATCH /v2/a/b/blobs/uploads/1?x=%20 HTTP/1.1\r\nHost: h:1\r\nAccept: a\r\nX-Empty:\r\naccept:  b \t\r\n\r\n";
  RequestHeadParser parser;
  REQUIRE(parser.advance(bytes + "rest") == Progress::done);
  const auto head = parser.head(bytes);
  CHECK(head.method == "PATCH");
  CHECK(head.target == "/v2/a/b/blobs/uploads/1?x=%20");
  CHECK(!head.http_1_0);
  using Fields = std::vector<std::pair<std::string_view, std::string_view>>;
  CHECK(head.fields == Fields{{"Host", "h:1"}, {"Accept", "a"}, {"X-Empty", ""}, {"accept", "b"}});
}

TEST_CASE("100 fields are accepted") {
  std::string bytes = "GET / HTTP/1.1\r\nHost: a\r\n";
  for (int i = 0; i < 99; ++i) bytes += "X: y\r\n";
  CHECK(read_whole(bytes + "\r\n").progress == Progress::done);
}

TEST_CASE("a head may be as large as the limit and no larger") {
  const HeadLimits limits{128, 100};
  const std::string begin = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
  const auto head_of = [&begin](std::size_t size) { return begin + std::string(size - begin.size() - 4, 'x') + "\r\n\r\n"; };
  check_every_split(head_of(128), {Progress::done, 0, "", 128}, limits);
  check_every_split(head_of(129), {Progress::refused, 431, "the request header is too large", 0}, limits);
  // An offence behind the limit is not reached, in whatever pieces it comes.
  check_every_split(head_of(129) + "\n\n", {Progress::refused, 431, "the request header is too large", 0}, limits);
  check_every_split("GET /" + std::string(200, 'a') + " HTTP/1.1\r\n\r\n",
                    {Progress::refused, 414, "the request line is too long", 0}, limits);
}

TEST_CASE("an offence is refused before the head is complete") {
  CHECK(read_whole("GET / HTTP/1.1\nHost").progress == Progress::refused);
  CHECK(read_whole("GET / HTTP/1.1\r\nHost: a\r\nX : ").progress == Progress::more);
  CHECK(read_whole("GET / HTTP/1.1\r\nHost: a\r\nX : \r\n").progress == Progress::refused);
  CHECK(read_whole("\x16").progress == Progress::refused);
}

}  // namespace berth::server
