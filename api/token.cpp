// The token endpoint and the keys of its tokens. What it decides is in auth/token_endpoint.h; here is its HTTP.
//
// By POST errors have the form of OAuth and, beside it, the one of the registry: clients of both kinds ask here.
#include <string>
#include <utility>

#include "api/challenges.h"
#include "api/errors.h"
#include "api/handlers.h"
#include "auth/access_control.h"
#include "auth/authorization_header.h"
#include "auth/challenge.h"
#include "auth/token_endpoint.h"
#include "auth/token_service.h"
#include "base/bytes.h"
#include "base/json_text.h"

namespace berth::api {

namespace {

constexpr std::size_t kFormBytesMax = 64 << 10;
constexpr std::string_view kFormType = "application/x-www-form-urlencoded";

/// Not when everybody may do everything, nor when an outside server makes the tokens.
bool makes_tokens(const Context& context) {
  const Backends* backends = context.backends;
  return backends != nullptr && backends->access != nullptr && backends->tokens != nullptr &&
         backends->access->enabled() && backends->tokens->makes_tokens();
}

Error nothing_here() { return make_error(ErrorCode::route_unknown, "there is nothing at this path"); }

/// Nothing here is for any cache.
void keep_private(Response& response) {
  response.headers.set("Cache-Control", "no-store");
  response.headers.set("Pragma", "no-cache");
}

Error refuse_form(const char* why) { return make_error(ErrorCode::request_invalid, why, "invalid_request"); }

bool is_form(std::string_view content_type) {
  std::string type(content_type.substr(0, content_type.find(';')));
  while (type.ends_with(' ') || type.ends_with('\t')) type.pop_back();
  for (char& c : type) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return type == kFormType;
}

/// The body, refused as soon as its announced or counted size passes the limit.
Task<std::string> read_form(Context& context, MemoryBudget::Share& memory) {
  const auto too_large = [] { return refuse_form("the form is larger than 64 KiB"); };
  if (context.request.content_length.value_or(0) > kFormBytesMax) co_return too_large();
  std::string form;
  while (true) {
    BERTH_CO_TRY(const registry::Buffer buffer, co_await context.request.body->next());
    if (buffer.size() == 0) co_return form;
    if (buffer.size() > kFormBytesMax - form.size()) co_return too_large();
    if (!take_for_form(memory, form.size(), buffer.size())) {
      co_return make_error(ErrorCode::unavailable, "too many ask for tokens at once; try again");
    }
    form += as_text(buffer.bytes());
  }
}

Task<std::vector<std::pair<std::string, std::string>>> read_parameters(Context& context,
                                                                            MemoryBudget::Share& memory) {
  if (!context.query.items().empty()) co_return refuse_form("by POST the parameters are in the form, not in the URL");
  const auto types = context.request.headers.all("Content-Type");
  if (types.size() != 1 || !is_form(types.front())) {
    co_return refuse_form("the body is no form (application/x-www-form-urlencoded)");
  }
  BERTH_CO_TRY(const std::string form, co_await read_form(context, memory));
  const auto parsed = Query::parse(form);
  if (!parsed) co_return refuse_form("the form holds a broken escape or too many parameters");
  co_return parsed->items();
}

std::string_view oauth_word(const Error& error) {
  switch (error.code) {
    case ErrorCode::request_invalid: return error.log_detail;
    case ErrorCode::unauthorized: return "invalid_grant";
    case ErrorCode::unavailable:
    case ErrorCode::too_many_requests: return "temporarily_unavailable";
    default: return "server_error";
  }
}

/// `{"error":…,"error_description":…,"errors":[…]}`
void say_it_in_oauth(Response& response, const Error& error) {
  if (response.body.empty()) return;
  auto* body = std::get_if<std::string>(&response.body.front());
  if (body == nullptr || !body->starts_with('{')) return;
  std::string both = R"({"error":)";
  append_json_string(both, oauth_word(error));
  both += R"(,"error_description":)";
  append_json_string(both, error.message.empty() ? to_string(error.code) : std::string_view(error.message));
  both += ',';
  both += body->substr(1);
  *body = std::move(both);
}

Response refusal(Context& context, const Error& error, const std::string& user) {
  const bool post = context.request.method == Method::post;
  Response response = error_response(error, context.request.id);
  keep_private(response);
  if (post) say_it_in_oauth(response, error);
  if (error.code == ErrorCode::unauthorized) {
    const auto challenge = auth::basic_challenge("berth");
    if (challenge) response.headers.set("WWW-Authenticate", *challenge);
  }
  if (error.code == ErrorCode::too_many_requests) {
    const auto wait = context.access().retry_after(user, context.request.peer_address);
    response.headers.set("Retry-After", std::to_string(wait.count()));
  }
  return response;
}

Task<auth::TokenQuestion> question_of(Context& context, MemoryBudget::Share& memory) {
  if (context.principal.from_token) {
    co_return make_error(ErrorCode::unauthorized, "a token is not good for another token: show what it was had with",
                         "token_for_token");
  }
  auth::TokenQuestion question{.post = context.request.method == Method::post};
  if (question.post) {
    BERTH_CO_TRY(question.parameters, co_await read_parameters(context, memory));
  } else {
    question.parameters = context.query.items();
  }
  auth::Caller caller = caller_of(context.request);
  if (caller.local) co_return refuse_form("whoever comes through the local socket needs no token");
  BERTH_CO_TRY(const auto shown, auth::parse_authorization(caller.authorization));
  question.in_header = !std::holds_alternative<auth::NoCredential>(shown);
  question.caller = context.principal;
  question.peer = std::move(caller.peer);
  question.trace = std::move(caller.trace);
  question.origin = {.host = std::move(caller.host), .secure = caller.secure};
  co_return question;
}

}  // namespace

Task<Response> make_token(Context& context) {
  if (!makes_tokens(context)) co_return nothing_here();
  MemoryBudget::Share memory(context.form_memory);  // until the answer: what waits for a password check has its form
  auto question = co_await question_of(context, memory);
  if (!question) co_return refusal(context, question.error(), "");
  std::string user;
  for (const auto& [name, value] : question->parameters) {
    if (name == "username") user = value;
  }
  const auto answer = co_await auth::answer_token_question(context.tokens(), context.access(), *std::move(question));
  if (!answer) co_return refusal(context, answer.error(), user);
  // By POST it is known only now.
  context.request.principal = answer->subject;
  context.request.credential = answer->method;
  const bool post = context.request.method == Method::post;
  Response response = text_response(200, auth::token_answer_json(*answer, post), "application/json");
  keep_private(response);
  co_return response;
}

Task<Response> list_token_keys(Context& context) {
  if (!makes_tokens(context)) co_return nothing_here();
  BERTH_CO_TRY(std::string keys, co_await context.tokens().published_keys());
  Response response = text_response(200, std::move(keys), "application/json");
  // Far shorter than the hour that a key is published before it signs.
  response.headers.add("Cache-Control", "public, max-age=300");
  co_return response;
}

}  // namespace berth::api
