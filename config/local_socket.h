// Where the server and the commands of its machine meet.
#pragma once

#include <string>

#include "config/settings.h"

namespace berth::config {

inline std::string local_socket_of(const Settings& settings) { return settings.data.directory + "/berth.sock"; }

}  // namespace berth::config
