// Certificates out of PEM texts, for the commands that look at them.
#pragma once

#include <openssl/x509v3.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/openssl.h"
#include "base/result.h"

namespace berth::cli {

/// All certificates of a PEM text, in order; what else is in it is skipped. Errors: request_invalid, a sentence that names
/// no file, when there is none or one cannot be read.
Result<std::vector<X509Ptr>> parse_certificates(std::string_view pem);
/// The private key of a PEM text; nullptr: there is none that can be read without a passphrase.
KeyPtr parse_key(std::string_view pem);
/// PEM of this certificate alone.
std::string pem_of(const X509& certificate);
/// What it calls its owner (RFC 2253).
std::string subject_of(const X509& certificate);
/// Was `certificate` signed with the key of `issuer`?
bool signed_by(const X509Ptr& certificate, const X509Ptr& issuer);

}  // namespace berth::cli
