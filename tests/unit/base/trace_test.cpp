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
      {"spaces around", " " + made("00", kTrace, kParent, "01"), false},
      {"nothing", "", false},
  };
  for (const Row& row : rows) {
    INFO(row.name);
    const auto read = parse_traceparent(row.text);
    REQUIRE(read.has_value() == row.good);
    if (read) CHECK(read->sampled == row.sampled);
  }
}

}  // namespace
}  // namespace berth
