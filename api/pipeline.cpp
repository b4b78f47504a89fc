// The one way through the api: every request passes these steps in this order.
//
//   1. request id, trace    first, so that whatever happens next can be found in the log and in traces
//   2. host check           before anything that a page in a browser could make use of
//   3. route                text becomes types, once; everything after knows the operation
//   4. who                  needs the headers only; a bad credential ends it, also where none is asked for
//   5. may                  one function for every route; before anything says what exists. Who may not hears the same
//                           whether it is there or not: 401 with a challenge when another credential could do more
//                           (nobody in particular, or a token), else 403
//   6. read-only?           what would change content while it shall stay as it is
//   7. handler
//   8. errors               a Result's error becomes the protocol's body; a stray exception a logged 500
//   9. headers of all       last, so that no way out misses them
//
// What happened is counted, and the access log line written, when the response is out: finished().
#include <atomic>
#include <boost/system/system_error.hpp>
#include <chrono>
#include <exception>
#include <optional>

#include "api/access_log.h"
#include "api/challenges.h"
#include "api/context.h"
#include "api/errors.h"
#include "api/handlers.h"
#include "api/http_metrics.h"
#include "api/host_check.h"
#include "api/request_trace.h"
#include "api/routes.h"
#include "api/service.h"
#include "api/switches.h"
#include "auth/access_control.h"
#include "auth/policy.h"
#include "registry/counts.h"

namespace berth::api {

namespace {

/// The methods of a path without the one that was refused (which is in the table when a setting switched it off).
std::string other_methods(std::string_view path, std::string_view refused) {
  std::string out;
  std::string_view rest = path;
  while (!rest.empty()) {
    const std::size_t comma = rest.find(", ");
    const std::string_view method = rest.substr(0, comma);
    if (method != refused) out += (out.empty() ? "" : ", ") + std::string(method);
    rest = comma == std::string_view::npos ? std::string_view{} : rest.substr(comma + 2);
  }
  return out;
}

auth::AccessControl::Glance glance_at(const Request& request) {
  auth::AccessControl::Glance shown{.authorization = request.headers.get("Authorization"),
                                    .host = request.headers.get("Host"),
                                    .secure = request.secure,
                                    .local = request.local_uid.has_value()};
  const std::size_t count = request.headers.has("Authorization") ? request.headers.all("Authorization").size() : 0;
  shown.one_authorization = count == 1;
  shown.nothing = count == 0 && !request.client_certificate;
  return shown;
}

/// Who asked, as far as it is known, and what is to be said about it when the request is refused.
struct Asked {
  Match match;
  std::optional<oci::RepositoryName> repository;
  bool from_token = false;  ///< a good one
  bool handed_on = false;   ///< to its handler
};

Error stray(std::string what) {
  return make_error(ErrorCode::internal, "berth failed; its log says more under this request id", std::move(what));
}

class Pipeline final : public Service {
 public:
  Pipeline(ServiceOptions options, const Lifecycle& lifecycle, const Clock& clock, Entropy& entropy)
      : options_(std::move(options)),
        lifecycle_(lifecycle),
        clock_(clock),
        entropy_(entropy),
        manifest_memory_(options_.manifest_bodies_bytes_max),
        form_memory_(options_.form_bodies_bytes_max) {}

  void attach(const Backends& backends) override {
    attached_.emplace(backends);
    backends_.store(&*attached_, std::memory_order_release);
  }

  asio::awaitable<Response> handle(Request& request) override {
    if (request.id.empty()) request.id = make_uuid(entropy_);
    begin_trace(request, options_.tracer);
    Asked asked;
    Result<Response> result;
    try {
      result = co_await run(request, asked);
    } catch (const boost::system::system_error& error) {
      // A wait that was cancelled: the connection or the process is going away.
      const bool cancelled = error.code() == asio::error::operation_aborted;
      result = cancelled ? make_error(ErrorCode::aborted, "cancelled") : stray(error.what());
    } catch (const std::exception& error) {
      result = stray(error.what());
    } catch (...) {
      result = stray("an exception of no known type");
    }
    if (!result && !asked.handed_on) count_refusal(asked.match, request, result.error().code);
    Response response = result ? *std::move(result) : refusal(std::move(result).error(), request, asked);
    if (response.status != kNoAnswer) add_common_headers(response, request.id, request.target);
    co_return response;
  }

  void finished(const Request& request, const Response& response, const Outcome& outcome) override {
    count_exchange(request.counted_as, response.status, outcome);
    const Switches* const switches = options_.switches;
    if (switches == nullptr || switches->access_log() || response.status >= 500) log_access(request, response, outcome);
    const bool slow = switches != nullptr && switches->slow_request().count() > 0 &&
                      std::max(outcome.until_answer, outcome.disk_wait) > switches->slow_request();
    if (slow) log_slow(request, response, outcome);
    end_trace(request, response, outcome);
  }

