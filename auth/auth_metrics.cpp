#include "auth/auth_metrics.h"

#include <string_view>

#include "base/metrics.h"

namespace berth::auth {
namespace {

using metrics::Counter;
using metrics::Family;
using metrics::Histogram;

enum class Outcome : std::uint8_t { ok, denied, error, limited };

std::string_view to_string(AuthMethod method) {
  switch (method) {
    case AuthMethod::basic:
      return "basic";
    case AuthMethod::ldap:
      return "ldap";
    case AuthMethod::secret:
      return "secret";
    case AuthMethod::refresh:
      return "refresh";
    case AuthMethod::bearer:
      return "bearer";
    case AuthMethod::oidc:
      return "oidc";
    case AuthMethod::mtls:
      return "mtls";
  }
  return "";
}

std::string_view to_string(Outcome outcome) {
  switch (outcome) {
    case Outcome::ok:
      return "ok";
    case Outcome::denied:
      return "denied";
    case Outcome::error:
      return "error";
    case Outcome::limited:
      return "limited";
  }
  return "";
}

std::string_view to_string(AuthCache cache) {
  switch (cache) {
    case AuthCache::identity:
      return "identity";
    case AuthCache::token:
      return "token";
    case AuthCache::password:
      return "password";
    case AuthCache::authz:
      return "authz";
  }
  return "";
}

std::string_view to_string(RateLimit scope) { return scope == RateLimit::ip ? "ip" : "user"; }

enum class LookUp : std::uint8_t { miss, hit };
std::string_view to_string(LookUp found) { return found == LookUp::hit ? "hit" : "miss"; }

const metrics::EnumGrid<Counter, AuthMethod, kAuthMethods, Outcome, 4> kAttempts(
    Family<Counter>("auth_attempts_total", "Credentials that were looked at.", {"method", "result"}), to_string,
    to_string);
const metrics::EnumFamily<Histogram, AuthMethod, kAuthMethods> kSeconds("auth_seconds",
                                                                        "How long it took to look at a credential.",
                                                                        metrics::kShortBuckets, "method", to_string);
const metrics::EnumFamily<Counter, RateLimit, 2> kLimited("rate_limited_total",
                                                          "Logins that were told to wait, after too many failed ones.",
                                                          "scope", to_string);
const metrics::EnumGrid<Counter, AuthCache, 4, LookUp, 2> kCaches(Family<Counter>("cache_requests_total",
                                                                                  "Look-ups in berth's own caches.",
                                                                                  {"cache", "result"}),
                                                                  to_string, to_string);
Counter& issued_tokens = Family<Counter>("tokens_issued_total", "Access tokens that were made.").with();

Outcome outcome_of(const Error* error) {
  if (error == nullptr) return Outcome::ok;
  if (error->code == ErrorCode::too_many_requests) return Outcome::limited;
  // What nobody could be called was not let in either.
  const bool denied = error->code == ErrorCode::unauthorized || error->code == ErrorCode::request_invalid;
  return denied ? Outcome::denied : Outcome::error;
}

}  // namespace

void AuthAttempt::count(const Error* error) {
  if (span_) {
    span_.set("berth.auth.method", to_string(*method_));
    span_.set("berth.auth.result", to_string(outcome_of(error)));
    // A credential that is not good is an answer like another.
    if (outcome_of(error) == Outcome::error) span_.fail(to_string(error->code));
    span_.end();
  }
  if (error != nullptr && error->code == ErrorCode::aborted) return;  // the client did not wait for it
  kAttempts(*method_, outcome_of(error)).add();
  kSeconds[*method_].observe(std::chrono::steady_clock::now() - begun_);
}

void count_recalled(AuthMethod method) {
  kAttempts(method, Outcome::ok).add();
  kSeconds[method].observe(0.0);
}

void count_rate_limited(RateLimit scope) { kLimited[scope].add(); }
void count_issued_token() { issued_tokens.add(); }
void count_look_up(AuthCache cache, bool hit) { kCaches(cache, hit ? LookUp::hit : LookUp::miss).add(); }

}  // namespace berth::auth
