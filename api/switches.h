// What an operator switches while berth runs. It holds until it is switched again or the process ends; at the next start
// the settings count.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>

#include "base/env.h"
#include "registry/pause.h"

namespace berth::api {

/// Thread-safe.
class Switches {
 public:
  /// What the settings say.
  Switches(bool read_only, bool access_log, std::chrono::milliseconds slow_request);

  /// Content stays as it is: pushes and deletes are refused, nothing is collected.
  bool read_only() const { return read_only_->on(); }
  /// The same, for those who write by themselves.
  std::shared_ptr<const registry::Pause> pause() const { return read_only_; }
  /// `by`: who wants it so, for the log and for whoever asks later.
  void set_read_only(bool on, const std::string& by, WallTime now);
  struct ReadOnly {
    bool on = false;
    std::string by;    ///< "settings" or a subject; empty: never switched
    WallTime since{};  ///< of the last change; the epoch: since the start
  };
  ReadOnly read_only_state() const;

  /// Does each request get a line? What goes wrong in the server itself gets one in any case.
  bool access_log() const { return access_log_.load(std::memory_order_relaxed); }
  void set_access_log(bool on) { access_log_.store(on, std::memory_order_relaxed); }

  /// An answer that begins later than this after its request is told of in the log; zero: none is.
  std::chrono::milliseconds slow_request() const { return slow_request_.load(std::memory_order_relaxed); }
  void set_slow_request(std::chrono::milliseconds time) { slow_request_.store(time, std::memory_order_relaxed); }

 private:
  const std::shared_ptr<registry::Pause> read_only_;
  std::atomic<bool> access_log_;
  std::atomic<std::chrono::milliseconds> slow_request_;
  mutable std::mutex mutex_;
  ReadOnly state_;  ///< guarded by mutex_
};

}  // namespace berth::api
