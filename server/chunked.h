// Chunked bodies (RFC 9112 §7.1), decoded strictly and in place. Trailer fields are checked and dropped: nothing that
// comes after a body may change what its head said. Chunk extensions are refused: no client of a registry sends any, and
// where two readers disagree about their end, one request hides in another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace berth::server {

class ChunkedDecoder {
 public:
  static constexpr std::size_t kTrailerBytesMax = 8 << 10;

  enum class State { more, done, bad };
  struct Step {
    std::size_t consumed = 0;  ///< bytes of `in` that were looked at; all, unless done, bad or `out` is full
    std::size_t produced = 0;  ///< bytes of content in `out`
  };

  /// Decodes `in` into `out`, which may be the same memory (what is written never overtakes what is read) and holds at
  /// most `room` bytes. Never throws. After done or bad it consumes nothing.
  Step decode(const std::byte* in, std::size_t size, std::byte* out, std::size_t room);

  State state() const { return state_; }
  /// After bad: a sentence for the client.
  std::string_view reason() const { return reason_; }
  /// The body cannot end in fewer bytes than this: how much may be waited for without waiting for too much.
  std::uint64_t bytes_left_min() const;

 private:
  enum class Expect : std::uint8_t {
    size_first, size_more, size_feed,                     // 1a3f CR LF
    data, data_return, data_feed,                         // content CR LF
    trailer_begin, trailer_name, trailer_value, trailer_feed, end_feed,
  };
  bool control(char c);
  void size_line_done();
  bool refuse(std::string_view reason);

  State state_ = State::more;
  Expect expect_ = Expect::size_first;
  std::uint8_t digits_ = 0;
  std::uint64_t chunk_left_ = 0;  ///< while the size is read: the size so far
  std::size_t trailer_bytes_ = 0;
  std::string_view reason_;
};

}  // namespace berth::server
