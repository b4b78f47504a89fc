// From settings to what auth/ takes, and what only the parts that use them can say about settings.
#pragma once

#include <vector>

#include "auth/options.h"
#include "config/settings.h"

namespace berth::server {

/// What is wrong is added to `findings`; the options are good when nothing is. Blocks: reads the set-up secret.
auth::AuthOptions auth_options(const config::Settings& settings, std::vector<config::Finding>& findings);

/// All that auth_options() and check_tracing() find, and the files that are named: config::Sources::check.
std::vector<config::Finding> check_settings(const config::Settings& settings);

}  // namespace berth::server
