#include "cli/cli.h"

#include <spdlog/fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <ostream>

#include "cli/answers.h"
#include "cli/certs.h"
#include "cli/client_config.h"
#include "cli/command_tree.h"
#include "cli/commands.h"
#include "cli/completion.h"
#include "cli/doctor/doctor.h"
#include "cli/management.h"
#include "cli/manual.h"
#include "config/keys.h"

namespace berth::cli {
namespace {

/// What was typed; commands share the fields they have in common.
struct Arguments {
  std::string config;
  std::vector<std::string> set;
  std::vector<std::string> listen;
  std::string data;
  std::string log_level;
  std::string port_file;
  std::string url;
  std::string address;
  std::string timeout;
  std::string output = "table";
  DevCertificatesCall certificates;
  ClientConfigCall client_config;
  DoctorCall doctor;
  std::string shell;
  std::string page = "berth";
  std::string pages_out;
};

void add_config_options(CLI::App& command, Arguments& arguments) {
  command.add_option("--config", arguments.config, "configuration file (default: $BERTH_CONFIG, else none)")
      ->type_name("FILE");
  command.add_option("--set", arguments.set, "any setting, as limits.manifest_size=8MiB; may repeat")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
}

void add_timeout_option(CLI::App& command, Arguments& arguments, const std::string& standard) {
  command.add_option("--timeout", arguments.timeout, "how long to wait for an answer (default: " + standard + ")")
      ->type_name("DURATION");
}

void add_output_option(CLI::App& command, Arguments& arguments) {
  command.add_option("-o,--output", arguments.output, "table or json")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"table", "json"}));
}

std::string value_or(const std::map<std::string, std::string>& environment, const std::string& name,
                     std::string fallback) {
  auto found = environment.find(name);
  return found == environment.end() || found->second.empty() ? fallback : found->second;
}

/// A problem of the arguments that CLI11 does not look for; empty: none.
using Problem = std::optional<std::string>;

Problem fill_sources(const Arguments& arguments, const Program& program, config::Sources& sources) {
  std::string file = arguments.config.empty() ? value_or(program.environment, "BERTH_CONFIG", "") : arguments.config;
  if (!file.empty()) sources.file = file;
  sources.environment = program.environment;
  for (const auto& pair : arguments.set) {
    std::size_t equals = pair.find('=');
    if (equals == pair.npos || equals == 0) return "--set " + pair + ": expected KEY=VALUE";
    sources.flags.emplace_back(pair.substr(0, equals), pair.substr(equals + 1));
  }
  // After --set, so that a flag of its own wins over the general one.
  std::string listeners;
  for (const auto& address : arguments.listen) {
    auto parsed = config::parse_host_port(address);
    if (!parsed) return "--listen " + address + ": " + parsed.error().message;
    listeners += (listeners.empty() ? "{address: \"" : ", {address: \"") + address + "\"}";
  }
  if (!listeners.empty()) sources.flags.emplace_back("listeners", "[" + listeners + "]");
  if (!arguments.data.empty()) sources.flags.emplace_back("data.directory", arguments.data);
  if (!arguments.log_level.empty()) sources.flags.emplace_back("log.level", arguments.log_level);
  return std::nullopt;
}

Problem fill_timeout(const Arguments& arguments, std::chrono::milliseconds& timeout) {
  if (arguments.timeout.empty()) return std::nullopt;
  auto parsed = config::parse_duration(arguments.timeout);
  if (!parsed) return "--timeout " + arguments.timeout + ": " + parsed.error().message;
  if (parsed->count() == 0 || *parsed > std::chrono::hours(24))
    return "--timeout " + arguments.timeout + ": expected more than nothing and at most 24h";
  timeout = *parsed;
  return std::nullopt;
}

