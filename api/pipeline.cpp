// The one way through the api: every request passes these steps in this order.
//
//   1. request id           first, so that whatever happens next can be found in the log
//   2. host check           before anything that a page in a browser could make use of
//   3. route                text becomes types, once; everything after knows the operation
//   4. who                  needs the headers only
//   5. may                  one function for every route; before anything says what exists
//   6. handler
//   7. errors               a Result's error becomes the protocol's body; a stray exception a logged 500
//   8. headers of all       last, so that no way out misses them
//
// The access log line is written when the response is out: finished().
#include <atomic>
#include <boost/system/system_error.hpp>
#include <exception>
#include <optional>

#include "api/access_log.h"
#include "api/context.h"
#include "api/errors.h"
#include "api/host_check.h"
#include "api/routes.h"
#include "api/service.h"
#include "auth/authenticator.h"
#include "auth/policy.h"

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
        policy_(auth::Policy::allow_all()),
        manifest_memory_(options_.manifest_bodies_bytes_max) {}

  void attach(const Backends& backends) override {
    attached_.emplace(backends);
    backends_.store(&*attached_, std::memory_order_release);
  }

  asio::awaitable<Response> handle(Request& request) override {
    if (request.id.empty()) request.id = make_uuid(entropy_);
    Match match;
    Result<Response> result;
    try {
      result = co_await run(request, match);
    } catch (const boost::system::system_error& error) {
      // A wait that was cancelled: the connection or the process is going away.
      const bool cancelled = error.code() == asio::error::operation_aborted;
      result = cancelled ? make_error(ErrorCode::aborted, "cancelled") : stray(error.what());
    } catch (const std::exception& error) {
      result = stray(error.what());
    } catch (...) {
      result = stray("an exception of no known type");
    }
    Response response = result ? *std::move(result) : refusal(std::move(result).error(), request, match);
    if (response.status != kNoAnswer) add_common_headers(response, request.id, request.target);
    co_return response;
  }

  void finished(const Request& request, const Response& response, std::uint64_t bytes_sent, bool complete,
                std::chrono::steady_clock::duration elapsed) override {
    log_access(request, response, bytes_sent, complete, elapsed);
  }

 private:
  Task<Response> run(Request& request, Match& match) {
    if (request.loopback_listener) BERTH_CO_CHECK(check_host(request, options_.allowed_hosts));

    const std::size_t query_at = request.target.find('?');
    BERTH_CO_TRY(match, match_path(request.method, std::string_view(request.target).substr(0, query_at)));
    if (match.path.empty()) co_return make_error(ErrorCode::route_unknown, "there is nothing at this path");
    if (match.route == nullptr) {
      co_return make_error(ErrorCode::method_not_allowed, "this path does not take " + request.method_text);
    }
    const Route& route = *match.route;
    request.operation = route.operation;
    const Backends* const backends = backends_.load(std::memory_order_acquire);
    if (backends == nullptr && route.needs_registry) {
      co_return make_error(ErrorCode::unavailable, "the registry is starting");
    }
    BERTH_CO_TRY(auto repository, parse_repository(match));

    auth::Principal principal = auth::anonymous();

    const auth::Decision decision = policy_.decide(principal, route.action, repository ? &*repository : nullptr);
    if (!decision.allowed) {
      co_return make_error(ErrorCode::denied, "this is not allowed here", std::string(decision.reason));
    }

    BERTH_CO_TRY(Target target, parse_target(match, std::move(repository)));
    const bool has_query = query_at != std::string::npos;
    BERTH_CO_TRY(Query query, Query::parse(has_query ? std::string_view(request.target).substr(query_at + 1) : ""));
    Context context{.request = request,
                    .options = options_,
                    .lifecycle = lifecycle_,
                    .clock = clock_,
                    .policy = policy_,
                    .manifest_memory = manifest_memory_,
                    .backends = backends,
                    .actor = principal.as_actor(request.id),
                    .principal = std::move(principal),
                    .caller = {},
                    .target = std::move(target),
                    .query = std::move(query)};
    co_return co_await route.handle(context);
  }

  static Response refusal(const Error& error, const Request& request, const Match& match) {
    Response response = error_response(error, request.id);
    if (error.code == ErrorCode::method_not_allowed) {
      response.headers.set("Allow", other_methods(allowed_methods(match.path), request.method_text));
    }
    return response;
  }

  const ServiceOptions options_;
  const Lifecycle& lifecycle_;
  const Clock& clock_;
  Entropy& entropy_;
  const auth::Policy policy_;
  MemoryBudget manifest_memory_;
  std::optional<Backends> attached_;
  std::atomic<const Backends*> backends_{nullptr};  ///< null, then `attached_`
};

}  // namespace

std::unique_ptr<Service> make_service(ServiceOptions options, const Lifecycle& lifecycle, const Clock& clock,
                                      Entropy& entropy) {
  return std::make_unique<Pipeline>(std::move(options), lifecycle, clock, entropy);
}

}  // namespace berth::api
