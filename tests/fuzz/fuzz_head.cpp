// Request heads: the verdict does not depend on how the bytes are cut, and a second reader reads what is accepted alike.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "server/request_head.h"
#include "server/second_opinion.h"

namespace {

using berth::server::HeadLimits;
using berth::server::RequestHeadParser;
using Progress = RequestHeadParser::Progress;

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "fuzz_head: %s\n", what);
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  // The first two bytes choose the packets and the limit.
  const std::size_t step = 1 + data[0] % 64;
  const HeadLimits limits{data[1] % 2 == 0 ? std::size_t{32} << 10 : 16 + data[1] * std::size_t{4}, 1 + data[1] % std::size_t{100}};
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);

  RequestHeadParser whole(limits);
  const auto verdict = whole.advance(bytes);

  RequestHeadParser cut(limits);
  auto cut_verdict = Progress::more;
  for (std::size_t end = 0; cut_verdict == Progress::more && end < bytes.size(); end += step) {
    cut_verdict = cut.advance(bytes.substr(0, end));
  }
  if (cut_verdict == Progress::more) cut_verdict = cut.advance(bytes);
  if (cut_verdict != verdict) fail("the verdict depends on the packets");
  if (verdict == Progress::refused) {
    if (whole.refusal().status != cut.refusal().status || whole.refusal().reason != cut.refusal().reason) {
      fail("the refusal depends on the packets");
    }
    if (whole.refusal().status < 400 || whole.refusal().reason.empty()) fail("a refusal says nothing");
  }
  if (verdict != Progress::done) return 0;

  if (whole.size() != cut.size() || whole.size() > limits.bytes_max) fail("the size of the head is wrong");
  const auto head = whole.head(bytes);
  if (head.fields.size() > limits.fields_max) fail("too many fields");
  if (head.chunked && (head.content_length || head.http_1_0)) fail("two ends of one body");
  if (head.target.empty() || head.target.front() != '/') fail("a target that is no path");
  if (const auto disagreement = berth::server::find_disagreement(bytes.substr(0, whole.size()), head)) fail(disagreement->c_str());
  return 0;
}
