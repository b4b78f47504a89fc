#include "auth/auth_metrics.h"

#include <catch2/catch.hpp>
#include <string>

#include "base/metrics.h"

namespace berth::auth {
namespace {

bool page_has(const std::string& line) {
  return ("\n" + metrics::scrape_text()).find("\n" + line + "\n") != std::string::npos;
}

}  // namespace

TEST_CASE("a credential is counted once, by what was shown and what became of it") {
  struct Row {
    ErrorCode code;
    const char* result;
  };
  for (const Row& row : {Row{ErrorCode::unauthorized, "denied"}, Row{ErrorCode::request_invalid, "denied"},
                         Row{ErrorCode::too_many_requests, "limited"}, Row{ErrorCode::unavailable, "error"}}) {
    INFO(row.result);
    AuthAttempt attempt(AuthMethod::basic);
    attempt.is(AuthMethod::ldap);  // nobody else knew the name
    attempt.end(Result<int>(make_error(row.code, "x")));
  }
  AuthAttempt good(AuthMethod::mtls);
  good.end(Result<int>(1));
  CHECK(page_has(R"(berth_auth_attempts_total{method="ldap",result="denied"} 2)"));
  CHECK(page_has(R"(berth_auth_attempts_total{method="ldap",result="limited"} 1)"));
  CHECK(page_has(R"(berth_auth_attempts_total{method="ldap",result="error"} 1)"));
  CHECK(page_has(R"(berth_auth_attempts_total{method="ldap",result="ok"} 0)"));
  CHECK(page_has(R"(berth_auth_attempts_total{method="mtls",result="ok"} 1)"));
  CHECK(page_has(R"(berth_auth_seconds_count{method="ldap"} 4)"));
}

TEST_CASE("nothing shown, or nobody there to be answered, is no attempt") {
  AuthAttempt anonymous;
  anonymous.end(Result<int>(1));
  AuthAttempt given_up(AuthMethod::oidc);
  given_up.end(Result<int>(make_error(ErrorCode::aborted, "x")));
  for (const char* result : {"ok", "denied", "error", "limited"}) {
    CHECK(page_has(R"(berth_auth_attempts_total{method="oidc",result=")" + std::string(result) + R"("} 0)"));
  }
}

}  // namespace berth::auth
