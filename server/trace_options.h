// From settings to what sends spans and chooses them, and what is wrong with those settings.
#pragma once

#include <string>
#include <vector>

#include "config/settings.h"
#include "server/trace_exporter.h"

namespace berth::server {

/// Of settings with an endpoint that check_tracing() found nothing wrong with.
TraceExporterOptions trace_exporter_options(const config::Settings& settings, std::string version);
trace::Sampling sampling(const config::Settings& settings);

/// Adds what is wrong. Reads the files that are named.
void check_tracing(const config::Settings& settings, std::vector<config::Finding>& findings);

/// Do headers, which may hold a secret, go to another machine without TLS?
bool tells_headers_in_clear(const config::Settings& settings);

}  // namespace berth::server
