// All commands as plain values, read from the tree that parses them: completions and manual pages are made from these, so
// they cannot know other commands than berth does.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace berth::cli {

struct OptionText {
  std::vector<std::string> names;  ///< "-o", "--output"; empty: a positional argument
  std::string value;               ///< "FILE"; empty: a flag
  std::vector<std::string> choices;
  std::string help;
  bool required = false;
};

struct CommandText {
  std::string path;  ///< "berth user add"
  std::string name;  ///< "add"
  std::string help;
  std::vector<OptionText> options;
  std::vector<CommandText> commands;
};

CommandText command_tree(const CLI::App& app);

}  // namespace berth::cli
