// Lines that are written through spdlog itself end in the same log as all others.
#pragma once

namespace berth::log {

/// Makes spdlog's default logger pass everything on to event(). Once, after setup().
void adopt_spdlog();

}  // namespace berth::log
