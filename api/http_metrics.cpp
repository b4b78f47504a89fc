#include "api/http_metrics.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <string>
#include <utility>

#include "base/metrics.h"

namespace berth::api {
namespace {

using metrics::Counter;
using metrics::Family;
using metrics::Histogram;

struct Row {
  Operation operation;
  std::string_view name;
  OperationClass group;
  std::array<unsigned, 6> answers;  ///< its own; 0: no more
};

/// In the order of the enumerators.
constexpr std::array<Row, kOperations> kRows = {{
    {Operation::other, "other", OperationClass::other, {}},
    {Operation::ping, "ping", OperationClass::pull, {200}},
    {Operation::catalog, "catalog", OperationClass::pull, {200}},
    {Operation::tags_list, "tags_list", OperationClass::pull, {200}},
    {Operation::referrers, "referrers", OperationClass::pull, {200}},
    {Operation::manifest_get, "manifest_get", OperationClass::pull, {200, 304, 412}},
    {Operation::manifest_head, "manifest_head", OperationClass::pull, {200, 304, 412}},
    {Operation::manifest_put, "manifest_put", OperationClass::push, {201, 412, 413}},
    {Operation::manifest_delete, "manifest_delete", OperationClass::api, {202, 412}},
    {Operation::blob_get, "blob_get", OperationClass::pull, {200, 206, 304, 412, 416}},
    {Operation::blob_head, "blob_head", OperationClass::pull, {200, 304, 412}},
    {Operation::blob_delete, "blob_delete", OperationClass::api, {202}},
    {Operation::upload_start, "upload_start", OperationClass::push, {201, 202}},
    {Operation::upload_status, "upload_status", OperationClass::push, {204}},
    {Operation::upload_append, "upload_append", OperationClass::push, {202, 416}},
    {Operation::upload_finish, "upload_finish", OperationClass::push, {201, 416}},
    {Operation::upload_cancel, "upload_cancel", OperationClass::push, {204}},
    {Operation::token, "token", OperationClass::api, {200}},
    {Operation::token_keys, "token_keys", OperationClass::api, {200}},
    {Operation::api_read, "api_read", OperationClass::api, {200}},
    {Operation::api_write, "api_write", OperationClass::api, {200, 201, 202, 204, 409, 412}},
    {Operation::health, "health", OperationClass::other, {200}},
    {Operation::metrics, "metrics", OperationClass::other, {200}},
}};
static_assert([] {
  for (std::size_t i = 0; i < kRows.size(); ++i) {
    if (static_cast<std::size_t>(kRows[i].operation) != i) return false;
  }
  return true;
}());

/// What every operation may be answered with, and a request of none.
constexpr std::array kAnyAnswer = {400U, 401U, 403U, 404U, 414U, 429U, kNoAnswer, 500U, 503U};
constexpr std::array kAnswersToNone = {400U, 403U, 404U, 405U, 408U, 414U, 417U, 431U, kNoAnswer, 500U, 505U};

/// Which may come too slowly.
bool takes_body(const Route& route) {
  return route.method == Method::post || route.method == Method::put || route.method == Method::patch;
}

const Row& row_of(Operation operation) { return kRows[static_cast<std::size_t>(operation)]; }

/// http_requests_total: a place for every status, so that a request takes no lock. What berth has not said yet is made
/// when it says so.
class Requests {
 public:
  Requests() {
    for (const unsigned status : kAnswersToNone) find(Operation::other, status);
    for (const Row& row : kRows) {
      if (row.operation == Operation::other) continue;
      for (const unsigned status : row.answers) {
        if (status != 0) find(row.operation, status);
      }
      for (const unsigned status : kAnyAnswer) find(row.operation, status);
    }
    for (const Route& route : route_table()) {
      const Operation operation = operation_of(route, route.method);
      if (changes_content(route)) find(operation, 405);
      if (takes_body(route)) find(operation, 408);
    }
  }

  Counter& find(Operation operation, unsigned status) {
    const unsigned code = status >= kFirst && status < kEnd ? status : 500;
    auto& place = places_[static_cast<std::size_t>(operation)][code - kFirst];
    if (auto* const counter = place.load(std::memory_order_acquire)) return *counter;
    auto& counter = family_.with({to_string(operation), std::to_string(code)});
    place.store(&counter, std::memory_order_release);
    return counter;
  }

 private:
  static constexpr unsigned kFirst = 200, kEnd = 520;
  const Family<Counter> family_{
      "http_requests_total", "Requests that were answered, or given up (499). An answer that a damaged disk cut off is a 500.", {"operation", "code"}};
  std::array<std::array<std::atomic<Counter*>, kEnd - kFirst>, kOperations> places_{};
};

template <class Metric>
using ByClass = metrics::EnumFamily<Metric, OperationClass, kOperationClasses>;

struct All {
  Requests requests;
  metrics::EnumFamily<Histogram, Operation, kOperations> start{
      "http_response_start_seconds", "From the whole head of a request to the first byte of its answer.",
      metrics::kAnswerBuckets, "operation", to_string};
  ByClass<Histogram> whole{"http_request_seconds", "From the whole head of a request to the last byte of its answer.",
                           metrics::kExchangeBuckets, "class", to_string};
  ByClass<Counter> received{"http_request_bytes_total", "Bytes of the bodies of requests.", "class", to_string};
  ByClass<Counter> sent{"http_response_bytes_total", "Bytes of the bodies of answers.", "class", to_string};
  const Family<Counter> denied_family{
      "authorization_denied_total", "Requests of somebody known for what they may not do.", {"action"}};
  std::array<Counter*, auth::kActions> denied = [this] {
    std::array<Counter*, auth::kActions> counters{};
    for (std::size_t i = 1; i < counters.size(); ++i) {  // nobody is denied nothing
      counters[i] = &denied_family.with({auth::to_string(static_cast<auth::Action>(i))});
    }
    return counters;
  }();

