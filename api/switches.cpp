#include "api/switches.h"

#include "base/log.h"
#include "base/metrics.h"

namespace berth::api {
namespace {

metrics::Gauge& read_only_gauge() {
  static metrics::Gauge& gauge =
      metrics::Family<metrics::Gauge>("read_only", "1 while pushes and deletes are refused because somebody said so").with();
  return gauge;
}

}  // namespace

Switches::Switches(bool read_only, bool access_log, std::chrono::milliseconds slow_request)
    : read_only_(std::make_shared<registry::Pause>(read_only)), access_log_(access_log), slow_request_(slow_request), state_{read_only, read_only ? "settings" : "", {}} {
  read_only_gauge().set(read_only ? 1 : 0);
}

void Switches::set_read_only(bool on, const std::string& by, WallTime now) {
  {
    const std::lock_guard lock(mutex_);
    if (state_.on == on) return;
    state_ = {on, by, now};
    read_only_->set(on);
    read_only_gauge().set(on ? 1 : 0);
  }
  log::warning(on ? "the registry is read-only from now on: pushes and deletes are refused"
                  : "the registry is writable again",
               {{"by", by}});
}

Switches::ReadOnly Switches::read_only_state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

}  // namespace berth::api
