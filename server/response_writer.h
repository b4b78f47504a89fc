// Writes one response: text and shared memory gathered into few system calls, files straight from the page cache.
//
// sendfile would wait for the disk where pages are cold, and with it everybody on the thread. So each slice is probed
// first, and what is cold is read by the disk pool before it is sent.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "api/http.h"
#include "base/task.h"
#include "server/wire.h"

namespace berth::server {

/// Lives on the I/O thread of its connection and no longer than its response.
class ResponseWriter {
 public:
  enum class End {
    complete,
    peer_gone,   ///< or too slow, or cut
    unreadable,  ///< the file behind the body failed or is shorter than it was; the connection must close
  };

  ResponseWriter(Wire& wire, Pool& disk_pool) : wire_(wire), disk_pool_(disk_pool) {}

  /// The head, then `body` if not null. Both outlive the call.
  asio::awaitable<End> write(std::string_view head, const std::vector<api::BodyPart>* body);
  /// Bytes of the body that the kernel took.
  std::uint64_t body_bytes() const { return body_bytes_; }
  /// What it waited for the disk to read what was to be sent.
  std::chrono::steady_clock::duration disk_wait() const { return disk_wait_; }
  /// Of what ended as unreadable: what could not be read, and why.
  const std::string& failure() const { return failure_; }

 private:
  asio::awaitable<End> write_memory();
  asio::awaitable<End> send_slice(const api::FileSlice& slice);
  asio::awaitable<bool> warm_up(const api::FileSlice& slice, std::uint64_t begin, std::uint64_t end);
  bool ends_turn(std::uint64_t bytes);
  void advance(std::size_t bytes);
  bool at_file() const;
  bool at_end() const { return head_.empty() && part_ == parts_; }

  Wire& wire_;
  Pool& disk_pool_;
  std::string_view head_;
  const std::vector<api::BodyPart>* body_ = nullptr;
  std::size_t parts_ = 0;
  std::size_t part_ = 0;
  std::uint64_t offset_ = 0;  ///< bytes of body[part] that were sent
  std::uint64_t body_bytes_ = 0;
  std::chrono::steady_clock::duration disk_wait_{};
  std::string failure_;
  std::uint64_t turn_ = 0;  ///< bytes sent since others of the thread had theirs; less than a turn
};

/// The text of the status line and the header fields, with Date, Content-Length and Connection added and the empty
/// line. Empty when a field holds what would let a value become a header or a body of its own.
std::string format_response_head(const api::Response& response, std::string_view date, bool close);

/// "Sat, 21 Nov 2026 10:00:00 GMT" (RFC 9110 §5.6.7), of now. One thread; formats once a second.
class DateText {
 public:
  std::string_view now();

 private:
  std::int64_t second_ = -1;
  std::string text_;
};

}  // namespace berth::server
