// From a client certificate to who its holder is: pure functions over the rules of an operator.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/caller.h"
#include "auth/options.h"

namespace berth::auth {

struct CertificateIdentity {
  std::string subject;              ///< as in grants
  std::vector<std::string> groups;  ///< subjects: `group:dev`
};

/// Does the pattern match the name? Both are split at their commas into attributes, and each of the pattern's must match
/// one whole attribute, in their order: a comma inside a value never counts as one between two. In an attribute `*` is
/// any text; alone it is any number of attributes.
bool subject_matches(std::string_view pattern, std::string_view subject);

/// The common name, unescaped. Empty without one, or with several.
std::string common_name(std::string_view subject);

/// What the first rule that matches says; empty when none does. A rule whose identity cannot be made of the certificate
/// (no common name, or one that is no name) does not match.
std::optional<CertificateIdentity> identity_of(const std::vector<CertificateRule>& rules,
                                               const ClientCertificate& certificate);

}  // namespace berth::auth
