#include "server/chunked.h"

#include <algorithm>
#include <cstring>

#include "server/request_head.h"

namespace berth::server {
namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

bool ChunkedDecoder::refuse(std::string_view reason) {
  reason_ = reason;
  state_ = State::bad;
  return false;
}

ChunkedDecoder::Step ChunkedDecoder::decode(const std::byte* in, std::size_t size, std::byte* out, std::size_t room) {
  Step step;
  while (state_ == State::more && step.consumed < size) {
    if (expect_ != Expect::data) {
      if (control(static_cast<char>(in[step.consumed]))) ++step.consumed;
      continue;
    }
    const auto here = std::min<std::uint64_t>({chunk_left_, size - step.consumed, room - step.produced});
    if (here == 0) break;
    if (out + step.produced != in + step.consumed) std::memmove(out + step.produced, in + step.consumed, here);
    step.consumed += here;
    step.produced += here;
    chunk_left_ -= here;
    if (chunk_left_ == 0) expect_ = Expect::data_return;
  }
  return step;
}

/// One byte that is not content. False: refused, and the byte is not consumed.
bool ChunkedDecoder::control(char c) {
  switch (expect_) {
    case Expect::size_first:
    case Expect::size_more: {
      if (const int value = hex_value(c); value >= 0) {
        // 16 digits hold any size; more of them would only be zeros in front, which readers truncate differently.
        if (++digits_ > 16) return refuse("a chunk size is too long");
        if (chunk_left_ >> 59 != 0) return refuse("a chunk is too large");
        chunk_left_ = chunk_left_ << 4 | static_cast<std::uint64_t>(value);
        expect_ = Expect::size_more;
        return true;
      }
      if (expect_ == Expect::size_first) return refuse("a chunk does not begin with its size in hexadecimal");
      if (c == '\r') return expect_ = Expect::size_feed, true;
      if (c == ';') return refuse("chunk extensions are not accepted");
      return refuse("a chunk size is malformed");
    }
    case Expect::size_feed:
      if (c != '\n') return refuse("a chunk size does not end in CR LF");
      size_line_done();
      return true;
    case Expect::data_return:
      if (c != '\r') return refuse("a chunk is longer than its size");
      expect_ = Expect::data_feed;
      return true;
    case Expect::data_feed:
      if (c != '\n') return refuse("a chunk does not end in CR LF");
      expect_ = Expect::size_first;
      return true;
    case Expect::trailer_begin:
      if (c == '\r') return expect_ = Expect::end_feed, true;
      expect_ = Expect::trailer_name;
      if (!is_token_char(c)) return refuse("a trailer field is malformed");
      break;
    case Expect::trailer_name:
      if (c == ':') {
        expect_ = Expect::trailer_value;
      } else if (!is_token_char(c)) {
        return refuse("a trailer field is malformed");
      }
      break;
    case Expect::trailer_value:
      if (c == '\r') {
        expect_ = Expect::trailer_feed;
      } else if (!is_value_char(c)) {
        return refuse("a trailer field is malformed");
      }
      break;
    case Expect::trailer_feed:
      if (c != '\n') return refuse("a trailer field does not end in CR LF");
      expect_ = Expect::trailer_begin;
      break;
    case Expect::end_feed:
      if (c != '\n') return refuse("the body does not end in CR LF");
      state_ = State::done;
      return true;
    case Expect::data:
      return refuse("internal: content read as control");
  }
  if (++trailer_bytes_ > kTrailerBytesMax) return refuse("the trailer fields are too long");
  return true;
}

void ChunkedDecoder::size_line_done() {
  expect_ = chunk_left_ == 0 ? Expect::trailer_begin : Expect::data;
  digits_ = 0;
}

std::uint64_t ChunkedDecoder::bytes_left_min() const {
  constexpr std::uint64_t kLastChunk = 5;  // "0" CR LF CR LF
  if (state_ != State::more) return 0;
  switch (expect_) {
    case Expect::data: return chunk_left_ + 2 + kLastChunk;
    case Expect::data_return: return 2 + kLastChunk;
    case Expect::data_feed: return 1 + kLastChunk;
    case Expect::size_first: return kLastChunk;
    default: return 1;
  }
}

}  // namespace berth::server
