// Scripts that let shells complete berth's commands, options and their values.
#pragma once

#include <string>

#include "cli/command_tree.h"

namespace berth::cli {

std::string bash_completion(const CommandText& tree);
std::string zsh_completion(const CommandText& tree);
std::string fish_completion(const CommandText& tree);

}  // namespace berth::cli