 private:
  Task<Response> run(Request& request, Asked& asked) {
    Match& match = asked.match;
    if (request.loopback_listener) BERTH_CO_CHECK(check_host(request, options_.allowed_hosts));

    BERTH_CO_TRY(match, match_path(request.method, request.path()));
    if (match.path.empty()) co_return make_error(ErrorCode::route_unknown, "there is nothing at this path");
    name_trace(request, match.path);
    if (match.route == nullptr) {
      co_return make_error(ErrorCode::method_not_allowed, "this path does not take " + request.method_text);
    }
    const Route& route = *match.route;
    request.operation = route.operation;
    request.counted_as = operation_of(route, request.method);
    request.in_flight = InFlight(request.counted_as);
    const Backends* const backends = backends_.load(std::memory_order_acquire);
    // Whoever watches berth also wants to see it start.
    const bool open = route.action == auth::Action::metrics && request.metrics_open;
    const bool needs_registry = route.needs_registry && !open;
    if (backends == nullptr && needs_registry) {
      co_return make_error(ErrorCode::unavailable, "the registry is starting");
    }
    BERTH_CO_TRY(asked.repository, parse_repository(match));

    // Without a count: both stay for as long as the pipeline does.
    auth::AccessControl::Recalled who{{std::shared_ptr<void>(), &nobody_}, {std::shared_ptr<void>(), &open_}};
    auth::AccessControl* const access = backends == nullptr ? nullptr : backends->access;
    if (access != nullptr && needs_registry) {
      auto recalled = access->recall(glance_at(request));
      if (recalled) {
        who = *std::move(recalled);
      } else {
        const auto begun = std::chrono::steady_clock::now();
        auth::Caller caller = caller_of(request);
        BERTH_CO_TRY(who.principal, co_await access->identify(std::move(caller)));
        BERTH_CO_TRY(who.policy, co_await access->policy());
        request.timeline.auth = std::chrono::steady_clock::now() - begun;
      }
      request.principal = who.principal->subject;
      request.credential = who.principal->method;
      asked.from_token = who.principal->from_token;
    }
    const auth::Principal& principal = *who.principal;

    const auth::Decision decision =
        who.policy->decide(principal, route.action, asked.repository ? &*asked.repository : nullptr);
    if (!decision.allowed) {
      count_denied(route.action, principal);
      co_return refuse(principal, decision);
    }
    if (options_.switches != nullptr && options_.switches->read_only() && changes_content(route)) {
      co_return make_error(ErrorCode::method_not_allowed,
                           "the registry is read-only for now: nothing can be pushed or deleted");
    }

    BERTH_CO_TRY(Target target, parse_target(match, asked.repository));
    BERTH_CO_TRY(Query query, Query::parse(request.query()));
    Context context{.request = request,
                    .options = options_,
                    .lifecycle = lifecycle_,
                    .clock = clock_,
                    .entropy = entropy_,
                    .policy = *who.policy,
                    .manifest_memory = manifest_memory_,
                    .form_memory = form_memory_,
                    .metrics_page = metrics_page_,
                    .backends = backends,
                    .actor = principal.as_actor(request.id),
                    .principal = principal,
                    .target = std::move(target),
                    .query = std::move(query)};
    context.actor.trace = request.span.below();
    context.actor.waits = &request.timeline.registry;
    asked.handed_on = true;
    co_return co_await route.handle(context);
  }

  /// A push or a pull of a manifest that ends before its handler; the registry counts the others. Who shows no
  /// credential is asked for one and comes back: nothing was decided.
  static void count_refusal(const Match& match, const Request& request, ErrorCode code) {
    namespace counts = registry::counts;
    if (match.route == nullptr || request.method == Method::head) return;
    if (code == ErrorCode::unauthorized && !request.headers.has("Authorization")) return;
    if (match.route->handle == put_manifest) counts::push(registry::ManifestType::unknown, counts::outcome_of(code));
    if (match.route->handle == get_manifest) counts::pull(registry::ManifestType::unknown, counts::outcome_of(code));
  }

  static Error refuse(const auth::Principal& principal, const auth::Decision& decision) {
    const bool another_could = principal.from_token || principal.method == auth::kAnonymous;
    return make_error(another_could ? ErrorCode::unauthorized : ErrorCode::denied,
                      another_could ? "this needs a credential that allows it" : "this is not allowed here",
                      std::string(decision.reason));
  }

  Response refusal(const Error& error, const Request& request, const Asked& asked) const {
    Response response = error_response(error, request.id);
    const Match& match = asked.match;
    if (error.code == ErrorCode::method_not_allowed) {
      response.headers.set("Allow", other_methods(allowed_methods(match.path), request.method_text));
    }
    const Backends* const backends = backends_.load(std::memory_order_acquire);
    if (error.code == ErrorCode::unauthorized && backends != nullptr && match.route != nullptr) {
      auto why = auth::ChallengeError::none;
      if (is_bearer(request)) why = auth::ChallengeError::invalid_token;
      if (asked.from_token) why = auth::ChallengeError::insufficient_scope;
      const auto scopes = wanted_scopes(*match.route, request, asked.repository);
      response.headers.set("WWW-Authenticate", challenge_header(backends->tokens, request, scopes, why));
    }
    if (error.code == ErrorCode::too_many_requests && backends != nullptr && backends->access != nullptr) {
      response.headers.set("Retry-After", std::to_string(backends->access->retry_after(caller_of(request)).count()));
    }
    return response;
  }

  const ServiceOptions options_;
  const Lifecycle& lifecycle_;
  const Clock& clock_;
  Entropy& entropy_;
  const auth::Principal nobody_;  ///< these two without access control
  const auth::Policy open_ = auth::Policy::allow_all();
  MemoryBudget manifest_memory_;
  MemoryBudget form_memory_;
  MetricsPage metrics_page_;
  std::optional<Backends> attached_;
  std::atomic<const Backends*> backends_{nullptr};  ///< null, then `attached_`
};

}  // namespace

std::unique_ptr<Service> make_service(ServiceOptions options, const Lifecycle& lifecycle, const Clock& clock,
                                      Entropy& entropy) {
  return std::make_unique<Pipeline>(std::move(options), lifecycle, clock, entropy);
}

}  // namespace berth::api
