// OpenSSL's objects with an owner, and certificates out of PEM texts, for the commands that look at them.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::cli {

template <auto Free>
struct FreeWith {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using BioPtr = std::unique_ptr<BIO, FreeWith<BIO_free_all>>;
using X509Ptr = std::unique_ptr<X509, FreeWith<X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, FreeWith<EVP_PKEY_free>>;

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
