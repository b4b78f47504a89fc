#include "api/admin/manage.h"

#include <charconv>
#include <utility>

#include "api/account_tools.h"
#include "api/errors.h"
#include "api/pages.h"

namespace berth::api::admin {

namespace {

// A change that what is there stands against, whatever version the client saw. Not in the table of errors: /v2 has it
// not.
constexpr ErrorRow kConflict{ErrorCode::precondition_failed, "CONFLICT", 409};
constexpr std::string_view kConflictMark = "conflict";

std::string dumped(const Out& body) {
  // Whatever was stored is UTF-8; what came from elsewhere shall not end the process.
  return body.dump(-1, ' ', false, Out::error_handler_t::replace);
}

std::string quoted(registry::IdentityNumber version) { return "\"" + std::to_string(version) + "\""; }

std::optional<registry::IdentityNumber> parse_number(std::string_view text) {
  registry::IdentityNumber number = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool good = problem == std::errc{} && end == text.data() + text.size() && number != 0 && text.front() != '0';
  return good ? std::optional(number) : std::nullopt;
}

Response told(const Context& context, Error error) {
  switch (error.code) {
    case registry::kIdentityUnknown:
      error.code = ErrorCode::repository_unknown;
      break;
    case registry::kIdentityConflict:
      // Without a version in the request, something else was in the way.
      if (error.log_detail == kConflictMark || !context.request.headers.has("If-Match")) {
        return error_response(kConflict, error, context.request.id);
      }
      break;
    default:
      break;
  }
  return error_response(error, context.request.id);
}

}  // namespace

Error conflict(std::string message) {
  return make_error(ErrorCode::precondition_failed, std::move(message), std::string(kConflictMark));
}

Result<Response> finish(const Context& context, Result<Response> answer) {
  const bool of_pipeline = answer.failed_with(ErrorCode::unauthorized) ||
                           answer.failed_with(ErrorCode::too_many_requests) || answer.failed_with(ErrorCode::aborted);
  if (of_pipeline) return answer;
  Response response = answer ? *std::move(answer) : told(context, std::move(answer).error());
  response.headers.set("Cache-Control", "no-store");
  return response;
}

Result<void> require_accounts(const Context& context) {
  const Backends* backends = context.backends;
  if (backends != nullptr && backends->identities != nullptr && backends->accounts != nullptr) return {};
  return make_error(ErrorCode::unavailable, "this server keeps no accounts");
}

Response json_answer(unsigned status, const Out& body) {
  return text_response(status, dumped(body), "application/json");
}

Response versioned_answer(unsigned status, const Out& body, registry::IdentityNumber version) {
  Response response = json_answer(status, body);
  response.headers.add("ETag", quoted(version));
  return response;
}

Response created_answer(const Out& body, std::string_view path, registry::IdentityNumber version) {
  Response response = versioned_answer(201, body, version);
  response.headers.add("Location", std::string(path));
  return response;
}

Response no_content() {
  Response response;
  response.status = 204;
  return response;
}

Result<registry::IfVersion> if_version(const Context& context) {
  const auto values = context.request.headers.all("If-Match");
  if (values.empty() || (values.size() == 1 && values.front() == "*")) return registry::IfVersion{};
  std::string_view text = values.front();
  if (text.size() >= 2 && text.starts_with('"') && text.ends_with('"')) text = text.substr(1, text.size() - 2);
  const auto version = parse_number(text);
  if (values.size() == 1 && version) return registry::IfVersion(*version);
  return make_error(ErrorCode::precondition_failed, "If-Match is the one version that ETag told, or *");
}

Result<PageAsked> page_asked(const Context& context) {
  constexpr std::size_t kDefault = 100;
  PageAsked asked;
  BERTH_TRY(asked.n, page_size(context.query, kDefault, context.options.page_entries_max));
  if (asked.n == 0) return make_error(ErrorCode::page_invalid, "n must be at least 1");
  asked.last = context.query.get("last").value_or("");
  return asked;
}

Out page_of(Out items, const std::string& next) {
  Out page;
  page["items"] = std::move(items);
  page["next"] = next.empty() ? Out() : Out(next);
  return page;
}

Result<std::optional<std::string>> parameter(const Context& context, std::string_view name) {
  const auto values = context.query.all(name);
  if (values.empty()) return std::optional<std::string>();
  if (values.size() == 1) return std::optional(std::string(values.front()));
  return make_error(ErrorCode::request_invalid, "the parameter " + std::string(name) + " is given more than once");
}

Result<bool> flag(const Context& context, std::string_view name) {
  BERTH_TRY(const auto value, parameter(context, name));
  if (!value || *value == "false") return false;
  if (*value == "true") return true;
  return make_error(ErrorCode::request_invalid, "the parameter " + std::string(name) + " is true or false");
}

Result<registry::IdentityNumber> number_in_path(std::string_view text) {
  const auto number = parse_number(text);
  if (number) return *number;
  return make_error(ErrorCode::repository_unknown, "there is nothing of this number");
}

bool is_administrator(const Context& context) {
  return context.policy.decide(context.principal, auth::Action::admin, nullptr).allowed;
}

Result<void> require_authenticated(const Context& context) {
  if (context.principal.subject != auth::kAnonymous || !context.accounts().options().enabled) return {};
  return make_error(ErrorCode::unauthorized, "show who you are first");
}

}  // namespace berth::api::admin
