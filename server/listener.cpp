#include "server/listener.h"

#include <fcntl.h>
#include <pthread.h>
#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstring>
#include <exception>
#include <string>

namespace berth::server {
namespace {

using asio::ip::tcp;

constexpr int kBacklog = 1024;
/// Accepted in one go, before the other listeners have their turn.
constexpr int kBatch = 64;
/// The owner can look after a server that is full.
constexpr std::size_t kLocalReserve = 16;
constexpr auto kBackOff = std::chrono::milliseconds(50);
constexpr auto kComplainEvery = std::chrono::seconds(10);

/// A name is resolved once, IPv4 first: what prints as "localhost" elsewhere is 127.0.0.1 to most clients.
Result<tcp::endpoint> resolve(asio::io_context& io, const ListenerOptions& options) {
  boost::system::error_code error;
  if (const auto address = asio::ip::make_address(options.address, error); !error) return tcp::endpoint(address, options.port);
  tcp::resolver resolver(io);
  const auto found = resolver.resolve(options.address, std::to_string(options.port), tcp::resolver::passive, error);
  if (error || found.empty()) {
    return make_error(ErrorCode::unavailable, fmt::format("cannot resolve the listener's address {}: {}", options.address, error.message()));
  }
  const auto v4 = std::find_if(found.begin(), found.end(), [](const auto& entry) { return entry.endpoint().address().is_v4(); });
  return v4 != found.end() ? v4->endpoint() : found.begin()->endpoint();
}

std::string text_of(const asio::ip::address& address) {
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()).to_string();
  }
  return address.to_string();
}

void bind_to(tcp::acceptor& acceptor, const tcp::endpoint& endpoint, boost::system::error_code& error) {
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(asio::socket_base::reuse_address(true), error);
  // "::" serves IPv4 too, whatever the system's default is.
  if (!error && endpoint.address().is_v6()) acceptor.set_option(asio::ip::v6_only(!endpoint.address().is_unspecified()), error);
  if (!error) acceptor.bind(endpoint, error);
}

