#include "auth/outside_tokens.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>
#include <utility>

#include "auth/certificates.h"
#include "base/log.h"

namespace berth::auth {
namespace {

Result<std::string> read_file(const std::string& path, std::size_t bytes_max) {
  const auto refuse = [&path](ErrorCode code, const std::string& why) { return make_error(code, path + ": " + why); };
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) return refuse(ErrorCode::io_error, std::strerror(errno));
  std::string text(bytes_max + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad()) return refuse(ErrorCode::io_error, std::strerror(errno));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > bytes_max) return refuse(ErrorCode::request_invalid, "it is too large");
  return text;
}

Error in_file(const std::string& path, const Error& error) { return make_error(error.code, path + ": " + error.message); }

}  // namespace

OutsideTokens::OutsideTokens(BearerChallenge challenge, KeySet certificates, KeySet keys, TokenVerifier::Options options)
    : challenge_(std::move(challenge)),
      certificates_(std::move(certificates)),
      keys_(std::move(keys)),
      verifier_(std::move(options)) {}

Result<std::unique_ptr<OutsideTokens>> OutsideTokens::create(const OutsideTokenServer& server) {
  BERTH_TRY(auto challenge, BearerChallenge::make(server.realm, server.service));
  if (server.issuer.empty()) return make_error(ErrorCode::request_invalid, "an outside token server needs its issuer");
  TokenVerifier::Options options{.issuer = server.issuer, .source = TokenSource::outside};
  KeySet certificates, keys;
  if (!server.root_certificates_file.empty()) {
    const std::string& path = server.root_certificates_file;
    BERTH_TRY(const std::string pem, read_file(path, RootCertificates::kTextMax));
    auto roots = RootCertificates::parse_pem(pem);
    if (!roots) return in_file(path, roots.error());
    options.roots = std::make_shared<const RootCertificates>(*std::move(roots));
    auto parsed = KeySet::parse_pem(pem);
    if (parsed) {
      certificates = *std::move(parsed);
    } else {
      // Still what chains end at: an authority may have a key of a kind that no token is signed with.
      log::warning("tokens that name a key of the root certificates will not be known; those with a chain will",
                   {{"file", path}, {"error", parsed.error().message}});
    }
  }
  if (!server.jwks_file.empty()) {
    BERTH_TRY(const std::string text, read_file(server.jwks_file, KeySet::kTextMax));
    auto parsed = KeySet::parse_jwks(text);
    if (!parsed) return in_file(server.jwks_file, parsed.error());
    keys = *std::move(parsed);
  }
  if (options.roots == nullptr && keys.size() == 0) {
    return make_error(ErrorCode::request_invalid,
                      "an outside token server needs root certificates or a key set to know its tokens by");
  }
  return std::unique_ptr<OutsideTokens>(
      new OutsideTokens(std::move(challenge), std::move(certificates), std::move(keys), std::move(options)));
}

Result<std::shared_ptr<const VerifiedToken>> OutsideTokens::verify(std::string_view token, WallTime now) {
  const auto find_key = [this](std::string_view id) {
    const VerificationKey* key = keys_.find(id);
    return key != nullptr ? key : certificates_.find(id);
  };
  return verifier_.verify(token, challenge_.service(), find_key, now);
}

}  // namespace berth::auth
