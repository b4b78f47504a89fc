#include "server/passed_sockets.h"

#include <fcntl.h>
#include <spdlog/fmt/fmt.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <charconv>
#include <string_view>

namespace berth::server {
namespace {

using boost::asio::ip::address;
using boost::asio::ip::make_address;
using boost::asio::ip::tcp;

/// More than anybody has listeners; what is beyond it is a mistake.
constexpr std::uint64_t kSocketsMax = 256;

std::uint64_t number_of(const std::map<std::string, std::string>& environment, const char* name) {
  const auto found = environment.find(name);
  if (found == environment.end()) return 0;
  const std::string& text = found->second;
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size() ? number : 0;
}

std::vector<std::string> names_of(const std::map<std::string, std::string>& environment) {
  std::vector<std::string> names;
  const auto found = environment.find("LISTEN_FDNAMES");
  if (found == environment.end()) return names;
  std::string_view rest = found->second;
  for (;;) {
    const auto colon = rest.find(':');
    names.emplace_back(rest.substr(0, colon));
    if (colon == rest.npos) return names;
    rest.remove_prefix(colon + 1);
  }
}

bool listens(int descriptor) {
  int value = 0;
  socklen_t size = sizeof value;
  if (::getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &value, &size) != 0 || value != SOCK_STREAM) return false;
  size = sizeof value;
  return ::getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &value, &size) == 0 && value != 0;
}

std::string text_of(std::string_view host, std::uint16_t port) {
  return host.find(':') != host.npos ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

bool same_host(const address& a, const address& b) { return a == b || (a.is_unspecified() && b.is_unspecified()); }

/// `exact`: not by way of port 0.
bool fits(const PassedSocket& socket, const ListenerOptions& listener, bool exact) {
  boost::system::error_code error;
  const auto wanted = make_address(listener.address, error);
  if (error || !same_host(make_address(socket.address, error), wanted)) return false;
  return listener.port == (exact ? socket.port : 0);
}

}  // namespace

Result<std::vector<PassedSocket>> passed_sockets(const std::map<std::string, std::string>& environment, std::int64_t pid,
                                                 int first) {
  std::vector<PassedSocket> sockets;
  if (number_of(environment, "LISTEN_PID") != static_cast<std::uint64_t>(pid)) return sockets;
  const auto count = number_of(environment, "LISTEN_FDS");
  const auto names = names_of(environment);
  if (count > kSocketsMax)
    return make_error(ErrorCode::request_invalid, fmt::format("the service manager passes {} sockets", count));
  for (std::uint64_t i = 0; i < count; ++i) {
    PassedSocket socket;
    socket.descriptor = first + static_cast<int>(i);
    if (i < names.size()) socket.name = names[i];
    tcp::endpoint bound;
    auto size = static_cast<socklen_t>(bound.capacity());
    const bool known = ::getsockname(socket.descriptor, bound.data(), &size) == 0;
    const bool tcp_socket = known && (bound.data()->sa_family == AF_INET || bound.data()->sa_family == AF_INET6);
    if (!tcp_socket || !listens(socket.descriptor))
      return make_error(ErrorCode::request_invalid,
                        fmt::format("what the service manager passes as descriptor {} ({}) is no listening TCP socket",
                                    socket.descriptor, socket.name));
    bound.resize(size);
    socket.address = bound.address().to_string();
    socket.port = bound.port();
    ::fcntl(socket.descriptor, F_SETFD, FD_CLOEXEC);
    sockets.push_back(std::move(socket));
  }
  return sockets;
}

Result<void> adopt_sockets(const std::vector<PassedSocket>& sockets, std::vector<ListenerOptions>& listeners) {
  for (const bool exact : {true, false}) {
    for (const auto& socket : sockets) {
      const auto has_it = [&](const ListenerOptions& one) { return one.passed_socket == socket.descriptor; };
      if (std::any_of(listeners.begin(), listeners.end(), has_it)) continue;
      const auto found = std::find_if(listeners.begin(), listeners.end(), [&](const ListenerOptions& one) {
        return one.passed_socket < 0 && fits(socket, one, exact);
      });
      if (found != listeners.end()) {
        found->passed_socket = socket.descriptor;
        continue;
      }
      if (exact) continue;
      std::string wanted;
      for (const auto& listener : listeners)
        wanted += (wanted.empty() ? "" : ", ") + text_of(listener.address, listener.port);
      return make_error(ErrorCode::request_invalid,
                        fmt::format("the service manager passes a socket {} at {}, and no listener has that address (they "
                                    "have {}): let ListenStream= of the socket unit and listeners of the settings agree",
                                    socket.name, text_of(socket.address, socket.port), wanted));
    }
  }
  return {};
}

}  // namespace berth::server