/// The tree of commands; each is asked afterwards whether it was the one.
struct Commands {
  Commands(Arguments& arguments, const std::string& version_text) {
    app.require_subcommand(1);
    app.set_version_flag("--version", "berth " + version_text)->description("say which berth this is");
    serve = app.add_subcommand("serve", "run the server until SIGTERM");
    add_config_options(*serve, arguments);
    serve->add_option("--listen", arguments.listen, "address to listen on (default: 127.0.0.1:5000); may repeat")
        ->type_name("ADDR:PORT")
        ->allow_extra_args(false);
    serve->add_option("--data", arguments.data, "where everything is kept (default: ./berth-data)")->type_name("DIR");
    serve->add_option("--log-level", arguments.log_level, "trace, debug, info, warning or error")->type_name("LEVEL");
    serve->add_option("--port-file", arguments.port_file, "write the ports in use there, one a line")
        ->type_name("FILE");

    auto* config = app.add_subcommand("config", "look at the settings");
    config->require_subcommand(1);
    check = config->add_subcommand("check", "say every problem of the settings, with its line: exit 0, or 8 if any");
    add_config_options(*check, arguments);
    print = config->add_subcommand("print", "show every setting and where its value comes from");
    add_config_options(*print, arguments);
    schema = config->add_subcommand("schema", "print a JSON Schema of the file, for editors");
    reference = config->add_subcommand("reference", "print all settings as Markdown");

    health = app.add_subcommand("health", "ask a server whether it is ready: exit 0, else 8, or 6 when it is not there");
    add_config_options(*health, arguments);
    auto* url = health->add_option("--url", arguments.url, "what to ask, in full")->type_name("URL");
    health->add_option("--address", arguments.address, "whom to ask (default: where the settings listen)")
        ->type_name("ADDR:PORT")
        ->excludes(url);
    add_timeout_option(*health, arguments, "5s");

    doctor = app.add_subcommand(
        "doctor", "look for what is wrong with this machine, the settings, the certificates, what clients see and what berth asks");
    add_config_options(*doctor, arguments);
    doctor->add_option("--data", arguments.data, "the data directory (default: as set)")->type_name("DIR");
    doctor->add_option("--url", arguments.doctor.url, "what clients call the registry (default: public_url)")->type_name("URL");
    doctor->add_option("--ca", arguments.doctor.ca_file, "trust the authorities of this file (PEM)")->type_name("FILE");
    doctor->add_flag("--offline", arguments.doctor.offline, "connect to nobody");
    add_timeout_option(*doctor, arguments, "5s");
    add_output_option(*doctor, arguments);

    auto* certs = app.add_subcommand("certs", "certificates for TLS");
    certs->require_subcommand(1);
    certs_dev = certs->add_subcommand(
        "dev", "make an authority and a server certificate for this machine, and say how clients trust them");
    certs_dev->add_option("--out", arguments.certificates.out, "folder for the files; an authority in it is used again")
        ->type_name("DIR")
        ->capture_default_str();
    certs_dev
        ->add_option("--name", arguments.certificates.names, "a further name or address of the server; may repeat")
        ->type_name("HOST")
        ->allow_extra_args(false);
    certs_dev->add_flag("--force", arguments.certificates.force, "replace what is in the folder, the authority too");

    client_config = app.add_subcommand(
        "client-config", "print what a machine needs whose docker, containerd, podman or k3s uses this registry");
    client_config->add_option("client", arguments.client_config.client, "docker, containerd, podman or k3s")
        ->type_name("CLIENT")
        ->required()
        ->check(CLI::IsMember({"docker", "containerd", "podman", "k3s"}));
    client_config
        ->add_option("--address", arguments.client_config.address, "URL of the registry (default: as the settings say)")
        ->type_name("URL");
    client_config
        ->add_option("--ca", arguments.client_config.ca_file,
                     "the authority that the machine shall trust (default: ca.crt beside the certificate of the settings)")
        ->type_name("FILE");
    client_config
        ->add_option("--mirror-of", arguments.client_config.mirror_of,
                     "ask this registry for another one's images first, as docker.io")
        ->type_name("REGISTRY");
    add_config_options(*client_config, arguments);
    add_output_option(*client_config, arguments);

    version = app.add_subcommand("version", "say which berth this is");
    add_output_option(*version, arguments);

    completion = app.add_subcommand("completion", "print a script with which a shell completes berth's commands");
    completion->add_option("shell", arguments.shell, "the shell")
        ->type_name("SHELL")
        ->required()
        ->check(CLI::IsMember({"bash", "zsh", "fish"}));
    man = app.add_subcommand("man", "print a manual page (`berth man berth-serve | man -l -`), or write all of them");
    auto* page = man->add_option("page", arguments.page, "berth, berth-COMMAND or berth.yaml")->type_name("PAGE");
    page->capture_default_str();
    man->add_option("--out", arguments.pages_out, "write all pages to files in this folder")->type_name("DIR")->excludes(page);

    management.emplace(app);
    app.footer("`berth COMMAND --help` says what each takes.");  // last, because commands inherit it
  }

  CLI::App app{"berth: a container registry in one program", "berth"};
  std::optional<Management> management;
  CLI::App *serve, *check, *print, *schema, *reference, *health, *certs_dev, *client_config, *doctor, *version, *completion, *man;
};

int print_completion(const CommandText& tree, const std::string& shell, const Program& program) {
  program.out << (shell == "bash" ? bash_completion(tree) : shell == "zsh" ? zsh_completion(tree) : fish_completion(tree));
  return kOk;
}

int print_manual(const CommandText& tree, const Arguments& arguments, const Program& program) {
  namespace fs = std::filesystem;
  const auto pages = manual_pages(tree, program.version);
  if (arguments.pages_out.empty()) {
    const auto found = std::find_if(pages.begin(), pages.end(), [&](const ManualPage& one) { return one.name == arguments.page; });
    if (found == pages.end()) return usage(arguments.page + ": there is no such page; berth names all others", program);
    program.out << found->text;
    return kOk;
  }
  for (const auto& page : pages) {
    const auto path = fs::path(arguments.pages_out) / fmt::format("{}.{}", page.name, page.section);
    std::ofstream file(path, std::ios::binary);
    file << page.text;
    file.close();
    if (file) continue;
    program.err << "berth: " << path.string() << " cannot be written\n";
    return kFailure;
  }
  return kOk;
}

