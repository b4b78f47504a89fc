// The public keys of one token issuer, fetched and kept.
//
// A token whose key is known never waits: keys that have grown old are fetched again in the background. A token whose
// key is not known waits for one fetch, which all who wait share, and which is done at most once a minute, so that
// made-up key ids cost the issuer nothing. While the issuer is down, the keys it gave last go on for a day. Keys that a
// later answer does not hold are gone with it.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "auth/keys.h"
#include "base/completion.h"
#include "base/env.h"
#include "base/http_client.h"
#include "base/task.h"

namespace berth::auth {

struct IssuerKeysOptions {
  std::string name;             ///< for the log
  std::string issuer;           ///< URL; where discovery begins, and what discovery must name
  std::string jwks_url = {};    ///< empty: by discovery (OpenID Connect Discovery 1.0 §4)
  std::string ca_file = {};     ///< PEM, instead of the system's roots
  std::string token_file = {};  ///< a Bearer token to ask with, read each time: Kubernetes wants one of its own
  Reach reach = Reach::internet;
  bool allow_http = false;
  std::chrono::milliseconds timeout = std::chrono::seconds(5);   ///< of each of the two requests
  std::chrono::milliseconds fresh = std::chrono::minutes(15);    ///< older ones are fetched again
  std::chrono::milliseconds stale_max = std::chrono::hours(24);  ///< older ones are not used
  std::chrono::milliseconds retry = std::chrono::minutes(1);     ///< between two fetches
  std::chrono::milliseconds retry_without_keys = std::chrono::seconds(5);
};

/// Thread-safe. `http`, `pool` and `clock` outlive it.
class IssuerKeys : public std::enable_shared_from_this<IssuerKeys> {
 public:
  using Set = std::shared_ptr<const KeySet>;
  static constexpr std::size_t kWaitingMax = 256;

  IssuerKeys(IssuerKeysOptions options, HttpClient& http, Pool& pool, const Clock& clock)
      : options_(std::move(options)), http_(http), pool_(pool), clock_(clock) {}

  /// A set that holds the key with this id, or the best there is without it. A fetch that begins with it is told below
  /// `trace`. Errors: unavailable (no keys that may be used, and the issuer gives none), aborted.
  Task<Set> find(std::string key_id, trace::Parent trace = {});

  /// Asks the issuer whatever is kept, and keeps nothing. Errors: unavailable, aborted.
  Task<Set> fetch(const trace::Parent& trace);

  /// Answers those who wait with ErrorCode::aborted; the contexts they wait on must still be there. Idempotent.
  void stop();

 private:
  using Waiting = std::shared_ptr<Completion<Set>>;
  struct Next;
  class Fetching;

  Next next_step(const std::string& key_id);
  void wait_for_fetch(Waiting waiting);
  static asio::awaitable<void> refresh(std::shared_ptr<IssuerKeys> self, trace::Parent trace);
  Task<std::string> discover(const HttpHeaders& headers, const trace::Parent& trace);
  Task<HttpHeaders> request_headers();
  Task<HttpResponse> ask(std::string url, HttpHeaders headers, std::size_t bytes_max, trace::Parent trace);
  void finish(Result<Set> fetched);
  void answer_all(const Result<Set>& answer);
  Result<Set> usable_keys();

  const IssuerKeysOptions options_;
  HttpClient& http_;
  Pool& pool_;
  const Clock& clock_;

  std::mutex mutex_;
  Set keys_;            ///< null until the first answer
  SteadyTime fetched_;  ///< when they came
  bool asked_ = false;  ///< ever
  SteadyTime asked_last_;
  bool fetching_ = false;
  bool stopped_ = false;
  std::vector<Waiting> waiting_;
};

}  // namespace berth::auth
