// Manual pages, made from the commands and from the settings as they are.
#pragma once

#include <string>
#include <vector>

#include "cli/command_tree.h"

namespace berth::cli {

struct ManualPage {
  std::string name;  ///< "berth", "berth-user", "berth.yaml"
  int section = 1;
  std::string text;  ///< roff, for man(7)
};

/// berth(1), one page for each command of its, and berth.yaml(5).
std::vector<ManualPage> manual_pages(const CommandText& tree, const std::string& version);

}  // namespace berth::cli
