// What is counted, and traced, of those who come in. Names and meaning: docs/metrics.md.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "base/result.h"
#include "base/span.h"

namespace berth::auth {

/// The label `method`: what was shown.
enum class AuthMethod : std::uint8_t {
  basic,    ///< a password of berth's own users or of the htpasswd file
  ldap,     ///< a password that the directory was asked about
  secret,   ///< a robot's secret or a personal token
  refresh,  ///< a refresh token, at /token
  bearer,   ///< an access token
  oidc,     ///< a token of an outside issuer
  mtls,     ///< a client certificate
};
inline constexpr std::size_t kAuthMethods = static_cast<std::size_t>(AuthMethod::mtls) + 1;

/// One credential that is looked at, from construction to end(): counted, and a span of its request. Without a method
/// nothing was shown, and there is neither.
class AuthAttempt {
 public:
  AuthAttempt() = default;
  explicit AuthAttempt(trace::Parent request) : request_(std::move(request)) {}
  explicit AuthAttempt(AuthMethod method, trace::Parent request = {}) : request_(std::move(request)) { is(method); }

  void is(AuthMethod method) {
    if (!method_ && request_) span_ = trace::Span(request_, "authenticate");
    method_ = method;
  }
  std::optional<AuthMethod> method() const { return method_; }
  template <class T>
  void end(const Result<T>& answer) {
    if (method_) count(answer ? nullptr : &answer.error());
  }
  /// For what is done to look at it.
  const trace::Parent& trace() const { return span_.below(); }

 private:
  void count(const Error* error);

  std::optional<AuthMethod> method_;
  trace::Parent request_;
  trace::Span span_;
  std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
};

/// The label `scope`: what has to wait after too many failed logins. An account that fails at one address is `user`
/// too.
enum class RateLimit : std::uint8_t { ip, user };
void count_rate_limited(RateLimit scope);

void count_issued_token();

/// A credential that was good a moment ago: as good as one that was looked at, in no time.
void count_recalled(AuthMethod method);

/// The label `cache`: who showed which credential a moment ago, tokens whose signature was checked, passwords that were
/// right a moment ago, what is known of subjects.
enum class AuthCache : std::uint8_t { identity, token, password, authz };
void count_look_up(AuthCache cache, bool hit);

}  // namespace berth::auth
