#include "server/connection_counts.h"

namespace berth::server {
namespace {

constexpr std::uint64_t kLoopbackKey = 0;

/// IPv4: the address in the low half; IPv6: the first 64 bits, which are never zero but for the loopback and mapped
/// addresses that are taken out first.
std::uint64_t key_of(const boost::asio::ip::address& peer) {
  if (peer.is_loopback()) return kLoopbackKey;
  if (peer.is_v4()) return peer.to_v4().to_uint();
  const auto v6 = peer.to_v6();
  if (v6.is_v4_mapped()) return key_of(boost::asio::ip::make_address_v4(boost::asio::ip::v4_mapped, v6));
  std::uint64_t key = 0;
  const auto bytes = v6.to_bytes();
  for (std::size_t i = 0; i < 8; ++i) key = key << 8 | bytes[i];
  return key;
}

}  // namespace

ConnectionSlot::~ConnectionSlot() {
  if (counts_) counts_->give_back(key_);
}

ConnectionSlot ConnectionCounts::take(const boost::asio::ip::address& peer) {
  ConnectionSlot slot;
  slot.key_ = key_of(peer);
  const std::lock_guard lock(mutex_);
  ++total_;
  if (slot.key_ != kLoopbackKey) ++by_address_[slot.key_];
  slot.counts_ = shared_from_this();
  return slot;
}

std::size_t ConnectionCounts::total() const {
  const std::lock_guard lock(mutex_);
  return total_;
}

std::size_t ConnectionCounts::from(const boost::asio::ip::address& peer) const {
  const std::lock_guard lock(mutex_);
  const auto found = by_address_.find(key_of(peer));
  return found == by_address_.end() ? 0 : found->second;
}

bool ConnectionCounts::wait_for_none(std::chrono::steady_clock::duration timeout) {
  std::unique_lock lock(mutex_);
  return none_.wait_for(lock, timeout, [this] { return total_ == 0; });
}

void ConnectionCounts::give_back(std::uint64_t key) {
  const std::lock_guard lock(mutex_);
  if (--total_ == 0) none_.notify_all();
  if (key == kLoopbackKey) return;
  const auto found = by_address_.find(key);
  if (--found->second == 0) by_address_.erase(found);
}

}  // namespace berth::server
