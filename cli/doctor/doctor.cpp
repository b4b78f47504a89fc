#include "cli/doctor/doctor.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <ostream>
#include <sstream>

#include "cli/answers.h"
#include "cli/doctor/checks.h"
#include "cli/table.h"

namespace berth::cli {
namespace {

using json = nlohmann::ordered_json;

std::string_view word(Verdict verdict) {
  return verdict == Verdict::ok ? "ok" : verdict == Verdict::warning ? "warning" : "problem";
}

std::size_t count(const Findings& findings, Verdict verdict) {
  return static_cast<std::size_t>(std::count_if(findings.all().begin(), findings.all().end(),
                                                [=](const Finding& one) { return one.verdict == verdict; }));
}

std::string counted(std::size_t number, std::string_view what) {
  return fmt::format("{} {}{}", number, what, number == 1 ? "" : "s");
}

void print_text(const Findings& findings, std::ostream& out) {
  std::size_t width = 0;
  for (const auto& one : findings.all()) width = std::max(width, one.check.size());
  for (const auto& one : findings.all()) {
    out << fmt::format("{:<8} {:<{}}  {}\n", word(one.verdict), one.check, width, harmless(one.what));
    if (!one.remedy.empty()) out << fmt::format("{:<8} {:<{}}  -> {}\n", "", "", width, harmless(one.remedy));
  }
  out << fmt::format("\n{}, {}\n", counted(count(findings, Verdict::problem), "problem"),
                     counted(count(findings, Verdict::warning), "warning"));
}

json to_json(const Findings& findings) {
  json list = json::array();
  auto worst = Verdict::ok;
  for (const auto& one : findings.all()) {
    json entry = {{"check", one.check}, {"verdict", word(one.verdict)}, {"what", one.what}};
    if (!one.remedy.empty()) entry["remedy"] = one.remedy;
    list.push_back(std::move(entry));
    worst = std::max(worst, one.verdict);
  }
  return {{"verdict", word(worst)}, {"findings", std::move(list)}};
}

/// The settings, or, when they have problems, those that any berth has: the machine can be looked at all the same.
std::optional<config::Settings> load(const config::Sources& sources, Findings& findings) {
  auto settings = config::load(sources);
  if (settings) {
    findings.ok("settings.valid", sources.file ? *sources.file + " is good" : "no file was read; all else is good");
    return *std::move(settings);
  }
  std::istringstream lines(settings.error().message);
  for (std::string line; std::getline(lines, line);)
    if (!line.empty()) findings.problem("settings.valid", line, "mend it; `berth config check` looks at the settings alone");
  return std::nullopt;
}

/// Nobody said anything of a server here: no file, no flag, nothing in the environment.
bool no_settings(const config::Sources& sources) {
  const auto is_setting = [](const auto& entry) {
    return entry.first.starts_with("BERTH__") || entry.first == config::kSetupSecretName;
  };
  return !sources.file && sources.flags.empty() &&
         std::none_of(sources.environment.begin(), sources.environment.end(), is_setting);
}

/// A machine whose programs use a registry elsewhere.
void look_as_client(const DoctorCall& call, Findings& findings) {
  findings.ok("settings.valid", "there are none here: what clients of " + call.url + " see is looked at, and this machine's clock");
  judge_clock(read_machine(0), findings);
  if (call.offline) return;
  config::Settings none;
  none.listeners.clear();
  check_clients_view(none, {call.url, call.ca_file, call.timeout}, findings);
}

void look(const DoctorCall& call, const Program& program, Findings& findings) {
  if (!call.url.empty() && no_settings(call.sources)) return look_as_client(call, findings);
  const auto settings = load(call.sources, findings);
  if (!settings) {
    judge_machine(read_machine(0), config::Settings{}, findings);
    return;
  }
  check_settings(*settings, findings);
  const auto data = check_data(*settings, findings);
  if (data.indexed && program.data_formats != nullptr)
    judge_format(program.data_formats(settings->data.directory + "/index"), data.held, findings);
  if (data.usable) judge_disk(read_disk(settings->data.directory), *settings, findings);
  const auto machine = read_machine(data.running);
  judge_machine(machine, *settings, findings);
  check_certificates(*settings, call.ca_file, machine.now, findings);
  if (call.offline) return;
  if (program.outside_services != nullptr) judge_outside(program.outside_services(*settings, call.timeout), findings);
  check_clients_view(*settings, {call.url, call.ca_file, call.timeout, data.held}, findings);
}

}  // namespace

int doctor(const DoctorCall& call, const Program& program) {
  if (!call.url.empty() && !may_be_server(call.url))
    return usage("--url " + call.url + ": expected http:// or https:// and a host, as https://registry.example.com", program);
  Findings findings;
  look(call, program, findings);
  if (call.output == Output::json)
    print_json(program.out, to_json(findings));
  else
    print_text(findings, program.out);
  return count(findings, Verdict::problem) == 0 ? kOk : kCheckFailed;
}

}  // namespace berth::cli