/// "; did you mean x?" when something near exists.
std::string suggestion(const std::string& word, const std::vector<std::string>& names) {
  std::vector<std::string_view> candidates(names.begin(), names.end());
  std::string_view near = config::closest(word, candidates);
  return near.empty() ? "" : fmt::format("; did you mean {}?", near);
}

std::vector<const CLI::App*> commands_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

/// What is wrong with the arguments, for the person who typed them. CLI11's own words for a command that is unknown are
/// that one is missing, and it tells strangers in reverse.
std::string explain(const CLI::App& app, const std::vector<std::string>& words, const CLI::ParseError& error) {
  const CLI::App* at = &app;
  std::string path = "berth", above;
  std::size_t next = 0;
  for (; next < words.size(); ++next) {
    const auto commands = commands_of(*at);
    auto found = std::find_if(commands.begin(), commands.end(),
                              [&](const CLI::App* one) { return one->get_name() == words[next]; });
    if (found == commands.end()) break;
    at = *found;
    above = path;
    path += " " + at->get_name();
  }
  std::vector<std::string> names;
  for (const auto* command : commands_of(*at)) names.push_back(command->get_name());
  if (!names.empty() && next == words.size()) return at->help(above);

  std::string problem = error.what();
  if (!names.empty() && !words[next].starts_with('-')) {
    problem = fmt::format("{}: unknown command; expected {}{}", words[next], fmt::join(names, ", "),
                          suggestion(words[next], names));
  } else if (const auto extras = app.remaining(true); !extras.empty()) {
    const std::string word = extras.front().substr(0, extras.front().find('='));
    std::vector<std::string> options;
    for (const auto* option : at->get_options())
      for (const auto& name : option->get_lnames()) options.push_back("--" + name);
    problem = word.starts_with('-') ? fmt::format("{}: unknown option{}", word, suggestion(word, options))
                                    : fmt::format("{}: one argument too many", word);
  }
  return fmt::format("{}: {}\nSee {} --help.\n", path, problem, path);
}

int parse_and_run(int argc, const char* const* argv, const Program& program) {
  Arguments arguments;
  Commands commands(arguments, program.version);
  try {
    commands.app.parse(argc, argv);
  } catch (const CLI::Success& answer) {  // --help, --version
    commands.app.exit(answer, program.out, program.err);
    return kOk;
  } catch (const CLI::ParseError& error) {
    program.err << explain(commands.app, {argv + 1, argv + argc}, error);
    return kUsage;
  }

  auto wrong = [&](const std::string& problem) {
    program.err << "berth: " << problem << '\n';
    return static_cast<int>(kUsage);
  };
  if (*commands.certs_dev) return make_dev_certificates(arguments.certificates, program);
  const auto output = arguments.output == "json" ? Output::json : Output::table;
  if (*commands.version) return show_version(output, program);
  if (*commands.completion) return print_completion(command_tree(commands.app), arguments.shell, program);
  if (*commands.man) return print_manual(command_tree(commands.app), arguments, program);
  if (*commands.schema) return config_schema(program);
  if (*commands.reference) return config_reference(program);
  if (const auto code = commands.management->run(program)) return *code;
  config::Sources sources;
  if (auto problem = fill_sources(arguments, program, sources)) return wrong(*problem);
  if (*commands.client_config) {
    arguments.client_config.sources = std::move(sources);
    arguments.client_config.output = output;
    return client_config(arguments.client_config, program);
  }
  // Not for `health`: it may run where the files that settings name are not.
  if (!*commands.health) sources.check = program.check;
  if (*commands.check) return config_check(sources, program);
  if (*commands.print) return config_print(sources, program);
  if (*commands.health) {
    HealthCall call;
    call.url = arguments.url;
    call.address = arguments.address;
    call.sources = std::move(sources);
    if (auto problem = fill_timeout(arguments, call.timeout)) return wrong(*problem);
    return health(call, program);
  }
  if (*commands.doctor) {
    auto call = arguments.doctor;
    call.sources = std::move(sources);
    call.output = output;
    if (auto problem = fill_timeout(arguments, call.timeout)) return wrong(*problem);
    return doctor(call, program);
  }
  return program.serve({std::move(sources), arguments.port_file});
}

}  // namespace

int run(int argc, const char* const* argv, const Program& program) {
  // Libraries throw (CLI11, nlohmann, the allocator); nothing beyond this point does.
  try {
    return parse_and_run(argc, argv, program);
  } catch (const std::exception& error) {
    program.err << "berth: " << error.what() << '\n';
    return kFailure;
  }
}

}  // namespace berth::cli
