// `berth metrics`: what a running server counts, wherever it lets Prometheus in.
#include <CLI/CLI.hpp>

#include "cli/management.h"

namespace berth::cli {
namespace {

int show_metrics(const Session& session) {
  const auto answered = session.exchange("GET", "/metrics", "metrics");
  if (const auto* failed = std::get_if<int>(&answered)) return *failed;
  session.out() << std::get<HttpAnswer>(answered).body;
  return kOk;
}

}  // namespace

void add_metrics_command(CLI::App& app, Management& management) {
  auto* metrics = management.command(app, "metrics", "print what a running server counts, as Prometheus reads it", show_metrics);
  for (const char* only_for_records : {"--output", "--quiet"}) metrics->remove_option(metrics->get_option(only_for_records));
}

}  // namespace berth::cli
