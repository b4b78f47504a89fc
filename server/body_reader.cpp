#include "server/body_reader.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace berth::server {
namespace {

constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
/// A body is taken from the kernel in pieces of at least this size, or its end: smaller ones cost a job on the disk
/// pool each, larger ones let more gather in the kernel for a slow client.
constexpr std::size_t kPieceBytesMin = 64 << 10;

std::span<std::byte> unread(Input& input) {
  const auto data = input.data();
  return {static_cast<std::byte*>(data.data()), data.size()};
}

}  // namespace

BodyReader::BodyReader(Wire& wire, Input& input, registry::BufferPool& buffers, BodyFraming framing,
                       std::function<std::function<void()>()> interrupter)
    : wire_(wire),
      input_(input),
      buffers_(buffers),
      left_(framing.chunked ? 0 : framing.length),
      continue_due_(framing.expects_continue),
      interrupter_(std::move(interrupter)) {
  if (framing.chunked) decoder_.emplace();
}

bool BodyReader::complete() const {
  return !failure_ && (decoder_ ? decoder_->state() == ChunkedDecoder::State::done : left_ == 0);
}

Error BodyReader::fail(ErrorCode code, std::string message) {
  failure_ = make_error(code, std::move(message));
  return *failure_;
}

Error BodyReader::wait_failed() {
  if (wire_.timed_out()) return fail(ErrorCode::request_timeout, "the request body came too slowly");
  return fail(ErrorCode::aborted, "the client went away");
}

/// How many bytes to wait for: never more than the body must still have, or the wait would outlast it.
std::size_t BodyReader::threshold() const {
  const auto left = decoder_ ? decoder_->bytes_left_min() : left_;
  return static_cast<std::size_t>(std::clamp<std::uint64_t>(left, 1, kPieceBytesMin));
}

/// Content out of the bytes that came with the head or behind a chunk.
std::size_t BodyReader::take_input(std::span<std::byte> out) {
  const auto in = unread(input_);
  if (!decoder_) {
    const auto bytes = static_cast<std::size_t>(std::min<std::uint64_t>({in.size(), left_, out.size()}));
    if (bytes > 0) std::memcpy(out.data(), in.data(), bytes);
    input_.consume(bytes);
    left_ -= bytes;
    return bytes;
  }
  const auto step = decoder_->decode(in.data(), in.size(), out.data(), out.size());
  input_.consume(step.consumed);
  return step.produced;
}

/// Content straight from the socket; `filled` bytes of `out` are taken and grow. Input is empty.
Wire::Outcome BodyReader::take_wire(std::span<std::byte> out, std::size_t& filled) {
  const auto space = out.subspan(filled);
  if (!decoder_) {
    const auto io = wire_.read(space.first(static_cast<std::size_t>(std::min<std::uint64_t>(space.size(), left_))));
    filled += io.bytes;
    left_ -= io.bytes;
    return io.outcome;
  }
  const auto io = wire_.read(space);
  if (io.outcome != Wire::Outcome::moved) return io.outcome;
  const auto step = decoder_->decode(space.data(), io.bytes, space.data(), space.size());
  filled += step.produced;
  if (const auto rest = io.bytes - step.consumed; rest > 0 && decoder_->state() == ChunkedDecoder::State::done) {
    // The next request came in the same piece.
    const auto room = input_.prepare(rest);
    std::memcpy(room.data(), space.data() + step.consumed, rest);
    input_.commit(rest);
  }
  return io.outcome;
}

asio::awaitable<bool> BodyReader::send_continue() {
  std::string_view left = kContinue;
  wire_.begin_rate();
  while (!left.empty()) {
    const std::array<iovec, 1> piece{{{const_cast<char*>(left.data()), left.size()}}};
    const auto io = wire_.write(piece, false);
    if (io.outcome == Wire::Outcome::moved) {
      left.remove_prefix(io.bytes);
    } else if (io.outcome != Wire::Outcome::blocked || !co_await wire_.wait_writable()) {
      co_return false;
    }
  }
  wire_.begin_rate();
  co_return true;
}

