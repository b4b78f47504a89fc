#include "server/wire.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/deferred.hpp>
#include <cerrno>

namespace berth::server {
namespace {

bool would_block(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

Wire::Moved moved(ssize_t result) {
  if (result > 0) return {Wire::Outcome::moved, static_cast<std::size_t>(result)};
  if (result == 0) return {Wire::Outcome::ended, 0};
  return {would_block(errno) ? Wire::Outcome::blocked : Wire::Outcome::broken, 0};
}

}  // namespace

Wire::Moved Wire::read(std::span<std::byte> into) {
  if (over_) return {};
  const auto result = moved(::recv(socket_.native_handle(), into.data(), into.size(), MSG_DONTWAIT));
  received_ += result.bytes;
  return result;
}

Wire::Moved Wire::discard(std::size_t bytes_max) {
  if (over_) return {};
  const auto result = moved(::recv(socket_.native_handle(), nullptr, bytes_max, MSG_DONTWAIT | MSG_TRUNC));
  received_ += result.bytes;
  return result;
}

Wire::Moved Wire::write(std::span<const iovec> pieces, bool more) {
  if (over_) return {};
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(pieces.data());
  message.msg_iovlen = pieces.size();
  const int flags = MSG_DONTWAIT | MSG_NOSIGNAL | (more ? MSG_MORE : 0);
  const auto result = moved(::sendmsg(socket_.native_handle(), &message, flags));
  sent_ += result.bytes;
  return result;
}

Wire::Moved Wire::send_file(int file, std::uint64_t offset, std::size_t size) {
  if (over_) return {};
  auto position = static_cast<off_t>(offset);
  const auto result = ::sendfile(socket_.native_handle(), file, &position, size);
  if (result < 0 && !would_block(errno) && errno != EPIPE && errno != ECONNRESET && errno != ETIMEDOUT &&
      errno != ENOTCONN) {
    // Whatever else went wrong, the bytes that were promised cannot be had; the caller logs it.
    return {Outcome::unreadable, 0};
  }
  const auto step = moved(result);
  sent_ += step.bytes;
  return step;
}

std::size_t Wire::readable() const {
  int bytes = 0;
  if (over_ || ::ioctl(const_cast<Wire*>(this)->socket_.native_handle(), SIOCINQ, &bytes) != 0) return 0;
  return static_cast<std::size_t>(std::max(bytes, 0));
}

void Wire::set_read_threshold(std::size_t bytes) {
  if (bytes == read_threshold_ || over_) return;
  const int value = static_cast<int>(bytes);
  // A kernel that refuses only wakes us more often.
  if (::setsockopt(socket_.native_handle(), SOL_SOCKET, SO_RCVLOWAT, &value, sizeof value) == 0) read_threshold_ = bytes;
}

asio::awaitable<bool> Wire::wait_readable(Wait why) { return wait(asio::ip::tcp::socket::wait_read, why); }
asio::awaitable<bool> Wire::wait_writable() { return wait(asio::ip::tcp::socket::wait_write, Wait::response); }

asio::awaitable<bool> Wire::wait(asio::ip::tcp::socket::wait_type what, Wait why) {
  if (over_ || timed_out_) co_return false;
  waiting_ = why;
  wait_begin_ = std::chrono::steady_clock::now();
  if (!rate_begun_ && (why == Wait::body || why == Wait::response)) {
    rate_begun_ = true;
    waited_ = {};
    third_base_[0] = progress();
    thirds_ = 1;
  }
  const auto [error] = co_await socket_.async_wait(what, asio::as_tuple(asio::deferred));
  waited_ += std::chrono::steady_clock::now() - wait_begin_;
  waiting_ = Wait::none;
  co_return !error && !over_ && !timed_out_;
}

/// Bytes that the peer itself moved: sent to us, or taken from us and acknowledged. What only fills a buffer of our
/// kernel is no progress of a reader, and what waits there below the threshold is progress of a sender.
std::uint64_t Wire::progress() const {
  if (waiting_ == Wait::body) return received_ + readable();
  int unacknowledged = 0;
  if (::ioctl(const_cast<Wire*>(this)->socket_.native_handle(), SIOCOUTQ, &unacknowledged) != 0) return sent_;
  return sent_ - std::min<std::uint64_t>(sent_, static_cast<std::uint64_t>(std::max(unacknowledged, 0)));
}

bool Wire::moves_too_little(SteadyTime now) {
  if (waited_ + (now - wait_begin_) < rate_.window / static_cast<int>(third_base_.size())) return false;
  const auto reached = progress();
  if (thirds_ == third_base_.size()) {
    if (reached - third_base_[0] < rate_.bytes) return true;
    std::shift_left(third_base_.begin(), third_base_.end(), 1);
    --thirds_;
  }
  third_base_[thirds_++] = reached;
  waited_ = {};
  wait_begin_ = now;
  return false;
}

void Wire::check(SteadyTime now) {
  if (over_ || timed_out_ || waiting_ == Wait::none) return;
  const bool rated = waiting_ == Wait::body || waiting_ == Wait::response;
  if (rated ? !moves_too_little(now) : now < deadline_) return;
  timed_out_ = true;
  boost::system::error_code ignored;  // The wait ends in any case, at the latest when the kernel gives the peer up.
  socket_.cancel(ignored);
}

void Wire::cut() {
  if (over_) return;
  over_ = true;
  boost::system::error_code ignored;  // The peer may be gone already.
  socket_.shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
  socket_.cancel(ignored);
}

void Wire::half_close() {
  boost::system::error_code ignored;  // The peer may be gone already.
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
}

void Wire::close(bool reset) {
  over_ = true;
  boost::system::error_code ignored;  // The descriptor is given back whatever the kernel says.
  if (reset) socket_.set_option(asio::socket_base::linger(true, 0), ignored);
  socket_.close(ignored);
}

}  // namespace berth::server
