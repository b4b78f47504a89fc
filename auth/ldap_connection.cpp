#include "auth/ldap_connection.h"

#include <ldap.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <utility>

#include "auth/ldap_watch.h"

namespace berth::auth {
namespace {

// Where Debian and its kin keep the roots. libldap knows no system's roots of its own.
constexpr const char* kSystemRoots = "/etc/ssl/certs/ca-certificates.crt";

struct FreeMessage {
  void operator()(LDAPMessage* message) const { ldap_msgfree(message); }
};
using Message = std::unique_ptr<LDAPMessage, FreeMessage>;

timeval to_timeval(std::chrono::milliseconds time) {
  return {.tv_sec = static_cast<time_t>(time.count() / 1000),
          .tv_usec = static_cast<suseconds_t>(time.count() % 1000 * 1000)};
}

/// Codes of a bind by which a directory says no to who asks, not to berth (RFC 4511 appendix A; a locked, expired or
/// disabled account is refused with one of the last three).
bool is_refusal(int code) {
  return code == LDAP_INVALID_CREDENTIALS || code == LDAP_INAPPROPRIATE_AUTH || code == LDAP_INSUFFICIENT_ACCESS ||
         code == LDAP_NO_SUCH_OBJECT || code == LDAP_CONSTRAINT_VIOLATION || code == LDAP_UNWILLING_TO_PERFORM;
}

}  // namespace

LdapConnection::LdapConnection() : watch_(std::make_unique<LdapWatch>()) {}

LdapConnection::~LdapConnection() {
  if (handle_) ldap_unbind_ext_s(handle_, nullptr, nullptr);
}

Error LdapConnection::failed(const char* what, int code) const {
  char* said = nullptr;
  if (handle_) ldap_get_option(handle_, LDAP_OPT_DIAGNOSTIC_MESSAGE, &said);
  const std::string more = said && *said ? fmt::format(" ({})", said) : std::string();
  ldap_memfree(said);
  return make_error(ErrorCode::unavailable, "the directory of users cannot be asked",
                    fmt::format("{}: {}{}", what, ldap_err2string(code), more));
}

Result<void> LdapConnection::set_deadline(LdapDeadline deadline, std::chrono::milliseconds at_most) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  if (left.count() <= 0) return failed("too late", LDAP_TIMEOUT);
  const timeval time = to_timeval(std::min(left, at_most));
  const bool good = ldap_set_option(handle_, LDAP_OPT_NETWORK_TIMEOUT, &time) == LDAP_OPT_SUCCESS &&
                    ldap_set_option(handle_, LDAP_OPT_TIMEOUT, &time) == LDAP_OPT_SUCCESS;
  if (!good) return failed("time-outs", LDAP_PARAM_ERROR);
  watch_->set_deadline(std::min(deadline, std::chrono::steady_clock::now() + at_most));
  return {};
}

Result<std::unique_ptr<LdapConnection>> LdapConnection::open(const LdapEndpoint& endpoint, LdapDeadline deadline) {
  Error last = make_error(ErrorCode::unavailable, "the directory of users cannot be asked", "it has no address");
  for (const auto& url : endpoint.urls) {
    std::unique_ptr<LdapConnection> connection(new LdapConnection);
    auto started = connection->start(url, endpoint, deadline);
    if (started) return connection;
    last = std::move(started).error();
    last.log_detail = url + ": " + last.log_detail;
  }
  return last;
}

