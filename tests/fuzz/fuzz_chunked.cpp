// Chunked bodies: content and verdict do not depend on how the bytes are cut, nor on the room for the content.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "server/chunked.h"

namespace {

using berth::server::ChunkedDecoder;

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "fuzz_chunked: %s\n", what);
  std::abort();
}

struct Outcome {
  ChunkedDecoder::State state = ChunkedDecoder::State::more;
  std::string content;
  std::size_t consumed = 0;
  bool operator==(const Outcome&) const = default;
};

/// In place, in packets of `step` bytes.
Outcome decode_in_place(const std::uint8_t* data, std::size_t size, std::size_t step) {
  ChunkedDecoder decoder;
  Outcome outcome;
  for (std::size_t at = 0; at < size; at += step) {
    const auto packet = std::min(step, size - at);
    std::vector<std::byte> bytes(packet);
    std::copy_n(reinterpret_cast<const std::byte*>(data) + at, packet, bytes.begin());
    const auto least = decoder.bytes_left_min();
    const auto before = decoder.state();
    const auto done = decoder.decode(bytes.data(), packet, bytes.data(), packet);
    if (done.produced > done.consumed || done.consumed > packet) fail("more content than bytes");
    if (before == ChunkedDecoder::State::more && decoder.state() == ChunkedDecoder::State::done && done.consumed < least) {
      fail("the body ended before the least that was left");
    }
    outcome.consumed += done.consumed;
    outcome.content.append(reinterpret_cast<const char*>(bytes.data()), done.produced);
  }
  outcome.state = decoder.state();
  return outcome;
}

Outcome decode_into(const std::uint8_t* data, std::size_t size, std::size_t room) {
  ChunkedDecoder decoder;
  Outcome outcome;
  std::vector<std::byte> out(room);
  for (;;) {
    const auto done = decoder.decode(reinterpret_cast<const std::byte*>(data) + outcome.consumed, size - outcome.consumed, out.data(), room);
    if (done.produced > room) fail("more content than room");
    outcome.consumed += done.consumed;
    outcome.content.append(reinterpret_cast<const char*>(out.data()), done.produced);
    if (done.consumed == 0) break;
  }
  outcome.state = decoder.state();
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const std::size_t step = 1 + data[0] % 32;
  ++data;
  --size;
  const auto whole = decode_in_place(data, size, size + 1);
  if (whole != decode_in_place(data, size, step)) fail("the outcome depends on the packets");
  if (whole != decode_into(data, size, step)) fail("the outcome depends on the room");
  return 0;
}
