// The names of users, robots, groups and roles.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace berth::auth {

/// `text` with ASCII letters in lower case when that is a name ([a-z0-9]([a-z0-9._@-]{0,62}[a-z0-9])?), else nothing.
std::optional<std::string> account_name(std::string_view text);

}  // namespace berth::auth