Task<registry::Buffer> BodyReader::next() {
  if (failure_) co_return *failure_;
  // A client that sends without waiting needs no invitation (RFC 9110 §10.1.1).
  if (std::exchange(continue_due_, false) && input_.size() == 0 && !co_await send_continue()) co_return wait_failed();
  while (!complete()) {
    if (input_.size() == 0) {
      wire_.set_read_threshold(threshold());
      const auto begun = std::chrono::steady_clock::now();
      const bool came = co_await wire_.wait_readable(Wire::Wait::body);
      client_wait_ += std::chrono::steady_clock::now() - begun;
      if (!came) co_return wait_failed();
    }
    // Only now that bytes are there is memory taken for them.
    const std::uint64_t arrived = input_.size() + wire_.readable();
    const auto expected = static_cast<std::size_t>(decoder_ ? arrived : std::min(arrived, left_));
    const auto asked = std::chrono::steady_clock::now();
    auto acquired = co_await buffers_.acquire(expected, wire_.cut_slot());
    memory_wait_ += std::chrono::steady_clock::now() - asked;
    if (!acquired) co_return fail(ErrorCode::aborted, "the request was given up");
    auto buffer = *std::move(acquired);
    if (wire_.over()) co_return wait_failed();

    const auto out = buffer.space();
    std::size_t filled = take_input(out);
    auto outcome = Wire::Outcome::moved;
    while (outcome == Wire::Outcome::moved && filled < out.size() && input_.size() == 0 && !complete() &&
           (!decoder_ || decoder_->state() == ChunkedDecoder::State::more)) {
      outcome = take_wire(out, filled);
    }
    if (decoder_ && decoder_->state() == ChunkedDecoder::State::bad) {
      co_return fail(ErrorCode::size_invalid, std::string(decoder_->reason()));
    }
    if (filled > 0) {  // What came before the connection ended counts; the next call reports the end.
      buffer.set_size(filled);
      received_ += filled;
      co_return std::move(buffer);
    }
    if (outcome == Wire::Outcome::ended || outcome == Wire::Outcome::broken) {
      co_return fail(ErrorCode::aborted, "the client went away before the end of the body");
    }
  }
  co_return registry::Buffer{};
}

void BodyReader::discard_arrived() {
  if (failure_) return;
  std::array<std::byte, 4096> scratch;
  std::size_t budget = kRemainderMax;
  while (!complete() && budget > 0) {
    std::size_t dropped = 0;
    if (input_.size() > 0) {
      const auto before = input_.size();
      take_input(scratch);
      dropped = before - input_.size();
      if (dropped == 0) break;  // Bad framing.
    } else if (!decoder_) {
      const auto io = wire_.discard(static_cast<std::size_t>(std::min<std::uint64_t>(left_, budget)));
      if (io.outcome != Wire::Outcome::moved) break;
      left_ -= io.bytes;
      dropped = io.bytes;
    } else {
      if (decoder_->state() != ChunkedDecoder::State::more) break;
      std::size_t filled = 0;
      if (take_wire(scratch, filled) != Wire::Outcome::moved) break;
      dropped = scratch.size();
    }
    budget -= std::min(budget, dropped);
  }
  if (complete()) continue_due_ = false;
}

bool BodyReader::remainder_is_short() const {
  // A client that still waits for 100 Continue may or may not send its body: only closing is unambiguous.
  return !failure_ && !continue_due_ && !decoder_ && left_ <= kRemainderMax;
}

asio::awaitable<bool> BodyReader::discard_remainder() {
  while (!complete()) {
    wire_.set_read_threshold(threshold());
    if (!co_await wire_.wait_readable(Wire::Wait::linger)) co_return false;
    const auto io = wire_.discard(static_cast<std::size_t>(left_));
    if (io.outcome == Wire::Outcome::ended || io.outcome == Wire::Outcome::broken) co_return false;
    left_ -= io.bytes;
  }
  co_return true;
}

}  // namespace berth::server
