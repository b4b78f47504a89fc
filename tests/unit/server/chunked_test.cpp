#include "server/chunked.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <string>
#include <vector>

namespace berth::server {
namespace {

using State = ChunkedDecoder::State;

struct Outcome {
  State state = State::more;
  std::string content;
  std::size_t consumed = 0;
  std::string reason;
  bool operator==(const Outcome&) const = default;
};

/// In place, piece by piece, as a session does it.
Outcome decode_pieces(const std::vector<std::string>& pieces) {
  ChunkedDecoder decoder;
  Outcome outcome;
  for (auto piece : pieces) {
    auto* const bytes = reinterpret_cast<std::byte*>(piece.data());
    const auto step = decoder.decode(bytes, piece.size(), bytes, piece.size());
    outcome.content.append(piece, 0, step.produced);
    outcome.consumed += step.consumed;
  }
  outcome.state = decoder.state();
  outcome.reason = decoder.reason();
  return outcome;
}

/// Into another buffer of `room` bytes.
Outcome decode_into(const std::string& body, std::size_t room) {
  ChunkedDecoder decoder;
  Outcome outcome;
  std::string out(room, '?');
  for (;;) {
    const auto* const in = reinterpret_cast<const std::byte*>(body.data()) + outcome.consumed;
    const auto step = decoder.decode(in, body.size() - outcome.consumed, reinterpret_cast<std::byte*>(out.data()), room);
    outcome.content.append(out, 0, step.produced);
    outcome.consumed += step.consumed;
    if (step.consumed == 0) break;
  }
  outcome.state = decoder.state();
  outcome.reason = decoder.reason();
  return outcome;
}

void check_every_split(const std::string& body, const Outcome& expected) {
  for (std::size_t cut = 0; cut <= body.size(); ++cut) {
    INFO("cut at " << cut);
    REQUIRE(decode_pieces({body.substr(0, cut), body.substr(cut)}) == expected);
  }
  std::vector<std::string> each;
  for (const char c : body) each.emplace_back(1, c);
  REQUIRE(decode_pieces(each) == expected);
  for (const std::size_t room : {1U, 2U, 3U, 7U, 1000U}) REQUIRE(decode_into(body, room) == expected);
}

struct Row {
  std::string name;
  std::string body;
  std::string content = {};
};

}  // namespace

TEST_CASE("chunked bodies are decoded, however they are cut") {
  const std::vector<Row> rows = {
      {"empty", "0\r\n\r\n"},
      {"several zeros", "000\r\n\r\n"},
      {"one chunk", "5\r\nhello\r\n0\r\n\r\n", "hello"},
      {"several chunks", "1\r\na\r\n2\r\nbc\r\nA\r\n0123456789\r\n0\r\n\r\n", "abc0123456789"},
      {"hexadecimal of both cases", "a\r\n0123456789\r\nB\r\n0123456789a\r\n0\r\n\r\n", "01234567890123456789a"},
      {"zeros in front of a size", "0000000000000003\r\nabc\r\n0\r\n\r\n", "abc"},
      {"content that looks like framing", "7\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n", "0\r\n\r\n\r\n"},
      {"a trailer", "3\r\nabc\r\n0\r\nX-Checksum: 1\r\n\r\n", "abc"},
      {"trailers", "0\r\nA:\r\nAuthorization: Basic eA==\r\nB: c\t \r\n\r\n"},
      {"a trailer that looks like framing", "0\r\nContent-Length: 5\r\n\r\n"},
  };
  for (const auto& row : rows) {
    DYNAMIC_SECTION(row.name) {
      check_every_split(row.body, {State::done, row.content, row.body.size(), ""});
      // What follows is the next request's.
      check_every_split(row.body + "GET / HTTP/1.1\r\n", {State::done, row.content, row.body.size(), ""});
      // And without its last byte nothing is over.
      CHECK(decode_pieces({row.body.substr(0, row.body.size() - 1)}).state == State::more);
    }
  }
}

TEST_CASE("chunked bodies that two readers could read differently are refused") {
  const std::string nul(1, '\0');
  const std::vector<Row> rows = {
      {"no size", "\r\nabc"},
      {"a space first", " 3\r\nabc"},
      {"a sign", "+3\r\nabc"},
      {"a minus", "-3\r\nabc"},
      {"0x", "0x3\r\nabc"},
      {"an underscore", "1_0\r\nabc"},
      {"a letter that is no digit", "g\r\nabc"},
      {"a space behind the size", "3 \r\nabc"},
      {"a tab behind the size", "3\t\r\nabc"},
      {"a NUL behind the size", "3" + nul + "\r\nabc"},
      {"a bare line feed behind the size", "3\nabc\r\n0\r\n\r\n"},
      {"a bare carriage return behind the size", "3\rabc"},
      {"a size of 17 digits", "00000000000000003\r\nabc"},
      {"a size of 2^63", "8000000000000000\r\nabc"},
      {"a size of 2^64", "10000000000000000\r\nabc"},
      {"the largest 64 bits", "ffffffffffffffff\r\nabc"},
      {"content longer than its size", "3\r\nabcd\r\n", "abc"},
      {"no line end behind content", "3\r\nabc0\r\n\r\n", "abc"},
      {"a bare line feed behind content", "3\r\nabc\n0\r\n\r\n", "abc"},
      {"a bare carriage return behind content", "3\r\nabc\r0\r\n", "abc"},
      {"two line ends behind content", "3\r\nabc\r\n\r\n0\r\n\r\n", "abc"},
      {"an extension", "3;name=value\r\nabc"},
      {"an extension that is nothing", "3;\r\nabc"},
      {"an extension behind a space", "3 ;name=value\r\nabc"},
      {"an extension of the last chunk", "3\r\nabc\r\n0;last\r\n\r\n", "abc"},
      {"a bare line feed in an extension", "3;a\nb\r\nabc"},
      {"a bare line feed as the end", "0\r\n\n"},
      {"a bare line feed behind the last chunk", "0\n\r\n"},
      {"a bare carriage return as the end", "0\r\n\rX"},
      {"a trailer without a colon", "0\r\nGET / HTTP/1.1\r\n\r\n"},
      {"a trailer with an empty name", "0\r\n: x\r\n\r\n"},
      {"a folded trailer", "0\r\nA: b\r\n c\r\n\r\n"},
      {"a space before a trailer's colon", "0\r\nA : b\r\n\r\n"},
      {"a bare line feed in a trailer", "0\r\nA: b\nB: c\r\n\r\n"},
      {"a NUL in a trailer", "0\r\nA: " + nul + "\r\n\r\n"},
  };
  for (const auto& row : rows) {
    DYNAMIC_SECTION(row.name) {
      const auto outcome = decode_pieces({row.body});
      CHECK(outcome.state == State::bad);
      CHECK(outcome.content == row.content);
      CHECK(!outcome.reason.empty());
      check_every_split(row.body, outcome);
    }
  }
}

TEST_CASE("sizes up to 2^63 are read") {
  for (const std::string size : {"7fffffffffffffff", "7FFFFFFFFFFFFFFF", "123456789abcdef"}) {
    const auto outcome = decode_pieces({size + "\r\nabc"});
    CHECK(outcome.state == State::more);
    CHECK(outcome.content == "abc");
  }
}

TEST_CASE("trailers are bounded over the whole body") {
  const auto trailed = [](std::size_t size) { return "0\r\nA:" + std::string(size - 4, 'v') + "\r\n\r\n"; };
  CHECK(decode_pieces({trailed(ChunkedDecoder::kTrailerBytesMax)}).state == State::done);
  CHECK(decode_pieces({trailed(ChunkedDecoder::kTrailerBytesMax + 1)}).state == State::bad);
  CHECK(decode_pieces({trailed(100'000)}).state == State::bad);
}

TEST_CASE("what may be waited for never outlasts the body") {
  const std::string body = "3\r\nabc\r\n1f\r\n" + std::string(31, 'x') + "\r\n0\r\nA: b\r\n\r\n";
  ChunkedDecoder decoder;
  for (std::size_t i = 0; i < body.size(); ++i) {
    INFO("at byte " << i);
    CHECK(decoder.bytes_left_min() >= 1);
    CHECK(decoder.bytes_left_min() <= body.size() - i);
    auto byte = static_cast<std::byte>(body[i]);
    decoder.decode(&byte, 1, &byte, 1);
  }
  CHECK(decoder.state() == State::done);
  CHECK(decoder.bytes_left_min() == 0);
}

}  // namespace berth::server
