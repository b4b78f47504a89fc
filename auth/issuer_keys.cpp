#include "auth/issuer_keys.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/this_coro.hpp>
#include <nlohmann/json.hpp>

#include "auth/secret_file.h"
#include "base/log.h"
#include "base/strict_json.h"

namespace berth::auth {
namespace {

constexpr std::size_t kDiscoveryBytesMax = 64 << 10;

Error no_keys(std::string why) {
  return make_error(ErrorCode::unavailable, "the issuer of the token cannot be asked for its keys", std::move(why));
}

}  // namespace

/// What a caller does now.
struct IssuerKeys::Next {
  bool fetch = false;  ///< start one, before anything else
  bool wait = false;   ///< until the fetch that runs has ended
  Set keys;            ///< else
};

/// Ends a fetch whatever happens to its coroutine: those who wait must not wait for ever.
class IssuerKeys::Fetching {
 public:
  explicit Fetching(std::shared_ptr<IssuerKeys> self) : self_(std::move(self)) {}
  Fetching(const Fetching&) = delete;
  Fetching& operator=(const Fetching&) = delete;
  ~Fetching() {
    if (self_) self_->finish(no_keys("the fetch was given up"));
  }
  void end(Result<Set> fetched) { std::exchange(self_, nullptr)->finish(std::move(fetched)); }

