// An HTTP client that sends what it is told, right or wrong, and reads one reply at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/support/tls_client.h"

namespace berth::test {

struct Reply {
  std::string status_line;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::string_view header(std::string_view name) const;  ///< names compare without case
};

class Connection {
 public:
  /// To 127.0.0.1.
  Connection(std::uint16_t port, bool tls);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection();

  /// False when the server does not take it.
  bool send(std::string_view bytes);
  /// Empty when the server hung up or nothing whole came in time; `rest()` holds what did.
  std::optional<Reply> read(bool head_request, std::chrono::milliseconds longest);
  /// Waits for the server to hang up. False when it does not, or when it says something before.
  bool read_end(std::chrono::milliseconds longest);
  /// Does nothing come in this time, not even the end?
  bool is_silent(std::chrono::milliseconds time);
  void finish_sending();
  std::string_view rest() const { return input_; }

 private:
  enum class Read { bytes, end, timeout };
  Read read_some(std::chrono::steady_clock::time_point until);

  int socket_ = -1;
  std::unique_ptr<TlsClient> tls_;
  std::string input_;
};

}  // namespace berth::test
