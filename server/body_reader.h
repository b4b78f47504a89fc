// The body of one request, pulled from the connection: by length or in chunks, each strictly to its end.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "api/http.h"
#include "registry/buffer.h"
#include "server/chunked.h"
#include "server/input_buffer.h"
#include "server/request_head.h"
#include "server/wire.h"

namespace berth::server {

/// How far the body of a request reaches.
struct BodyFraming {
  std::uint64_t length = 0;  ///< without meaning when chunked
  bool chunked = false;
  bool expects_continue = false;
};

/// Lives on the I/O thread of its connection and no longer than its request.
class BodyReader final : public api::BodySource {
 public:
  /// A remainder up to this size is read after an early answer so that the connection survives.
  static constexpr std::uint64_t kRemainderMax = 256 << 10;

  BodyReader(Wire& wire, Input& input, registry::BufferPool& buffers, BodyFraming framing,
             std::function<std::function<void()>()> interrupter);

  Task<registry::Buffer> next() override;
  std::function<void()> interrupter() override { return interrupter_(); }

  /// All of it was read, framing included: what comes next on the connection is the next request.
  bool complete() const;
  /// Bytes that next() has given out.
  std::uint64_t received() const { return received_; }
  /// Why the body cannot be read on, if so.
  const std::optional<Error>& failure() const { return failure_; }
  /// What was waited for meanwhile.
  std::chrono::steady_clock::duration client_wait() const { return client_wait_; }
  std::chrono::steady_clock::duration memory_wait() const { return memory_wait_; }
  /// Drops what has come already, without waiting.
  void discard_arrived();
  /// The remainder is known, short, and surely on its way.
  bool remainder_is_short() const;
  /// Drops the remainder, waiting for it until the wire's deadline. False: it did not come.
  asio::awaitable<bool> discard_remainder();

 private:
  Error fail(ErrorCode code, std::string message);
  Error wait_failed();
  std::size_t threshold() const;
  std::size_t take_input(std::span<std::byte> out);
  Wire::Outcome take_wire(std::span<std::byte> out, std::size_t& filled);
  asio::awaitable<bool> send_continue();

  Wire& wire_;
  Input& input_;
  registry::BufferPool& buffers_;
  std::uint64_t left_ = 0;
  std::uint64_t received_ = 0;
  std::optional<ChunkedDecoder> decoder_;
  bool continue_due_ = false;
  std::chrono::steady_clock::duration client_wait_{};
  std::chrono::steady_clock::duration memory_wait_{};
  std::optional<Error> failure_;
  std::function<std::function<void()>()> interrupter_;
};

}  // namespace berth::server
