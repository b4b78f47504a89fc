// All three work alike: the words so far say which command it is, then what may follow is looked up.
#include "cli/completion.h"

#include <spdlog/fmt/ranges.h>

#include <functional>

namespace berth::cli {
namespace {

void for_each(const CommandText& tree, const std::function<void(const CommandText&)>& use) {
  use(tree);
  for (const auto& command : tree.commands) for_each(command, use);
}

enum class Value : std::uint8_t { none, file, folder, choice, other };

Value kind_of(const OptionText& option) {
  if (!option.choices.empty()) return Value::choice;
  if (option.value.empty()) return Value::none;
  if (option.value == "FILE" || option.value == "PATH") return Value::file;
  return option.value == "DIR" ? Value::folder : Value::other;
}

/// In single quotes, for bash and zsh.
std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string fish_quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

std::vector<std::string> words_of(const CommandText& command) {
  std::vector<std::string> words;
  for (const auto& one : command.commands) words.push_back(one.name);
  for (const auto& option : command.options)
    if (option.names.empty()) words.insert(words.end(), option.choices.begin(), option.choices.end());
  return words;
}

/// `"berth user" | "berth user add"`: all words that lead one command further.
std::string steps(const CommandText& tree) {
  std::string all;
  for_each(tree, [&](const CommandText& command) {
    for (const auto& one : command.commands) all += fmt::format("{}\"{}\"", all.empty() ? "" : " | ", one.path);
  });
  return all;
}

/// A line of a `case` for each option with a value: what to do when it is the word before.
std::string values(const CommandText& tree, const std::function<std::string(const OptionText&, Value)>& action) {
  std::string lines;
  for_each(tree, [&](const CommandText& command) {
    for (const auto& option : command.options) {
      const auto kind = kind_of(option);
      if (option.names.empty() || kind == Value::none) continue;
      std::vector<std::string> patterns;
      for (const auto& name : option.names) patterns.push_back(fmt::format("\"{} {}\"", command.path, name));
      lines += fmt::format("    {}) {} ;;\n", fmt::join(patterns, " | "), action(option, kind));
    }
  });
  return lines;
}

}  // namespace

std::string bash_completion(const CommandText& tree) {
  const auto action = [](const OptionText& option, Value kind) -> std::string {
    if (kind == Value::file) return "compopt -o default; return";
    if (kind == Value::folder) return "compopt -o dirnames; return";
    if (kind == Value::other) return "return";
    return fmt::format("words={}", quoted(fmt::format("{}", fmt::join(option.choices, " "))));
  };
  std::string commands;
  for_each(tree, [&](const CommandText& command) {
    std::vector<std::string> options;
    for (const auto& option : command.options) options.insert(options.end(), option.names.begin(), option.names.end());
    commands += fmt::format("    \"{}\") words={} options={} ;;\n", command.path, quoted(fmt::format("{}", fmt::join(words_of(command), " "))),
                            quoted(fmt::format("{}", fmt::join(options, " "))));
  });
  return fmt::format(R"(# bash completion for berth; `berth completion bash` made it.

_berth() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}} path=berth words='' options='' i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; ++i)); do
    case "$path ${{COMP_WORDS[i]}}" in
    {}) path="$path ${{COMP_WORDS[i]}}" ;;
    esac
  done
  case "$path $previous" in
{}  esac
  if [ -z "$words" ]; then
    case "$path" in
{}    esac
    case "$current" in
    -*) words=$options ;;
    esac
  fi
  # shellcheck disable=SC2207
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}

complete -F _berth berth
)",
                     steps(tree), values(tree, action), commands);
}

std::string zsh_completion(const CommandText& tree) {
  const auto action = [](const OptionText& option, Value kind) -> std::string {
    if (kind == Value::file) return "_files; return";
    if (kind == Value::folder) return "_files -/; return";
    if (kind == Value::other) return "_message " + quoted(option.help) + "; return";
    return fmt::format("compadd -- {}; return", fmt::join(option.choices, " "));
  };
  std::string commands;
  for_each(tree, [&](const CommandText& command) {
    std::string words, options;
    for (const auto& one : command.commands) words += " " + quoted(one.name + ":" + one.help);
    for (const auto& option : command.options) {
      for (const auto& name : option.names) options += " " + quoted(name + ":" + option.help);
      if (option.names.empty())
        for (const auto& choice : option.choices) words += " " + quoted(choice + ":" + option.help);
    }
    commands += fmt::format("    \"{}\")\n      words_here=({})\n      options_here=({})\n      ;;\n", command.path,
                            words.empty() ? words : words.substr(1), options.empty() ? options : options.substr(1));
  });
  return fmt::format(R"(#compdef berth
# zsh completion for berth; `berth completion zsh` made it.

_berth() {{
  local at=berth
  local -a words_here options_here
  local -i i
  for ((i = 2; i < CURRENT; ++i)); do
    case "$at ${{words[i]}}" in
    {}) at="$at ${{words[i]}}" ;;
    esac
  done
  case "$at ${{words[CURRENT - 1]}}" in
{}  esac
  case "$at" in
{}  esac
  if [[ ${{words[CURRENT]}} == -* ]]; then
    _describe -o option options_here
  else
    _describe command words_here
  fi
}}

if [ "$funcstack[1]" = _berth ]; then
  _berth "$@"
else
  compdef _berth berth
fi
)",
                     steps(tree), values(tree, action), commands);
}

std::string fish_completion(const CommandText& tree) {
  std::string lines;
  for_each(tree, [&](const CommandText& command) {
    const auto here = fmt::format("complete -c berth -n '__berth_at {}'", command.path);
    for (const auto& one : command.commands) lines += fmt::format("{} -a {} -d {}\n", here, one.name, fish_quoted(one.help));
    for (const auto& option : command.options) {
      const auto kind = kind_of(option);
      if (option.names.empty()) {
        if (kind == Value::choice)
          lines += fmt::format("{} -a '{}' -d {}\n", here, fmt::join(option.choices, " "), fish_quoted(option.help));
        continue;
      }
      lines += here;
      for (const auto& name : option.names)
        lines += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      if (kind == Value::file) lines += " -r -F";
      if (kind == Value::folder) lines += " -x -a '(__fish_complete_directories)'";
      if (kind == Value::choice) lines += fmt::format(" -x -a '{}'", fmt::join(option.choices, " "));
      if (kind == Value::other) lines += " -x";
      lines += " -d " + fish_quoted(option.help) + "\n";
    }
  });
  std::string path_steps = steps(tree);
  for (std::size_t at = 0; (at = path_steps.find(" | ", at)) != path_steps.npos;) path_steps.erase(at + 1, 2);
  return fmt::format(R"(# fish completion for berth; `berth completion fish` made it.

function __berth_at
    set -l path berth
    for word in (commandline -opc)[2..-1]
        switch "$path $word"
            case {}
                set path "$path $word"
        end
    end
    test "$path" = "$argv"
end

complete -c berth -f
{})",
                     path_steps, lines);
}

}  // namespace berth::cli
