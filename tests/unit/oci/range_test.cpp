#include "oci/range.h"

#include <catch2/catch.hpp>
#include <string>

namespace berth::oci {
namespace {

constexpr std::uint64_t kLargest = ~std::uint64_t{0};

std::vector<ByteRange> ranges(std::initializer_list<ByteRange> list) { return list; }

}  // namespace

TEST_CASE("Range headers of reads") {
  struct Row {
    const char* name;
    std::string header;
    std::uint64_t size;
    RangeAnswer answer;
  };
  const Row rows[] = {
      {"first and last", "bytes=0-4", 10, ranges({{0, 5}})},
      {"one byte", "bytes=9-9", 10, ranges({{9, 10}})},
      {"open end", "bytes=3-", 10, ranges({{3, 10}})},
      {"last is clamped", "bytes=3-99", 10, ranges({{3, 10}})},
      {"suffix", "bytes=-4", 10, ranges({{6, 10}})},
      {"suffix of the whole", "bytes=-10", 10, ranges({{0, 10}})},
      {"suffix longer than the whole", "bytes=-11", 10, ranges({{0, 10}})},
      {"unit in upper case", "BYTES=0-0", 10, ranges({{0, 1}})},
      {"blanks around", " \tbytes=0-0 ", 10, ranges({{0, 1}})},
      {"leading zeros", "bytes=0000-0001", 10, ranges({{0, 2}})},
      {"largest numbers", "bytes=0-18446744073709551615", kLargest, ranges({{0, kLargest}})},
      {"last beyond 64 bits", "bytes=2-99999999999999999999999", 10, ranges({{2, 10}})},
      {"suffix beyond 64 bits", "bytes=-99999999999999999999999", 10, ranges({{0, 10}})},
      {"last byte of the largest", "bytes=18446744073709551614-", kLargest, ranges({{kLargest - 1, kLargest}})},

      {"start at the end", "bytes=10-", 10, Unsatisfiable{}},
      {"start past the end", "bytes=11-12", 10, Unsatisfiable{}},
      {"start beyond 64 bits", "bytes=99999999999999999999999-", 10, Unsatisfiable{}},
      {"start beyond 64 bits, largest content", "bytes=18446744073709551616-", kLargest, Unsatisfiable{}},
      {"last before first", "bytes=500-0", 1000, Unsatisfiable{}},
      {"empty suffix", "bytes=-0", 10, Unsatisfiable{}},
      {"empty content", "bytes=0-0", 0, Unsatisfiable{}},
      {"empty content, open end", "bytes=0-", 0, Unsatisfiable{}},
      {"empty content, suffix", "bytes=-5", 0, Unsatisfiable{}},
      {"all of a list", "bytes=10-,20-30", 10, Unsatisfiable{}},

      {"no header", "", 10, WholeContent{}},
      {"unknown unit", "lines=0-1", 10, WholeContent{}},
      {"no unit", "0-1", 10, WholeContent{}},
      {"only the unit", "bytes", 10, WholeContent{}},
      {"nothing after the unit", "bytes=", 10, WholeContent{}},
      {"only commas", "bytes=,,", 10, WholeContent{}},
      {"blank before the equals sign", "bytes =0-1", 10, WholeContent{}},
      {"dash alone", "bytes=-", 10, WholeContent{}},
      {"number alone", "bytes=5", 10, WholeContent{}},
      {"letters", "bytes=a-b", 10, WholeContent{}},
      {"negative", "bytes=--1", 10, WholeContent{}},
      {"three numbers", "bytes=1-2-3", 10, WholeContent{}},
      {"plus sign", "bytes=+1-2", 10, WholeContent{}},
      {"blank inside", "bytes=1 -2", 10, WholeContent{}},
      {"hexadecimal", "bytes=0x1-2", 10, WholeContent{}},
      {"one malformed member", "bytes=0-1,x", 10, WholeContent{}},
      {"malformed after unsatisfiable", "bytes=99-,x", 10, WholeContent{}},

      {"two", "bytes=0-1,4-5", 10, ranges({{0, 2}, {4, 6}})},
      {"in request order, overlaps kept", "bytes=4-7,2-5,-1", 10, ranges({{4, 8}, {2, 6}, {9, 10}})},
      {"together all there is", "bytes=5-9,0-4", 10, ranges({{5, 10}, {0, 5}})},
      {"together more than there is", "bytes=5-9,0-5", 10, WholeContent{}},
      {"together more than a number holds", "bytes=0-,0-,0-", kLargest, WholeContent{}},
      {"the same twice", "bytes=1-1,1-1", 10, ranges({{1, 2}, {1, 2}})},
      {"blanks and empty members", "bytes= , 0-1 ,, 2-3\t,", 10, ranges({{0, 2}, {2, 4}})},
      {"one of the list out of reach", "bytes=0-1,10-", 10, WholeContent{}},
      {"as many as allowed", "bytes=0-0,1-1,2-2,3-3", 10, ranges({{0, 1}, {1, 2}, {2, 3}, {3, 4}})},
      {"one more than allowed", "bytes=0-0,1-1,2-2,3-3,4-4", 10, WholeContent{}},
      {"more than allowed, none in reach", "bytes=10-,10-,10-,10-,10-", 10, WholeContent{}},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    CHECK((resolve_range(row.header, row.size, 4) == row.answer));
  }
  CHECK((resolve_range("bytes=0-0", 10, 0) == RangeAnswer{WholeContent{}}));
}

TEST_CASE("ranges of uploads") {
  struct Row {
    const char* name;
    std::string header;
    std::optional<ByteRange> range;
  };
  const Row rows[] = {
      {"first chunk", "0-9", ByteRange{0, 10}},
      {"one byte", "5-5", ByteRange{5, 6}},
      {"with a unit", "bytes 5-9", ByteRange{5, 10}},
      {"leading zeros", "007-8", ByteRange{7, 9}},
      {"largest", "0-18446744073709551614", ByteRange{0, kLargest}},
      {"end beyond 64 bits", "0-18446744073709551615", {}},
      {"last beyond 64 bits", "0-18446744073709551616", {}},
      {"first beyond 64 bits", "99999999999999999999999-99999999999999999999999", {}},
      {"empty", "", {}},
      {"unit alone", "bytes ", {}},
      {"unit of reads", "bytes=0-9", {}},
      {"two units", "bytes bytes 0-9", {}},
      {"last before first", "9-8", {}},
      {"no first", "-9", {}},
      {"no last", "0-", {}},
      {"dash alone", "-", {}},
      {"number alone", "5", {}},
      {"with a total", "0-9/10", {}},
      {"blank behind", "0-9 ", {}},
      {"blank in front", " 0-9", {}},
      {"sign", "+0-9", {}},
      {"letters", "a-b", {}},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    CHECK((parse_upload_range(row.header) == row.range));
  }
}

}  // namespace berth::oci
