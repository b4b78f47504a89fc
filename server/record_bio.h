// Where OpenSSL puts its records: the socket, several of them with one call.
//
// OpenSSL writes each record on its own. While a batch is open they are gathered in memory of the thread; what the
// socket does not take of a batch stays here, and goes before anything else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "server/openssl.h"

namespace berth::server {

/// One connection's. One thread at a time, never waits.
class RecordBio {
 public:
  /// What a record of 16 KiB takes at most, with what TLS puts around it.
  static constexpr std::size_t kRecordBytesMax = (16 << 10) + 512;
  /// Records of a batch, together.
  static constexpr std::size_t kBatchBytesMax = 4 * kRecordBytesMax;

  /// The descriptor outlives it and stays the caller's.
  explicit RecordBio(int descriptor) : descriptor_(descriptor) {}
  RecordBio(const RecordBio&) = delete;
  RecordBio& operator=(const RecordBio&) = delete;

  /// For SSL_set_bio(): refers to this, which outlives it. Null when there is no memory.
  BioPtr make_bio();

  enum class Outcome : std::uint8_t { done, blocked, broken };
  /// Sends what an earlier batch left.
  Outcome flush();
  bool empty() const { return left_.empty(); }
  std::size_t unsent() const { return left_.size() - left_at_; }

  /// From here to end_batch() records are gathered: there must be nothing unsent, and nothing may come between but
  /// writes of records of this connection.
  void begin_batch();
  /// Has one record more room?
  bool has_room() const;
  Outcome end_batch();

 private:
  struct Method;
  friend struct Method;
  /// What the socket took. < 0: errno says why not.
  std::ptrdiff_t send(std::span<const std::byte> bytes);

  int descriptor_;
  bool gathering_ = false;
  std::vector<std::byte> left_;  ///< of a batch, from left_at_ on; holds no memory while it is empty
  std::size_t left_at_ = 0;
};

}  // namespace berth::server
