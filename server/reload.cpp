#include "server/reload.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>
#include <utility>
#include <vector>

#include "base/log.h"
#include "server/assemble.h"
#include "server/auth_options.h"

namespace berth::server {
namespace {

/// More than the settings' file may have.
constexpr std::uintmax_t kContentBytesMax = 2 << 20;

}  // namespace

std::optional<std::string> content_of(const config::Sources& sources) {
  std::error_code error;
  // What comes through a pipe can be read once, and that is not here.
  if (!sources.file || !std::filesystem::is_regular_file(*sources.file, error)) return std::nullopt;
  if (std::filesystem::file_size(*sources.file, error) > kContentBytesMax || error) return std::nullopt;
  std::ifstream file(*sources.file, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file.good() && !file.eof()) return std::nullopt;
  return text;
}

Reload::Reload(const Parts& parts, config::Settings running, std::optional<std::string> seen)
    : parts_(parts), running_(std::move(running)), seen_(std::move(seen)) {}

void Reload::asked() {
  parts_.server.reload_certificates();
  seen_ = content_of(parts_.sources);  // before it is read: what changes after is seen by the next look()
  read_again();
}

void Reload::look() {
  auto content = content_of(parts_.sources);
  if (content == seen_) return;
  seen_ = std::move(content);
  read_again();
}

void Reload::read_again() {
  const bool told = parts_.lifecycle.started.load();  // before that, "ready" would come too early
  if (told) parts_.manager.reloading();
  auto loaded = config::load(parts_.sources);
  if (!loaded) {
    log::error("the settings have problems; nothing was changed", {{"problems", loaded.error().message}});
  } else {
    for (const auto& change : config::changes(running_, *loaded))
      log::event(change.live ? log::Level::info : log::Level::warning,
                 change.live ? "a setting changed" : "a setting changed that needs a restart",
                 {{"key", change.key}, {"before", change.before}, {"after", change.after}});
    apply(*loaded);
    log::info("settings read again");
  }
  if (told) parts_.manager.ready();
}

void Reload::apply(const config::Settings& loaded) {
  // Only what differs: what was switched meanwhile by a command stays as long as its setting does.
  if (loaded.log.level != running_.log.level)
    log::set_level(log::parse_level(loaded.log.level).value_or(log::Level::info));
  if (loaded.registry.read_only != running_.registry.read_only)
    parts_.switches.set_read_only(loaded.registry.read_only, "settings", SystemClock().wall());
  running_.registry.read_only = loaded.registry.read_only;
  parts_.switches.set_slow_request(loaded.log.slow_request);
  running_.log.slow_request = loaded.log.slow_request;
  running_.log.level = loaded.log.level;
  running_.log.access = loaded.log.access;
  parts_.switches.set_access_log(loaded.log.access);
  running_.limits.connections = loaded.limits.connections;
  running_.limits.connections_per_address = loaded.limits.connections_per_address;
  running_.limits.drain_timeout = loaded.limits.drain_timeout;
  parts_.server.set_limits(server_limits(loaded));
  apply_access(loaded);
}

/// Roles, grants and what everybody may do. Whether there are accounts at all needs a restart.
void Reload::apply_access(const config::Settings& loaded) {
  Accounts* const accounts = accounts_.load();
  if (!accounts || !config::accounts_on(running_.auth) || !config::accounts_on(loaded.auth)) return;
  std::vector<config::Finding> findings;
  auto options = auth_options(loaded, findings);
  if (!findings.empty()) return;  // a file that was there a moment ago
  running_.roles = loaded.roles;
  running_.grants = loaded.grants;
  running_.auth.anonymous = loaded.auth.anonymous;
  accounts->configure(std::move(options.roles), std::move(options.grants));
}

}  // namespace berth::server
