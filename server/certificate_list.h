// The certificates that listeners show, as the api tells of them.
#pragma once

#include <vector>

#include "api/service.h"
#include "config/settings.h"
#include "server/tls_options.h"

namespace berth::server {

/// `statuses` are of a server with the listeners of `settings`.
std::vector<api::LoadedCertificate> certificate_list(const std::vector<CertificateStatus>& statuses,
                                                     const config::Settings& settings);

}  // namespace berth::server
