#include "base/trace.h"

#include <catch2/catch.hpp>
#include <vector>

namespace berth {
namespace {

const std::string kTrace = "4bf92f3577b34da6a3ce929d0e0e4736";
const std::string kParent = "00f067aa0ba902b7";

std::string made(const std::string& version, const std::string& trace, const std::string& parent, const std::string& flags) {
  return version + "-" + trace + "-" + parent + "-" + flags;
}

TEST_CASE("a traceparent is read as Trace Context says") {
  const auto context = parse_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  REQUIRE(context);
  CHECK(context->trace_id_text() == kTrace);
  CHECK(context->parent_id_text() == kParent);
  CHECK(context->sampled);

  struct Row {
    const char* name;
    std::string text;
    bool good;
    bool sampled = false;
  };
  const std::vector<Row> rows = {
      {"sampled", made("00", kTrace, kParent, "01"), true, true},
      {"not sampled", made("00", kTrace, kParent, "00"), true},
      {"unknown flags without the one", made("00", kTrace, kParent, "fe"), true},
      {"unknown flags with the one", made("00", kTrace, kParent, "09"), true, true},
      {"a later version", made("cc", kTrace, kParent, "01"), true, true},
      {"a later version with more", made("cc", kTrace, kParent, "01-what-the-future-will-be-like"), true, true},
      {"a later version with a final dash", made("cc", kTrace, kParent, "01-"), true, true},
      {"a later version that goes on without a dash", made("cc", kTrace, kParent, "01.what"), false},
      {"version 00 with more", made("00", kTrace, kParent, "01-what"), false},
      {"version 00 with a final dash", made("00", kTrace, kParent, "01-"), false},
      {"version ff", made("ff", kTrace, kParent, "01"), false},
      {"no trace", made("00", std::string(32, '0'), kParent, "01"), false},
      {"no parent", made("00", kTrace, std::string(16, '0'), "01"), false},
      {"capitals in the trace", made("00", "4BF92F3577B34DA6A3CE929D0E0E4736", kParent, "01"), false},
      {"capitals in the parent", made("00", kTrace, "00F067AA0BA902B7", "01"), false},
      {"a character that is no digit", made("00", kTrace.substr(1) + ".", kParent, "01"), false},
      {"a version that is no number", made("0x", kTrace, kParent, "01"), false},
      {"flags that are no number", made("00", kTrace, kParent, "0x"), false},
      {"a short trace", made("00", kTrace.substr(1), kParent, "01"), false},
      {"a long trace", made("00", kTrace + "0", kParent, "01"), false},
      {"a short parent", made("00", kTrace, kParent.substr(1), "01"), false},
      {"short flags", made("00", kTrace, kParent, "1"), false},
      {"no flags", "00-" + kTrace + "-" + kParent, false},
      {"underscores", "00_" + kTrace + "_" + kParent + "_01", false},
      {"a version of one digit", "0-" + kTrace + "-" + kParent + "-01", false},
      {"a version of three digits", made("000", kTrace, kParent, "01"), false},
      {"a version that is no hex", made(".0", kTrace, kParent, "01"), false},
      {"a parent that is no hex", made("00", kTrace, kParent.substr(1) + ".", "01"), false},
      {"a long parent", made("00", kTrace, kParent + "0", "01"), false},
      {"long flags", made("00", kTrace, kParent, "001"), false},
      {"capitals in the version", made("CC", kTrace, kParent, "01"), false},
      {"two, joined by a comma", made("00", kTrace, kParent, "01") + "," + made("00", kTrace, kParent, "01"), false},
      {"spaces around", " " + made("00", kTrace, kParent, "01"), false},
      {"nothing", "", false},
  };
  for (const Row& row : rows) {
    INFO(row.name);
    const auto read = parse_traceparent(row.text);
    REQUIRE(read.has_value() == row.good);
    if (!read) continue;
    CHECK(read->sampled == row.sampled);
    CHECK(format_traceparent(*read) == made("00", kTrace, kParent, row.sampled ? "01" : "00"));
  }
}

/// "k0=v,k1=v,…"
std::string members(std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += (i == 0 ? "k" : ",k") + std::to_string(i) + "=v";
  return text;
}

/// Each of 100 bytes.
std::string long_members(std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += (i == 0 ? "" : ",") + std::string(1, char('a' + i)) + "=" + std::string(98, 'v');
  return text;
}

TEST_CASE("a tracestate is passed on as it came, or not at all") {
  struct Row {
    const char* name;
    std::vector<std::string> sent;
    std::string kept;
  };
  const std::string z256(256, 'z'), t241(241, 't'), v14(14, 'v');
  const std::vector<Row> rows = {
      {"none", {}, ""},
      {"empty", {""}, ""},
      {"one", {"foo=1"}, "foo=1"},
      {"two headers, in their order", {"foo=1,bar=2", "rojo=1"}, "foo=1,bar=2,rojo=1"},
      {"an empty header beside one", {"foo=1", ""}, "foo=1"},
      {"empty members", {"foo=1,,,bar=2, "}, "foo=1,bar=2"},
      {"blanks around members", {" foo=1 \t , \t bar=2, \t baz=3"}, "foo=1,bar=2,baz=3"},
      {"a key twice", {"foo=1,foo=2"}, "foo=1,foo=2"},
      {"every character of a key", {"abcdefghijklmnopqrstuvwxyz0123456789_-*/=1"},
       "abcdefghijklmnopqrstuvwxyz0123456789_-*/=1"},
      {"every mark of a tenant", {"0t_-*/@v_-*/=1"}, "0t_-*/@v_-*/=1"},
      {"a value with marks", {"foo= !\"#$%&'()*+-./0:;<>?@A[\\]^_`a{|}~"}, "foo= !\"#$%&'()*+-./0:;<>?@A[\\]^_`a{|}~"},
      {"a long key", {z256 + "=1"}, z256 + "=1"},
      {"a key that is too long", {z256 + "z=1"}, ""},
      {"a long tenant and vendor", {t241 + "@" + v14 + "=1"}, t241 + "@" + v14 + "=1"},
      {"a tenant that is too long", {t241 + "t@v=1"}, ""},
      {"a vendor that is too long", {"t@" + v14 + "v=1"}, ""},
      {"a long value", {"foo=" + z256}, "foo=" + z256},
      {"a value that is too long", {"foo=" + z256 + "z"}, ""},
      {"a member without a value", {"foo"}, ""},
      {"an empty value", {"foo="}, ""},
      {"an empty key", {"=1"}, ""},
      {"a blank before the equals sign", {"foo =1"}, ""},
      {"two equals signs", {"foo=1=2"}, ""},
      {"capitals", {"FOO=1"}, ""},
      {"a dot in the key", {"foo.bar=1"}, ""},
      {"a digit first without a tenant", {"0foo=1"}, ""},
      {"no vendor", {"foo@=1,bar=2"}, ""},
      {"no tenant", {"@foo=1,bar=2"}, ""},
      {"two at signs", {"foo@@bar=1,bar=2"}, ""},
      {"three parts", {"foo@bar@baz=1,bar=2"}, ""},
      {"a tab within a value", {"foo=a\tb"}, ""},
      {"a byte that is no ASCII", {"foo=\xc3\xa9"}, ""},
      {"one bad member among good ones", {"foo=1,Bar=2"}, ""},
      {"as many as there may be", {members(kTraceStateMembersMax)}, members(kTraceStateMembersMax)},
      {"one more", {members(kTraceStateMembersMax), "foo=1"}, ""},
      {"too much: long ones first", {"a=1," + z256 + "=1,b=" + z256 + ",c=" + z256 + ",d=" + z256 + ",e=" + z256},
       "a=1," + z256 + "=1,b=" + z256 + ",c=" + z256},
      {"too much: then the last", {long_members(12)}, long_members(10)},
  };
  for (const Row& row : rows) {
    INFO(row.name);
    const std::vector<std::string_view> values(row.sent.begin(), row.sent.end());
    const std::string kept = read_tracestate(values);
    CHECK(kept == row.kept);
    CHECK(kept.size() <= kTraceStateBytesMax);
  }
}

}  // namespace
}  // namespace berth
