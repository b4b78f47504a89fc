// berth's own access tokens: made for a principal, and read back into who it is and what the token is good for.
//
// A token is a ceiling, never a right: whoever reads it back intersects its access with what the subject may do now.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "auth/jose.h"
#include "auth/key_ring.h"
#include "auth/principal.h"
#include "auth/scope.h"
#include "base/env.h"
#include "base/result.h"

namespace berth::auth {

/// Signed tokens larger than this are neither made nor read.
inline constexpr std::size_t kTokenSizeMax = 16u << 10;

struct TokenRequest {
  std::string subject;                   ///< "user:alice", "anonymous", …
  std::string audience;                  ///< the service
  std::vector<Scope> scopes;             ///< as asked for
  std::string method = {};               ///< how the subject was authenticated
  Testimony testimony = {};              ///< holds as long as the token does
  WallTime until = WallTime::max();      ///< it does not outlive what it was had with
};

struct IssuedToken {
  std::string token;
  std::string id;  ///< jti
  WallTime issued_at;
  std::chrono::seconds expires_in;
  std::string scope;  ///< what is granted, as the token endpoint's answer wants it
};

/// Says what the principal may do with what a scope names: all of it, whatever was asked.
using GrantedActions = std::function<ScopeActions(const Scope& wanted)>;

struct TokenOptions {
  std::string issuer;
  std::chrono::seconds lifetime{300};  ///< at least 60 s: clients take less for a mistake
};

/// A token for what is asked and granted; an entry of which nothing is granted stays, with no action, so that the
/// client can be told apart from one that never asked. Errors: request_invalid (too many scopes for one token),
/// unavailable (no key yet), internal.
Result<IssuedToken> issue_token(const TokenOptions& options, const KeyRing& keys, const TokenRequest& request,
                                const GrantedActions& granted, WallTime now, Entropy& entropy);

/// The `access` claim; empty when there is none. Entries that no scope can name are passed over. Also for tokens of
/// outside token servers. Errors: unauthorized (malformed or too long).
Result<std::vector<Scope>> access_of(const Claims& claims);

enum class TokenSource : std::uint8_t {
  own,
  outside,  ///< a token server that has one word for push and overwrite
};

struct VerifiedToken {
  std::string subject;  ///< of an outside server's token `federated:outside:SUB`; `anonymous` for nobody in particular
  std::vector<Scope> access;
  std::string method;
  Testimony testimony;
  TokenSource source = TokenSource::own;
  Claims claims;  ///< without the JSON
};

/// Reads back what issue_token() or an outside token server made. Keeps what it verified, by SHA-256 of the token and
/// until it expires, in shards of bounded size: clients send the same token with every request. A key that is gone,
/// another audience, and times that no longer hold end a kept token as they end any. Thread-safe.
class TokenVerifier {
 public:
  struct Options {
    std::string issuer;
    TokenSource source = TokenSource::own;
    std::shared_ptr<const RootCertificates> roots = nullptr;  ///< see VerifyOptions
    std::chrono::seconds leeway{60};
    std::size_t kept_max = 4096;
  };
  explicit TokenVerifier(Options options);

  /// Errors: unauthorized, as verify_jwt().
  Result<std::shared_ptr<const VerifiedToken>> verify(std::string_view token, std::string_view audience,
                                                      const KeyLookup& find_key, WallTime now);
  /// Tokens kept now.
  std::size_t kept() const;

 private:
  using Hash = std::array<std::byte, 32>;
  struct Entry {
    Hash hash;
    std::shared_ptr<const VerifiedToken> token;
  };
  /// Each with its own lock.
  struct Shard {
    mutable std::mutex mutex;
    std::list<Entry> entries;  ///< most recently used first
    std::map<Hash, std::list<Entry>::iterator> by_hash;
  };
  static constexpr std::size_t kShards = 8;

  Result<std::shared_ptr<const VerifiedToken>> read(std::string_view token, std::string_view audience,
                                                    const KeyLookup& find_key, WallTime now) const;
  bool still_good(const VerifiedToken& token, std::string_view audience, const KeyLookup& find_key, WallTime now) const;
  std::shared_ptr<const VerifiedToken> find(const Hash& hash);
  void keep(const Hash& hash, std::shared_ptr<const VerifiedToken> token);
  void forget(const Hash& hash);
  Shard& shard_of(const Hash& hash) { return shards_[std::to_integer<std::size_t>(hash[0]) % kShards]; }

  const Options options_;
  std::array<Shard, kShards> shards_;
};

}  // namespace berth::auth
