#include "registry/commands/init_format.h"

#include "registry/commands/totals.h"

namespace berth::registry {

Result<InitFormat::Outcome> InitFormat::apply(kv::Transaction& transaction) {
  Index index(transaction, CommandKind::init_format, context);
  Outcome outcome;
  BERTH_TRY(auto format, index.get(FormatKey{}));
  BERTH_TRY(const auto uptime, index.get(UptimeKey{}));
  if (uptime) outcome.uptime = uptime->uptime;
  if (format && format->major > kFormatMajor) {
    return make_error(ErrorCode::unavailable, "this data was written by a newer berth: its format is " +
                                                  std::to_string(format->major) + "." + std::to_string(format->minor) +
                                                  ", this berth knows " + std::to_string(kFormatMajor) + ".x");
  }
  if (format && format->major < kFormatMajor)
    return make_error(ErrorCode::corrupt, "the data format is none there was");
  if (!format) {
    BERTH_TRY(const bool used, any_with_prefix(index.reader(), family::names, ""));
    if (used) return make_error(ErrorCode::corrupt, "the index has content but no data format version");
    outcome.created = true;
  }
  BERTH_CHECK(init_totals(index));
  if (format && format->minor >= kFormatMinor) return outcome;

  if (!format) format.emplace();
  format->major = kFormatMajor;
  format->minor = kFormatMinor;
  index.put(FormatKey{}, *format);
  index.record_change();
  return outcome;
}

}  // namespace berth::registry