  /// What is under way is what began and has not ended: two counters, each apart by thread, cost less than one number
  /// that all threads write.
  std::array<Counter, kOperationClasses> begun, ended;
  metrics::Source in_flight = metrics::add_source([this](metrics::Sink& sink) {
    for (std::size_t i = 0; i < kOperationClasses; ++i) {
      const auto over = ended[i].value();  // first, so that the difference is never below zero
      sink.gauge("http_requests_in_flight", "Requests that are being answered.",
                 {{"class", to_string(static_cast<OperationClass>(i))}}, static_cast<double>(begun[i].value() - over));
    }
  });
};

/// Never destroyed: connections may end after main().
All& all() {
  static auto* const only = new All;
  return *only;
}
// Made before anybody scrapes, so that everything is there at 0.
[[maybe_unused]] const All& made_at_start = all();

std::size_t index_of(OperationClass group) { return static_cast<std::size_t>(group); }

}  // namespace

std::string_view to_string(Operation operation) { return row_of(operation).name; }
OperationClass class_of(Operation operation) { return row_of(operation).group; }

std::string_view to_string(OperationClass group) {
  constexpr std::array<std::string_view, kOperationClasses> kNames = {"pull", "push", "api", "other"};
  return kNames[index_of(group)];
}

Operation operation_of(const Route& route, Method method) {
  struct Named {
    std::string_view route;
    Operation operation;
  };
  static constexpr std::array kNamed = {
      Named{"get_manifest", Operation::manifest_get},
      Named{"head_blob", Operation::blob_head},
      Named{"get_blob", Operation::blob_get},
      Named{"append_upload", Operation::upload_append},
      Named{"start_upload", Operation::upload_start},
      Named{"commit_upload", Operation::upload_finish},
      Named{"put_manifest", Operation::manifest_put},
      Named{"get_upload", Operation::upload_status},
      Named{"cancel_upload", Operation::upload_cancel},
      Named{"delete_manifest", Operation::manifest_delete},
      Named{"delete_blob", Operation::blob_delete},
      Named{"list_tags", Operation::tags_list},
      Named{"list_referrers", Operation::referrers},
      Named{"list_repositories", Operation::catalog},
      Named{"ping", Operation::ping},
      Named{"get_token", Operation::token},
      Named{"post_token", Operation::token},
      Named{"list_token_keys", Operation::token_keys},
      Named{"list_well_known_keys", Operation::token_keys},
      Named{"livez", Operation::health},
      Named{"readyz", Operation::health},
      Named{"startupz", Operation::health},
      Named{"metrics", Operation::metrics},
  };
  const auto table = route_table();
  // Looked up by name once for each row.
  static const auto by_row = [&table] {
    std::vector<Operation> operations;
    for (const Route& row : table) {
      const auto named =
          std::find_if(kNamed.begin(), kNamed.end(), [&](const Named& n) { return n.route == row.operation; });
      const bool reads = row.method == Method::get || row.method == Method::head;
      operations.push_back(named != kNamed.end() ? named->operation
                           : reads               ? Operation::api_read
                                                 : Operation::api_write);
    }
    return operations;
  }();
  const Operation operation = by_row[static_cast<std::size_t>(&route - table.data())];
  return operation == Operation::manifest_get && method == Method::head ? Operation::manifest_head : operation;
}

InFlight::InFlight(Operation operation) {
  const auto group = index_of(class_of(operation));
  all().begun[group].add();
  ended_ = &all().ended[group];
}

InFlight::~InFlight() {
  if (ended_ != nullptr) ended_->add();
}

void count_exchange(Operation operation, unsigned status, const Outcome& outcome) {
  auto& counted = all();
  counted.requests.find(operation, outcome.unreadable ? 500 : status).add();
  // A client that went away was answered by nobody.
  if (status != kNoAnswer) {
    counted.start[operation].observe(outcome.until_answer);
  }
  const auto group = class_of(operation);
  counted.whole[group].observe(outcome.elapsed);
  if (outcome.received > 0) counted.received[group].add(outcome.received);
  if (outcome.sent > 0) counted.sent[group].add(outcome.sent);
}

void count_refused(unsigned status) { all().requests.find(Operation::other, status).add(); }

void count_denied(auth::Action action, const auth::Principal& principal) {
  if (principal.method == auth::kAnonymous && !principal.from_token) return;
  if (auto* const counter = all().denied[static_cast<std::size_t>(action)]) counter->add();
}

}  // namespace berth::api