/// Says why and hangs up, without waiting for anything.
void turn_away(const Descriptor& descriptor, std::string_view reason, unsigned status = 503) {
  const auto response = error_response(status, reason);
  DateText date;
  const auto text = format_response_head(response, date.now(), true) + std::get<std::string>(response.body.front());
  // Best effort: a client that cannot take 300 bytes at once loses nothing but the reason.
  (void)::send(descriptor.get(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  (void)::shutdown(descriptor.get(), SHUT_WR);
  // Unread bytes would turn the close into a reset that overtakes the answer.
  std::array<char, 16 << 10> dropped;
  while (::recv(descriptor.get(), dropped.data(), dropped.size(), MSG_DONTWAIT) > 0) {
  }
}

}  // namespace

Acceptor::Acceptor(const ServerOptions& options, const Tls& tls, std::vector<std::unique_ptr<IoThread>>& threads,
                   std::shared_ptr<ConnectionCounts> counts)
    : options_(options),
      connections_max_(std::min(options.connections_max, options.connections_cap)),
      connections_per_address_max_(options.connections_per_address_max),
      tls_(tls),
      threads_(threads),
      counts_(std::move(counts)),
      metrics_(options.listeners) {}

Result<void> Acceptor::open() {
  reserve_ = Descriptor(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  for (const auto& listener : options_.listeners) {
    if (auto opened = open_one(listener); !opened) {
      acceptors_.clear();
      return opened;
    }
  }
  open_local();
  return {};
}

/// Some file systems have no sockets; that is no reason to serve nobody.
void Acceptor::open_local() {
  if (options_.local_socket.empty()) return;
  auto opened = LocalSocket::open(options_.local_socket);
  if (!opened) {
    spdlog::warn("{}; commands on this machine need --server", opened.error().message);
    return;
  }
  auto descriptor = opened->take();
  boost::system::error_code error;
  local_acceptor_.assign(asio::local::stream_protocol(), descriptor.get(), error);
  if (error) {
    spdlog::warn("the local socket {}: cannot be watched: {}", options_.local_socket, error.message());
    return;
  }
  descriptor.release();  // The acceptor owns it.
  local_socket_.emplace(*std::move(opened));
}

int Acceptor::descriptor_of(std::size_t listener) {
  return is_local(listener) ? local_acceptor_.native_handle() : acceptors_[listener].native_handle();
}

Result<void> Acceptor::open_one(const ListenerOptions& options) {
  BERTH_TRY(const auto endpoint, resolve(io_, options));
  tcp::acceptor acceptor(io_);
  boost::system::error_code error;
  if (options.passed_socket >= 0) {
    // The kernel's word: a socket for "[::]" may stand for a listener at "0.0.0.0".
    sockaddr_storage bound{};
    socklen_t size = sizeof bound;
    (void)::getsockname(options.passed_socket, reinterpret_cast<sockaddr*>(&bound), &size);
    acceptor.assign(bound.ss_family == AF_INET6 ? tcp::v6() : tcp::v4(), options.passed_socket, error);
  } else {
    bind_to(acceptor, endpoint, error);
  }
  if (!error) acceptor.listen(kBacklog, error);
  if (!error) acceptor.native_non_blocking(true, error);
  if (error) {
    const auto shown = endpoint.address().is_v6() ? fmt::format("[{}]:{}", endpoint.address().to_string(), options.port)
                                                  : fmt::format("{}:{}", endpoint.address().to_string(), options.port);
    const auto* advice = error == boost::system::errc::address_in_use
                             ? "; stop the program that has it, or choose another port with --listen"
                             : "";
    return make_error(ErrorCode::unavailable, fmt::format("cannot listen on {}: {}{}", shown, error.message(), advice));
  }
  // Across exec of a helper program, a listening socket would keep the port taken.
  ::fcntl(acceptor.native_handle(), F_SETFD, FD_CLOEXEC);
  acceptors_.push_back(std::move(acceptor));
  return {};
}

std::vector<std::uint16_t> Acceptor::ports() const {
  std::vector<std::uint16_t> ports;
  for (const auto& acceptor : acceptors_) {
    boost::system::error_code error;
    ports.push_back(acceptor.local_endpoint(error).port());
  }
  return ports;
}

void Acceptor::start() {
  for (std::size_t listener = 0; listener < acceptors_.size(); ++listener) {
    asio::co_spawn(io_, accept_from(acceptors_[listener], listener), asio::detached);
  }
  if (local_acceptor_.is_open()) asio::co_spawn(io_, accept_from(local_acceptor_, acceptors_.size()), asio::detached);
  thread_ = std::thread([this] {
    ::pthread_setname_np(::pthread_self(), "berth-accept");
    io_.run();
  });
}

void Acceptor::stop() {
  if (!thread_.joinable()) return;
  asio::post(io_, [this] {
    for (auto& acceptor : acceptors_) {
      boost::system::error_code ignored;  // Closed is closed.
      acceptor.close(ignored);
    }
    boost::system::error_code ignored;
    local_acceptor_.close(ignored);
  });
  thread_.join();
  local_socket_.reset();
}

template <class Listening>
asio::awaitable<void> Acceptor::accept_from(Listening& acceptor, std::size_t listener) {
  asio::steady_timer pause(io_);
  for (;;) {
    const auto [error] = co_await acceptor.async_wait(Listening::wait_read, asio::as_tuple(asio::deferred));
    if (error || !acceptor.is_open()) co_return;
    bool exhausted = false;
    try {
      for (int i = 0; i < kBatch && accept_one(listener, exhausted); ++i) {
      }
    } catch (const std::exception& stray) {  // Out of memory, most likely.
      spdlog::error("unexpected exception while accepting: {}", stray.what());
      exhausted = true;
    }
    if (exhausted) {
      pause.expires_after(kBackOff);
      const auto [stopped] = co_await pause.async_wait(asio::as_tuple(asio::deferred));
      if (stopped || !acceptor.is_open()) co_return;
    }
  }
}

bool Acceptor::accept_one(std::size_t listener, bool& exhausted) {
  tcp::endpoint peer;
  auto size = static_cast<socklen_t>(peer.capacity());
  const bool local = is_local(listener);
  Descriptor descriptor(::accept4(descriptor_of(listener), local ? nullptr : peer.data(), local ? nullptr : &size,
                                  SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!descriptor) {
    const int error = errno;
    if (error == EAGAIN || error == EWOULDBLOCK) return false;
    if (error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM) {
      relieve(listener, error);
      exhausted = true;
      return false;
    }
    return true;  // This client is gone; the next one may not be.
  }
  if (local) {
    take_local(std::move(descriptor), listener);
    return true;
  }
  peer.resize(size);
  take(std::move(descriptor), peer, listener);
  return true;
}

/// A client that waits for TLS could not read why: for it the connection just ends.
void Acceptor::refuse(const Descriptor& descriptor, std::size_t listener, Rejection why) const {
  count_rejected(why);
  if (!tls_.is_on(listener)) turn_away(descriptor, sentence_of(why));
}

void Acceptor::take(Descriptor descriptor, const tcp::endpoint& peer, std::size_t listener) {
  const std::string address = text_of(peer.address());
  const auto parsed = IpAddress::parse(address);
  const bool proxied = parsed && options_.listeners[listener].trusted_proxies.trusts(*parsed);
  // Whom a trusted proxy brings is told apart by what it says of them; how many they are is for its own limits.
  if (!proxied && counts_->from(peer.address()) >= connections_per_address_max_.load(std::memory_order_relaxed)) {
    return refuse(descriptor, listener, Rejection::address);
  }
  if (counts_->total() >= connections_max_.load(std::memory_order_relaxed) && !make_room()) {
    return refuse(descriptor, listener, Rejection::total);
  }
  Accepted accepted;
  accepted.descriptor = std::move(descriptor);
  accepted.family = peer.address().is_v6() ? AF_INET6 : AF_INET;
  accepted.peer_address = address;
  accepted.proxied = proxied;
  accepted.listener = listener;
  accepted.slot = counts_->take(peer.address());
  accepted.counted = metrics_.opened(listener);
  hand_over(std::move(accepted));
}

void Acceptor::take_local(Descriptor descriptor, std::size_t listener) {
  const auto uid = trusted_peer(descriptor.get());
  if (!uid) {
    count_rejected(Rejection::foreign_user);
    return turn_away(descriptor, sentence_of(Rejection::foreign_user), 403);
  }
  if (counts_->total() >= connections_max_.load(std::memory_order_relaxed) + kLocalReserve && !make_room()) {
    return refuse(descriptor, listener, Rejection::total);
  }
  Accepted accepted;
  accepted.descriptor = std::move(descriptor);
  accepted.family = AF_UNIX;
  accepted.peer_address = "local";
  accepted.listener = listener;
  accepted.local_uid = uid;
  accepted.slot = counts_->take(asio::ip::address_v4::loopback());
  accepted.counted = metrics_.opened(listener);
  hand_over(std::move(accepted));
}

void Acceptor::hand_over(Accepted accepted) {
  const auto least = std::min_element(threads_.begin(), threads_.end(),
                                      [](const auto& a, const auto& b) { return a->sessions() < b->sessions(); });
  (*least)->adopt(std::move(accepted));
}

/// Closes a connection that nobody would miss, on the thread that has the most of them.
bool Acceptor::make_room() {
  const auto most = std::max_element(threads_.begin(), threads_.end(),
                                     [](const auto& a, const auto& b) { return a->dispensable() < b->dispensable(); });
  return (*most)->close_oldest();
}

/// No descriptor is left. Without this the waiting client stays in the queue and wakes us without end.
void Acceptor::relieve(std::size_t listener, int error) {
  const auto now = std::chrono::steady_clock::now();
  if (now - complained_ >= kComplainEvery) {
    complained_ = now;
    spdlog::warn("cannot accept connections: {}; idle ones are being closed", std::strerror(error));
  }
  make_room();
  if (!reserve_) return;
  reserve_.reset();
  {
    const Descriptor refused(::accept4(descriptor_of(listener), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (refused) refuse(refused, listener, Rejection::descriptors);
  }
  reserve_ = Descriptor(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}

}  // namespace berth::server