Result<void> LdapConnection::start(const std::string& url, const LdapEndpoint& endpoint, LdapDeadline deadline) {
  if (const int code = ldap_initialize(&handle_, url.c_str()); code != LDAP_SUCCESS) return failed("the address", code);
  bool good = true;
  const auto set = [this, &good](int option, const void* value) {
    good = good && ldap_set_option(handle_, option, value) == LDAP_OPT_SUCCESS;
  };
  const auto set_number = [&set](int option, int value) { set(option, &value); };
  // All is said here: a configuration file of libldap on the machine must not loosen any of it.
  set_number(LDAP_OPT_PROTOCOL_VERSION, LDAP_VERSION3);
  set_number(LDAP_OPT_DEREF, LDAP_DEREF_NEVER);
  set(LDAP_OPT_REFERRALS, LDAP_OPT_OFF);  // a referral would send the password elsewhere
  set(LDAP_OPT_RESTART, LDAP_OPT_ON);
  set_number(LDAP_OPT_X_TLS_REQUIRE_CERT, LDAP_OPT_X_TLS_DEMAND);
  set_number(LDAP_OPT_X_TLS_REQUIRE_SAN, LDAP_OPT_X_TLS_ALLOW);
  set_number(LDAP_OPT_X_TLS_PROTOCOL_MIN, LDAP_OPT_X_TLS_PROTOCOL_TLS1_2);
  set(LDAP_OPT_X_TLS_CACERTFILE, endpoint.ca_file.empty() ? kSystemRoots : endpoint.ca_file.c_str());
  if (!good || !watch_->attach(handle_)) return failed("options", LDAP_PARAM_ERROR);
  const bool tls = url.starts_with("ldaps:") || endpoint.start_tls;
  if (tls) {
    const int client = 0;
    if (ldap_set_option(handle_, LDAP_OPT_X_TLS_NEWCTX, &client) != LDAP_OPT_SUCCESS)
      return failed("the certificates that it is checked with", LDAP_LOCAL_ERROR);
  }
  BERTH_CHECK(set_deadline(deadline, endpoint.connect_timeout));
  if (const int code = ldap_connect(handle_); code != LDAP_SUCCESS) return failed("connecting", code);
  if (!tls || url.starts_with("ldaps:")) return {};
  if (const int code = ldap_start_tls_s(handle_, nullptr, nullptr); code != LDAP_SUCCESS)
    return failed("StartTLS", code);
  return {};
}

Result<void> LdapConnection::bind(const std::string& dn, std::string_view password, LdapDeadline deadline) {
  if (dn.empty() || password.empty())
    return make_error(ErrorCode::unauthorized, "an empty name or password proves nothing");
  BERTH_CHECK(set_deadline(deadline, std::chrono::hours(1)));
  std::string copy(password);
  berval credential{.bv_len = copy.size(), .bv_val = copy.data()};
  const int code = ldap_sasl_bind_s(handle_, dn.c_str(), LDAP_SASL_SIMPLE, &credential, nullptr, nullptr, nullptr);
  if (code == LDAP_SUCCESS) return {};
  Error error = failed("bind", code);
  if (is_refusal(code)) error.code = ErrorCode::unauthorized;
  return error;
}

Result<std::vector<LdapEntry>> LdapConnection::search(const std::string& base, const std::string& filter,
                                                      const std::string& attribute, int count_max,
                                                      LdapDeadline deadline) {
  BERTH_CHECK(set_deadline(deadline, std::chrono::hours(1)));
  const auto left = std::chrono::ceil<std::chrono::seconds>(deadline - std::chrono::steady_clock::now());
  timeval time{.tv_sec = std::max<time_t>(1, left.count()), .tv_usec = 0};
  std::string wanted = attribute;
  char* attributes[] = {wanted.data(), nullptr};
  LDAPMessage* raw = nullptr;
  // One more than wanted is asked for, to see that there are more.
  const int code = ldap_search_ext_s(handle_, base.c_str(), LDAP_SCOPE_SUBTREE, filter.c_str(), attributes, 0, nullptr,
                                     nullptr, &time, count_max + 1, &raw);
  const Message answer(raw);
  std::vector<LdapEntry> entries;
  if (code == LDAP_SIZELIMIT_EXCEEDED) return make_error(ErrorCode::request_too_large, "too many entries");
  if (code == LDAP_NO_SUCH_OBJECT) return failed("search: the base is not there, or may not be seen", code);
  if (code != LDAP_SUCCESS) return failed("search", code);
  for (auto* one = ldap_first_entry(handle_, answer.get()); one; one = ldap_next_entry(handle_, one)) {
    LdapEntry entry;
    if (char* dn = ldap_get_dn(handle_, one)) {
      entry.dn = dn;
      ldap_memfree(dn);
    }
    if (berval** values = ldap_get_values_len(handle_, one, attribute.c_str())) {
      for (berval** value = values; *value; ++value) entry.values.emplace_back((*value)->bv_val, (*value)->bv_len);
      ldap_value_free_len(values);
    }
    entries.push_back(std::move(entry));
  }
  if (entries.size() > static_cast<std::size_t>(count_max))
    return make_error(ErrorCode::request_too_large, "too many entries");
  return entries;
}

}  // namespace berth::auth
