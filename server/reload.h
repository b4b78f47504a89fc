// Reads the settings again, when asked or when their file changed: validated whole, each difference logged, and what can
// be changed while running swapped in. Problems change nothing and are logged with file and line.
#pragma once

#include <atomic>
#include <optional>
#include <string>

#include "api/service.h"
#include "api/switches.h"
#include "config/settings.h"
#include "server/accounts.h"
#include "server/server.h"
#include "server/service_manager.h"

namespace berth::server {

/// What the settings' file held before they were read; empty without a file that can be read twice. Blocks.
std::optional<std::string> content_of(const config::Sources& sources);

/// One thread, but for attach().
class Reload {
 public:
  /// All outlive it.
  struct Parts {
    const config::Sources& sources;
    Server& server;
    ServiceManager& manager;
    const api::Lifecycle& lifecycle;
    api::Switches& switches;
  };
  /// `running`: what the process started with; `seen`: what the file held just before that was read.
  Reload(const Parts& parts, config::Settings running, std::optional<std::string> seen);

  /// Somebody asks for it: certificates are looked at as well.
  void asked();
  /// The file may have changed: reads it, and goes on when it holds something else.
  void look();

  /// Once there are accounts; they outlive this. Thread-safe.
  void attach(Accounts& accounts) { accounts_.store(&accounts); }

 private:
  void read_again();
  void apply(const config::Settings& loaded);
  void apply_access(const config::Settings& loaded);

  Parts parts_;
  config::Settings running_;
  std::optional<std::string> seen_;
  std::atomic<Accounts*> accounts_{nullptr};
};

}  // namespace berth::server