 private:
  std::shared_ptr<IssuerKeys> self_;
};

IssuerKeys::Next IssuerKeys::next_step(const std::string& key_id) {
  const SteadyTime now = clock_.steady();
  std::lock_guard lock(mutex_);
  if (stopped_) return {};
  const bool usable = keys_ && now - fetched_ <= options_.stale_max;
  const bool known = usable && keys_->find(key_id) != nullptr;
  const bool wanted = !known || now - fetched_ > options_.fresh;
  const auto pause = keys_ ? options_.retry : options_.retry_without_keys;
  Next next;
  if (wanted && !fetching_ && (!asked_ || now - asked_last_ >= pause)) {
    next.fetch = fetching_ = asked_ = true;
    asked_last_ = now;
  }
  next.wait = !known && fetching_;
  if (usable) next.keys = keys_;
  return next;
}

Task<IssuerKeys::Set> IssuerKeys::find(std::string key_id, trace::Parent trace) {
  auto self = shared_from_this();
  Next next = next_step(key_id);
  if (next.fetch) {
    auto executor = co_await asio::this_coro::executor;
    // Spawned: a caller who goes away takes nothing from the others.
    asio::co_spawn(executor, refresh(self, std::move(trace)), asio::detached);
  }
  if (next.wait) {
    auto start = [self](Waiting waiting) { self->wait_for_fetch(std::move(waiting)); };
    co_return co_await completion_of<Set>(std::move(start));
  }
  if (!next.keys)
    co_return no_keys(fmt::format("no keys of the issuer {}, and it was asked a moment ago", options_.name));
  co_return std::move(next.keys);
}

void IssuerKeys::wait_for_fetch(Waiting waiting) {
  bool ended = false;
  {
    std::lock_guard lock(mutex_);
    ended = !fetching_ || stopped_;
    if (!ended) {
      std::erase_if(waiting_, [](const Waiting& one) { return one->done(); });
      if (waiting_.size() < kWaitingMax) {
        waiting_.push_back(std::move(waiting));
        return;
      }
    }
  }
  if (ended) return waiting->complete(usable_keys());
  waiting->complete(no_keys(fmt::format("too many wait for the keys of the issuer {}", options_.name)));
}

Result<IssuerKeys::Set> IssuerKeys::usable_keys() {
  const SteadyTime now = clock_.steady();
  std::lock_guard lock(mutex_);
  if (stopped_) return make_error(ErrorCode::aborted, "berth is stopping");
  if (keys_ && now - fetched_ <= options_.stale_max) return keys_;
  return no_keys(fmt::format("no keys of the issuer {}", options_.name));
}

asio::awaitable<void> IssuerKeys::refresh(std::shared_ptr<IssuerKeys> self, trace::Parent trace) {
  Fetching fetching(self);
  auto fetched = co_await self->fetch(trace);
  fetching.end(std::move(fetched));
}

void IssuerKeys::finish(Result<Set> fetched) {
  if (!fetched && fetched.error().code != ErrorCode::aborted) {
    log::warning(
        "the keys of a token issuer cannot be fetched",
        {{"issuer", options_.name}, {"error", fetched.error().message}, {"detail", fetched.error().log_detail}});
  }
  {
    std::lock_guard lock(mutex_);
    fetching_ = false;
    if (fetched) {
      keys_ = *std::move(fetched);
      fetched_ = clock_.steady();
    }
  }
  answer_all(usable_keys());
}

void IssuerKeys::answer_all(const Result<Set>& answer) {
  std::vector<Waiting> waiting;
  {
    std::lock_guard lock(mutex_);
    waiting.swap(waiting_);
  }
  ignore(answer);
  for (auto& one : waiting) one->complete(answer);
}

void IssuerKeys::stop() {
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  answer_all(usable_keys());
}

Task<IssuerKeys::Set> IssuerKeys::fetch(const trace::Parent& trace) {
  BERTH_CO_TRY(auto headers, co_await request_headers());
  std::string url = options_.jwks_url;
  if (url.empty()) {
    BERTH_CO_TRY(auto found, co_await discover(headers, trace));
    url = std::move(found);
  }
  BERTH_CO_TRY(auto answer, co_await ask(url, headers, KeySet::kTextMax, trace));
  auto keys = KeySet::parse_jwks(answer.body);
  if (!keys) co_return no_keys(url + ": " + keys.error().message);
  if (keys->size() == 0) co_return no_keys(url + ": no key that can be used");
  co_return std::make_shared<const KeySet>(*std::move(keys));
}

Task<std::string> IssuerKeys::discover(const HttpHeaders& headers, const trace::Parent& trace) {
  std::string url = options_.issuer;
  if (url.ends_with('/')) url.pop_back();
  url += "/.well-known/openid-configuration";
  BERTH_CO_TRY(auto answer, co_await ask(url, headers, kDiscoveryBytesMax, trace));
  auto document = parse_strict_json(answer.body);
  if (!document) co_return no_keys(url + ": " + document.error().message);
  const auto text = [&document](const char* name) -> std::string {
    if (!document->is_object() || !document->contains(name) || !document->at(name).is_string()) return {};
    return document->at(name).get<std::string>();
  };
  // OpenID Connect Discovery 1.0 §4.3: it must name the very issuer that was asked.
  if (text("issuer") != options_.issuer) co_return no_keys(url + ": it speaks for another issuer");
  std::string keys_url = text("jwks_uri");
  if (keys_url.empty()) co_return no_keys(url + ": it names no jwks_uri");
  co_return keys_url;
}

Task<HttpHeaders> IssuerKeys::request_headers() {
  HttpHeaders headers = {{"Accept", "application/json, application/jwk-set+json"}};
  if (options_.token_file.empty()) co_return headers;
  auto read = [path = options_.token_file] { return read_secret_file(path); };
  auto token = co_await offload(pool_, std::move(read));
  if (!token) co_return no_keys(token.error().message);
  headers.emplace_back("Authorization", "Bearer " + *token);
  co_return headers;
}

Task<HttpResponse> IssuerKeys::ask(std::string url, HttpHeaders headers, std::size_t bytes_max,
                                   trace::Parent trace) {
  HttpRequest request;
  request.url = url;
  request.headers = std::move(headers);
  request.timeout = request.connect_timeout = options_.timeout;
  request.response_bytes_max = bytes_max;
  request.allow_http = options_.allow_http;
  request.ca_file = options_.ca_file;
  request.reach = options_.reach;
  request.trace = std::move(trace);
  auto asked = co_await http_.get(std::move(request));
  // Whatever kept the answer away, to the caller the issuer is not there.
  if (asked.failed_with(ErrorCode::aborted)) co_return std::move(asked).error();
  if (!asked) co_return no_keys(fmt::format("{}: {}", asked.error().message, asked.error().log_detail));
  HttpResponse answer = *std::move(asked);
  if (answer.status != 200) co_return no_keys(fmt::format("{}: status {}", url, answer.status));
  co_return answer;
}

}  // namespace berth::auth
