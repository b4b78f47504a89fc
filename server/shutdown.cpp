#include "server/shutdown.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "base/log.h"

namespace berth::server {

namespace {

/// How often the settings' file is looked at though nobody said that it changed.
constexpr auto kPoll = std::chrono::seconds(60);
/// What is written in several steps is read when it has been quiet for this long, or has kept on for too long.
constexpr auto kSettle = std::chrono::milliseconds(200);
constexpr auto kSettleMax = std::chrono::seconds(4);

sigset_t handled_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, number);
  return set;
}

}  // namespace

void block_signals() {
  // A parent may have left them ignored, and an ignored signal is never delivered.
  for (int number : {SIGTERM, SIGINT, SIGHUP}) std::signal(number, SIG_DFL);
  const sigset_t set = handled_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

Signals::Signals(Calls calls) : calls_(std::move(calls)) {
  const sigset_t set = handled_signals();
  signals_ = storage::Fd(::signalfd(-1, &set, SFD_CLOEXEC));
  end_ = storage::Fd(::eventfd(0, EFD_CLOEXEC));
  if (!signals_ || !end_) {
    log::error("cannot take signals", {{"error", std::strerror(errno)}});
    log::flush();
    std::abort();  // out of descriptors at start: nothing can work
  }
  if (calls_.file) {
    watch_.emplace();
    watch_->add(*calls_.file);
  }
  thread_ = std::thread([this] { loop(); });
}

Signals::~Signals() {
  std::uint64_t one = 1;
  while (::write(end_.get(), &one, sizeof one) < 0 && errno == EINTR) {
  }
  thread_.join();
}

void Signals::wait_for_stop() { stop_.get_future().wait(); }

void Signals::loop() {
  using Clock = std::chrono::steady_clock;
  bool stopping = false;
  std::array<pollfd, 3> wait{
      {{signals_.get(), POLLIN, 0}, {end_.get(), POLLIN, 0}, {watch_ ? watch_->descriptor() : -1, POLLIN, 0}}};
  auto look_at = Clock::now() + kPoll;
  std::optional<Clock::time_point> changing_since;
  while (true) {
    int longest = -1;
    if (watch_ && !stopping) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(look_at - Clock::now());
      longest = static_cast<int>(std::max<std::int64_t>(0, left.count()));
    }
    if (::poll(wait.data(), wait.size(), longest) < 0) continue;  // EINTR is the only way
    if (wait[1].revents != 0) return;
    const auto now = Clock::now();
    if (wait[2].revents != 0) {
      watch_->drain();
      if (!changing_since) changing_since = now;
      look_at = std::min(now + kSettle, *changing_since + kSettleMax);
    }
    if (watch_ && !stopping && now >= look_at) {
      changing_since.reset();
      look_at = now + kPoll;
      calls_.on_change();
    }
    if (wait[0].revents == 0) continue;
    signalfd_siginfo info{};
    if (::read(signals_.get(), &info, sizeof info) != static_cast<ssize_t>(sizeof info)) continue;
    int number = static_cast<int>(info.ssi_signo);
    if (number == SIGHUP) {
      if (!stopping) calls_.on_reload();
    } else if (!stopping) {
      stopping = true;
      log::info("stopping; a second signal stops without waiting", {{"signal", number == SIGINT ? "SIGINT" : "SIGTERM"}});
      stop_.set_value();
    } else {
      log::warning("asked to stop a second time: ending at once");
      log::flush();
      ::_exit(128 + number);
    }
  }
}

std::size_t raise_open_files_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  rlimit raised = limit;
  raised.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) return raised.rlim_cur;
  return limit.rlim_cur;
}

}  // namespace berth::server
