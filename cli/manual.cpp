#include "cli/manual.h"

#include <spdlog/fmt/ranges.h>

#include <algorithm>

#include "config/keys.h"

namespace berth::cli {
namespace {

/// Text that roff shows as it is.
std::string plain(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else if (c == '`' || c == '"')
      out += c == '`' ? "'" : "\\(dq";
    else
      out += c;
  }
  return !out.empty() && (out.front() == '.' || out.front() == '\'') ? "\\&" + out : out;
}

/// As one argument of a macro.
std::string argument(std::string_view text) { return "\"" + plain(text) + "\""; }

std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

std::string head(const std::string& name, int section, const std::string& version, const std::string& what) {
  return fmt::format(".TH {} {} \"\" {} \"berth\"\n.SH NAME\n{} \\- {}\n", argument(upper(name)), section, argument("berth " + version),
                     plain(name), plain(what));
}

std::string page_of(const CommandText& command) { return "berth-" + command.name; }

/// "-o, --output FORMAT", bold and italic.
std::string title_of(const OptionText& option) {
  if (option.names.empty()) return fmt::format("\\fI{}\\fR", plain(option.value));
  std::string text;
  for (const auto& name : option.names) text += fmt::format("{}\\fB{}\\fR", text.empty() ? "" : ", ", plain(name));
  if (!option.value.empty()) text += fmt::format(" \\fI{}\\fR", plain(option.value));
  return text;
}

std::string help_of(const OptionText& option) {
  std::string text = plain(option.help);
  if (!option.choices.empty() && option.help.find(option.choices.back()) == option.help.npos)
    text += plain(fmt::format(" (one of {})", fmt::join(option.choices, ", ")));
  return text;
}

std::string options_of(const CommandText& command) {
  std::string text;
  for (const bool positional : {true, false})
    for (const auto& option : command.options)
      if (option.names.empty() == positional) text += fmt::format(".TP\n{}\n{}\n", title_of(option), help_of(option));
  return text;
}

std::string synopsis_of(const CommandText& command) {
  std::string text = fmt::format("\\fB{}\\fR", plain(command.path));
  if (!command.commands.empty()) return text + " \\fICOMMAND\\fR ...";
  for (const auto& option : command.options)
    if (option.names.empty())
      text += option.required ? fmt::format(" \\fI{}\\fR", plain(option.value)) : fmt::format(" [\\fI{}\\fR]", plain(option.value));
    else if (option.required)
      text += " " + title_of(option);
  return text + " [\\fIOPTION\\fR ...]";
}

std::vector<const CommandText*> leaves(const CommandText& command) {
  if (command.commands.empty()) return {&command};
  std::vector<const CommandText*> all;
  for (const auto& one : command.commands) {
    const auto below = leaves(one);
    all.insert(all.end(), below.begin(), below.end());
  }
  return all;
}

constexpr std::string_view kExitStatus = R"(.SH EXIT STATUS
0 done; 1 failed; 2 wrong arguments or settings; 3 not found; 4 denied; 5 in conflict with what is there, or refused by
policy; 6 nobody answers; 7 partly done; 8 a check found problems.
)";

ManualPage overview(const CommandText& tree, const std::string& version) {
  std::string text = head("berth", 1, version, "a container registry in one program");
  text += ".SH SYNOPSIS\n" + synopsis_of(tree) + "\n";
  text += R"(.SH DESCRIPTION
berth keeps container images and other OCI artifacts, and serves them to docker, containerd, podman and every other client
of the OCI distribution protocol.
\fBberth serve\fR is the server.
The other commands look after it: by its local socket or over the network.
.SH COMMANDS
)";
  for (const auto& command : tree.commands) text += fmt::format(".TP\n\\fB{}\\fR(1)\n{}\n", plain(page_of(command)), plain(command.help));
  text += ".SH OPTIONS\n" + options_of(tree);
  text += R"(.SH ENVIRONMENT
.TP
\fBBERTH_CONFIG\fR
the configuration file, where \-\-config does not name one
.TP
\fBBERTH__\fISECTION\fB__\fIKEY\fR
a setting, as BERTH__LOG__LEVEL; it wins over the file
.TP
\fBBERTH_SERVER\fR, \fBBERTH_TOKEN\fR
the server to ask instead of this machine's, and the token to show it
.SH FILES
.TP
\fI/etc/berth/berth.yaml\fR
the settings of the packaged service, see \fBberth.yaml\fR(5)
.TP
\fI/var/lib/berth\fR
its data
)";
  text += kExitStatus;
  text += ".SH SEE ALSO\n\\fBberth.yaml\\fR(5)";
  for (const auto& command : tree.commands) text += fmt::format(", \\fB{}\\fR(1)", plain(page_of(command)));
  return {"berth", 1, text + "\n"};
}

ManualPage page_for(const CommandText& command, const std::string& version) {
  std::string text = head(page_of(command), 1, version, command.help);
  const auto all = leaves(command);
  text += ".SH SYNOPSIS\n";
  for (const auto* leaf : all) text += fmt::format("{}{}\n", leaf == all.front() ? "" : ".br\n", synopsis_of(*leaf));
  text += ".SH DESCRIPTION\n";
  for (const auto* leaf : all) {
    if (all.size() > 1) text += fmt::format(".SS {}\n{}\n", argument(leaf->path), plain(leaf->help));
    else text += plain(leaf->help) + "\n";
    text += options_of(*leaf);
  }
  text += kExitStatus;
  return {page_of(command), 1, text + ".SH SEE ALSO\n\\fBberth\\fR(1), \\fBberth.yaml\\fR(5)\n"};
}

ManualPage settings_page(const std::string& version) {
  std::string text = head("berth.yaml", 5, version, "the settings of berth");
  text += R"(.SH DESCRIPTION
A YAML file, named by \fB\-\-config\fR or \fBBERTH_CONFIG\fR.
A flag wins over the environment, the environment over the file, the file over what is built in.
An unknown key and a bad value stop the start, with the line where it stands; \fBberth config check\fR tells them all.
.PP
Sizes are written as 8MiB, durations as 90s, 10m, 24h or 14d.
A name with [] stands for the field of each element of a list.
.SH SETTINGS
)";
  for (const auto& key : config::keys())
    text += fmt::format(".TP\n\\fB{}\\fR\n{}\nExpected: {}.\n", plain(key.path), plain(key.help), plain(config::expectation(key)));
  return {"berth.yaml", 5, text + ".SH SEE ALSO\n\\fBberth\\fR(1), \\fBberth\\-serve\\fR(1), \\fBberth\\-config\\fR(1)\n"};
}

}  // namespace

std::vector<ManualPage> manual_pages(const CommandText& tree, const std::string& version) {
  std::vector<ManualPage> pages = {overview(tree, version)};
  for (const auto& command : tree.commands) pages.push_back(page_for(command, version));
  pages.push_back(settings_page(version));
  return pages;
}

}  // namespace berth::cli
