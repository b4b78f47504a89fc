#include "server/service_manager.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstring>

#include "base/log.h"

namespace berth::server {
namespace {

using namespace std::chrono_literals;

/// Younger than this an I/O thread is alive, as for /livez.
constexpr std::chrono::milliseconds kHeartbeatAgeMax = 10s;

std::string_view value_of(const Variables& environment, const char* name) {
  const auto found = environment.find(name);
  return found == environment.end() ? std::string_view{} : std::string_view(found->second);
}

/// Zero where there is no such number.
std::int64_t number_of(const Variables& environment, const char* name) {
  const auto text = value_of(environment, name);
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size() && number > 0 ? number : 0;
}

std::int64_t milliseconds_of(SteadyTime time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
}

}  // namespace

ServiceManager::ServiceManager(const Variables& environment, std::int64_t pid) {
  const auto path = value_of(environment, "NOTIFY_SOCKET");
  if (path.empty()) return;
  const bool abstract = path.front() == '@';
  if ((path.front() != '/' && !abstract) || path.size() >= sizeof address_.sun_path) {
    log::warning("NOTIFY_SOCKET names no socket that can be told anything", {{"value", path}});
    return;
  }
  address_.sun_family = AF_UNIX;
  std::memcpy(address_.sun_path, path.data(), path.size());
  if (abstract) address_.sun_path[0] = '\0';
  address_size_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (abstract ? 0 : 1));
  socket_ = Descriptor(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));

  const auto wanted = number_of(environment, "WATCHDOG_PID");
  if (wanted != 0 && wanted != pid) return;
  watchdog_ = std::chrono::microseconds(number_of(environment, "WATCHDOG_USEC"));
  if (watchdog_ > 0us && watchdog_ < 4s)
    log::warning("the watchdog of the service manager is impatient: I/O threads say once a second that they live",
                 {{"watchdog_ms", watchdog_.count() / 1000}});
}

void ServiceManager::ready() { send("READY=1\nSTATUS=serving\n"); }

void ServiceManager::reloading() {
  // sd_notify(3): the time tells the manager which of two reloads this answers.
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  send(fmt::format("RELOADING=1\nMONOTONIC_USEC={}\nSTATUS=reading the settings again\n",
                   std::chrono::duration_cast<std::chrono::microseconds>(now).count()));
}

void ServiceManager::stopping() { send("STOPPING=1\nSTATUS=finishing the requests under way\n"); }

void ServiceManager::tick(SteadyTime now, std::int64_t heartbeat_ms) {
  if (watchdog_ == 0us) return;
  const auto interval_ms = std::chrono::duration_cast<std::chrono::milliseconds>(watchdog_).count();
  const auto now_ms = milliseconds_of(now);
  if (now_ms - heartbeat_ms > std::min<std::int64_t>(kHeartbeatAgeMax.count(), interval_ms / 2)) return;
  auto due = feed_at_ms_.load(std::memory_order_relaxed);
  // One of the threads feeds, four times in an interval.
  if (now_ms < due || !feed_at_ms_.compare_exchange_strong(due, now_ms + interval_ms / 4)) return;
  if (!send("WATCHDOG=1\n")) feed_at_ms_.store(due);  // again at the next tick
}

bool ServiceManager::send(std::string_view state) const {
  if (!socket_) return true;
  for (;;) {
    const auto sent = ::sendto(socket_.get(), state.data(), state.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
                               reinterpret_cast<const sockaddr*>(&address_), address_size_);
    if (sent >= 0) return true;
    if (errno == EINTR) continue;
    log::debug("the service manager could not be told", {{"error", std::strerror(errno)}});
    return false;
  }
}

}  // namespace berth::server
