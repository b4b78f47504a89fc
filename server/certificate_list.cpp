#include "server/certificate_list.h"

namespace berth::server {

std::vector<api::LoadedCertificate> certificate_list(const std::vector<CertificateStatus>& statuses,
                                                     const config::Settings& settings) {
  std::vector<api::LoadedCertificate> list;
  for (const CertificateStatus& status : statuses) {
    if (status.vouches) continue;  // the API tells what clients are shown
    const bool known = status.listener < settings.listeners.size();
    list.push_back({.listener = known ? settings.listeners[status.listener].address : "",
                    .file = status.file,
                    .names = status.names,
                    .subject = status.subject,
                    .issuer = status.issuer,
                    .key = status.key,
                    .fingerprint = status.fingerprint,
                    .not_before = status.not_before,
                    .not_after = status.not_after,
                    .loaded_at = status.loaded,
                    .problem = status.problem});
  }
  return list;
}

}  // namespace berth::server
