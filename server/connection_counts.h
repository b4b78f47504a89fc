// How many connections there are, in total and from each address.
#pragma once

#include <boost/asio/ip/address.hpp>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

namespace berth::server {

class ConnectionCounts;

/// One counted connection; gives itself back.
class ConnectionSlot {
 public:
  ConnectionSlot() = default;
  ConnectionSlot(ConnectionSlot&& other) noexcept : counts_(std::move(other.counts_)), key_(other.key_) {}
  ConnectionSlot& operator=(ConnectionSlot&& other) noexcept {
    std::swap(counts_, other.counts_);
    std::swap(key_, other.key_);
    return *this;
  }
  ~ConnectionSlot();

 private:
  friend class ConnectionCounts;
  std::shared_ptr<ConnectionCounts> counts_;
  std::uint64_t key_ = 0;
};

/// Thread-safe.
class ConnectionCounts : public std::enable_shared_from_this<ConnectionCounts> {
 public:
  /// Counts in any case; the caller asks first.
  ConnectionSlot take(const boost::asio::ip::address& peer);
  std::size_t total() const;
  /// Connections from where `peer` is: an IPv4 address or an IPv6 /64, which is what one customer gets. Loopback is not
  /// counted.
  std::size_t from(const boost::asio::ip::address& peer) const;
  /// Waits until there is none. False: `timeout` passed first.
  bool wait_for_none(std::chrono::steady_clock::duration timeout);

 private:
  friend class ConnectionSlot;
  void give_back(std::uint64_t key);

  mutable std::mutex mutex_;
  std::condition_variable none_;
  std::size_t total_ = 0;
  std::map<std::uint64_t, std::size_t> by_address_;
};

}  // namespace berth::server
