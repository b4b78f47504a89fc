// What a person types without being shown.
#pragma once

#include <optional>
#include <string>

namespace berth::cli {

/// Writes `prompt` to the terminal of the process and reads a line that the terminal does not show. nullopt: there is no
/// terminal, or the person gave up (Ctrl-C, Ctrl-D). The terminal is as it was afterwards.
std::optional<std::string> read_secret_from_terminal(const std::string& prompt);

}  // namespace berth::cli
