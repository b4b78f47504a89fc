#include "cli/command_tree.h"

#include <CLI/CLI.hpp>

namespace berth::cli {
namespace {

/// "FORMAT" and {"table", "json"} of CLI11's "FORMAT:{table,json}".
void split_type(const std::string& type, OptionText& option) {
  const auto brace = type.find(":{");
  option.value = type.substr(0, brace);
  if (brace == type.npos) return;
  const auto end = type.find('}', brace);
  for (std::size_t at = brace + 2; at < end;) {
    const auto comma = std::min(type.find(',', at), end);
    option.choices.push_back(type.substr(at, comma - at));
    at = comma + 1;
  }
}

OptionText text_of(const CLI::Option& option) {
  OptionText text;
  for (const auto& name : option.get_snames()) text.names.push_back("-" + name);
  for (const auto& name : option.get_lnames()) text.names.push_back("--" + name);
  text.help = option.get_description();
  text.required = option.get_required();
  if (option.get_items_expected_max() != 0) split_type(option.get_type_name(), text);
  if (text.names.empty() && text.value.empty()) text.value = option.get_name(true);
  return text;
}

CommandText text_of(const CLI::App& app, const std::string& above) {
  CommandText text;
  text.name = app.get_name();
  text.path = above.empty() ? text.name : above + " " + text.name;
  text.help = app.get_description();
  for (const auto* option : app.get_options()) text.options.push_back(text_of(*option));
  for (const auto* command : app.get_subcommands([](const CLI::App*) { return true; }))
    text.commands.push_back(text_of(*command, text.path));
  return text;
}

}  // namespace

CommandText command_tree(const CLI::App& app) { return text_of(app, ""); }

}  // namespace berth::cli
