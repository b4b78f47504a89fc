#include "server/wire.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/deferred.hpp>
#include <cerrno>
#include <cstring>
#include <vector>

#include "server/tls_stream.h"

namespace berth::server {
namespace {

bool would_block(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

Wire::Moved moved(ssize_t result) {
  if (result > 0) return {Wire::Outcome::moved, static_cast<std::size_t>(result)};
  if (result == 0) return {Wire::Outcome::ended, 0};
  return {would_block(errno) ? Wire::Outcome::blocked : Wire::Outcome::broken, 0};
}

/// Plaintext on its way into records: several at a time, so that a response takes few calls.
constexpr std::size_t kScratchBytes = 64 << 10;
/// What one connection may encrypt in a row: about 100 µs.
constexpr std::size_t kEncryptedTurnBytes = 256 << 10;
/// What one connection may send in a row while others of the thread wait: less than 100 µs.
constexpr std::size_t kTurnBytes = 128 << 10;
/// What one call sends of a file. The kernel holds back the end of what it was given until it has it all; a reader that
/// gets it in these pieces finds them in the cache (measured: 1.6 times the rate of pieces of 2 MiB, with 0.6 of the CPU).
constexpr std::size_t kFilePieceBytes = 32 << 10;
/// Of the errors of sendfile, those that speak of the file. A socket has many more than the usual ones: what became of
/// the way to a peer that vanished (EHOSTUNREACH, ENETUNREACH, …) is told by the next call, whatever that is.
bool is_of_a_file(int error) {
  return error == EIO || error == ESTALE || error == EBADF || error == EINVAL || error == EOVERFLOW || error == EUCLEAN ||
         error == EBADMSG || error == ENODATA || error == ENXIO || error == EREMOTEIO;
}

/// OpenSSL holds less than this of a record that is not whole yet.
constexpr std::size_t kRecordBytesMax = 18 << 10;

/// One a thread, because nobody holds it across a wait: connections that wait have no such memory.
std::span<std::byte> scratch() {
  thread_local std::vector<std::byte> bytes(kScratchBytes);
  return bytes;
}

/// The pieces in a row, without copying where the first is large. The same pieces give the same bytes, as a record that
/// is half sent demands.
std::span<const std::byte> gather(std::span<const iovec> pieces) {
  constexpr std::size_t kRecordBytes = 16 << 10;
  if (pieces.size() == 1 || pieces.front().iov_len >= kRecordBytes) {
    return {static_cast<const std::byte*>(pieces.front().iov_base), std::min(pieces.front().iov_len, kEncryptedTurnBytes)};
  }
  const auto space = scratch();
  std::size_t filled = 0;
  for (const auto& piece : pieces) {
    const auto bytes = std::min(piece.iov_len, space.size() - filled);
    std::memcpy(space.data() + filled, piece.iov_base, bytes);
    filled += bytes;
  }
  return space.first(filled);
}

}  // namespace

Wire::Wire(Socket socket, RateLimit rate, bool local) : socket_(std::move(socket)), local_(local), rate_(rate) {}
Wire::~Wire() = default;

void Wire::secure(std::shared_ptr<TlsStream> stream) { tls_ = std::move(stream); }

std::optional<std::byte> Wire::first_byte() {
  std::byte byte{};
  if (::recv(socket_.native_handle(), &byte, 1, MSG_DONTWAIT | MSG_PEEK) != 1) return std::nullopt;
  return byte;
}

std::size_t Wire::turn_bytes() const { return tls_ ? kEncryptedTurnBytes : kTurnBytes; }

Wire::Moved Wire::read(std::span<std::byte> into) {
  if (over_) return {};
  if (tls_) return tls_->read(into);
  const auto result = moved(::recv(socket_.native_handle(), into.data(), into.size(), MSG_DONTWAIT));
  received_ += result.bytes;
  return result;
}

Wire::Moved Wire::discard(std::size_t bytes_max) {
  if (over_) return {};
  if (tls_) return tls_->read(scratch().first(std::min(bytes_max, kScratchBytes)));
  if (local_) return read(scratch().first(std::min(bytes_max, kScratchBytes)));  // only TCP drops by MSG_TRUNC
  const auto result = moved(::recv(socket_.native_handle(), nullptr, bytes_max, MSG_DONTWAIT | MSG_TRUNC));
  received_ += result.bytes;
  return result;
}

Wire::Moved Wire::write(std::span<const iovec> pieces, bool more) {
  if (over_) return {};
  if (tls_) return tls_->write(gather(pieces));
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
  if (tls_) return send_file_encrypted(file, offset, size);
  auto position = static_cast<off_t>(offset);
  const auto result = ::sendfile(socket_.native_handle(), file, &position, std::min(size, kFilePieceBytes));
  if (result < 0 && is_of_a_file(errno)) return {Outcome::unreadable, 0};
  const auto step = moved(result);
  sent_ += step.bytes;
  return step;
}

Wire::Moved Wire::send_file_encrypted(int file, std::uint64_t offset, std::size_t size) {
  Moved sent{Outcome::moved, 0};
  while (sent.bytes < size) {
    const auto space = scratch().first(std::min(kScratchBytes, size - sent.bytes));
    const auto got = ::pread(file, space.data(), space.size(), static_cast<off_t>(offset + sent.bytes));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0 && sent.bytes > 0) return sent;  // The next call meets it again.
    if (got <= 0) return {got == 0 ? Outcome::ended : Outcome::unreadable, 0};
    const auto bytes = static_cast<std::size_t>(got);
    const auto step = tls_->write(space.first(bytes));
    if (step.outcome != Outcome::moved && sent.bytes == 0) return step;
    sent.bytes += step.bytes;
    if (step.bytes < bytes) return sent;
  }
  return sent;
}

std::size_t Wire::readable() const {
  if (!tls_) return unread_in_kernel();
  if (over_) return 0;
  return unread_in_kernel() + tls_->pending();
}

std::size_t Wire::unread_in_kernel() const {
  int bytes = 0;
  if (over_ || ::ioctl(const_cast<Wire*>(this)->socket_.native_handle(), SIOCINQ, &bytes) != 0) return 0;
  return static_cast<std::size_t>(std::max(bytes, 0));
}

void Wire::set_read_threshold(std::size_t bytes) {
  // What OpenSSL took already must not be waited for a second time.
  if (tls_) bytes = bytes > kRecordBytesMax ? bytes - kRecordBytesMax : 1;
  if (bytes == read_threshold_ || over_) return;
  const int value = static_cast<int>(bytes);
  // A kernel that refuses only wakes us more often.
  if (::setsockopt(socket_.native_handle(), SOL_SOCKET, SO_RCVLOWAT, &value, sizeof value) == 0) read_threshold_ = bytes;
}

asio::awaitable<bool> Wire::wait_readable(Wait why) {
  const bool turned = tls_ && tls_->read_waits_to_write();
  return wait(turned ? Socket::wait_write : Socket::wait_read, why);
}

asio::awaitable<bool> Wire::wait_writable(Wait why) {
  const bool turned = tls_ && tls_->write_waits_to_read();
  return wait(turned ? Socket::wait_read : Socket::wait_write, why);
}

asio::awaitable<bool> Wire::wait(Socket::wait_type what, Wait why) {
  if (over_ || timed_out_) co_return false;
  if (tls_ && why != Wait::response && tls_->holds_input()) co_return true;
  waiting_ = why;
  const bool has_rate = why == Wait::body || why == Wait::response;  // and needs a clock
  if (has_rate) wait_begin_ = std::chrono::steady_clock::now();
  if (!rate_begun_ && has_rate) {
    rate_begun_ = true;
    waited_ = {};
    third_base_[0] = progress();
    thirds_ = 1;
  }
  const auto [error] = co_await socket_.async_wait(what, asio::as_tuple(asio::deferred));
  if (has_rate) waited_ += std::chrono::steady_clock::now() - wait_begin_;
  waiting_ = Wait::none;
  co_return !error && !over_ && !timed_out_;
}

/// Bytes that the peer itself moved: sent to us, or taken from us and acknowledged. What only fills a buffer of our
/// kernel is no progress of a reader, and what waits there below the threshold is progress of a sender.
std::uint64_t Wire::progress() const {
  if (waiting_ == Wait::body) return (tls_ ? tls_->received() : received_) + unread_in_kernel();
  int unacknowledged = 0;
  if (::ioctl(const_cast<Wire*>(this)->socket_.native_handle(), SIOCOUTQ, &unacknowledged) != 0) unacknowledged = 0;
  const std::uint64_t sent = tls_ ? tls_->sent() : sent_;
  return sent - std::min<std::uint64_t>(sent, static_cast<std::uint64_t>(std::max(unacknowledged, 0)));
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
  // In the middle of an answer a goodbye would pass for its end.
  if (tls_ && waiting_ == Wait::idle) tls_->say_goodbye();
  boost::system::error_code ignored;  // The peer may be gone already.
  socket_.shutdown(Socket::shutdown_both, ignored);
  socket_.cancel(ignored);
  cut_signal_.emit(asio::cancellation_type::terminal);
}

void Wire::half_close() {
  if (tls_) tls_->say_goodbye();
  boost::system::error_code ignored;  // The peer may be gone already.
  socket_.shutdown(Socket::shutdown_send, ignored);
}

void Wire::close(bool reset) {
  if (tls_ && !reset && !over_) tls_->say_goodbye();
  over_ = true;
  boost::system::error_code ignored;  // The descriptor is given back whatever the kernel says.
  if (reset) socket_.set_option(asio::socket_base::linger(true, 0), ignored);
  socket_.close(ignored);
}

}  // namespace berth::server
