// HTTP as the registry sees it: our own small types. Handlers get a Request, answer a Response, and never write.
#pragma once

#include <algorithm>
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "auth/caller.h"
#include "base/metrics.h"
#include "base/span.h"
#include "base/task.h"
#include "base/waits.h"
#include "oci/range.h"
#include "registry/buffer.h"
#include "storage/blobs/blob_store.h"

namespace berth::api {

enum class Method : std::uint8_t { get, head, post, put, patch, delete_, options, other };
std::string_view to_string(Method method);

/// Names compare without case; order is kept; a name may repeat.
class Headers {
 public:
  void add(std::string name, std::string value) {
    if (items_.capacity() == 0) items_.reserve(kUsualCount);
    items_.emplace_back(std::move(name), std::move(value));
  }
  void set(std::string_view name, std::string value);  ///< replaces all of that name
  /// The first value, or empty.
  std::string_view get(std::string_view name) const;
  bool has(std::string_view name) const;
  std::vector<std::string_view> all(std::string_view name) const;
  const std::vector<std::pair<std::string, std::string>>& items() const { return items_; }

 private:
  static constexpr std::size_t kUsualCount = 8;
  std::vector<std::pair<std::string, std::string>> items_;
};

/// The body of a request, pulled: not calling next() is the back-pressure. One coroutine.
class BodySource {
 public:
  virtual ~BodySource() = default;
  /// The next piece; an empty Buffer at the end. The first call sends `100 Continue` if the client waits for it.
  /// Errors: aborted (the client is gone), request_timeout (too slow), size_invalid (bad framing).
  virtual Task<registry::Buffer> next() = 0;
  /// From another thread: makes a next() that waits for the client answer `aborted` and closes the connection.
  virtual std::function<void()> interrupter() = 0;
};

using auth::ClientCertificate;

/// What a request is counted as; see api/http_metrics.h.
enum class Operation : std::uint8_t;

/// Counts one request as under way, from when it is known what it is until this goes.
class InFlight {
 public:
  InFlight() = default;
  explicit InFlight(Operation operation);
  InFlight(InFlight&& other) noexcept : ended_(std::exchange(other.ended_, nullptr)) {}
  InFlight& operator=(InFlight&& other) noexcept {
    std::swap(ended_, other.ended_);
    return *this;
  }
  ~InFlight();

 private:
  metrics::Counter* ended_ = nullptr;
};

/// What a request waited for, as far as it is known apart. Written as it is served, on its I/O thread.
struct Timeline {
  using Duration = std::chrono::steady_clock::duration;
  Duration auth{};         ///< finding out who asks and what they may do, passwords among it
  Duration client_wait{};  ///< for the client to send its body
  Duration memory_wait{};  ///< for memory to read the body into
  Waits registry{};        ///< within the registry
};

struct Request {
  Method method = Method::get;
  std::string method_text;
  std::string target;                               ///< as sent, origin form, ASCII
  /// Of the target, without the query, which may carry what no log should.
  std::string_view path() const { return std::string_view(target).substr(0, target.find('?')); }
  /// Behind the question mark; empty without one.
  std::string_view query() const { return std::string_view(target).substr(std::min(path().size() + 1, target.size())); }
  Headers headers;
  std::string peer_address;                         ///< the client's; text of an IP address, or `local`
  std::string via;                                  ///< the trusted proxy it came through; empty: none
  std::string id;                                   ///< made by the pipeline when empty; also the X-Request-Id
  std::size_t listener = 0;                         ///< position of the listener it came through in ServerOptions
  bool loopback_listener = false;                   ///< reachable from this machine only, and trusted for that
  bool secure = false;                              ///< came over TLS
  std::shared_ptr<const ClientCertificate> client_certificate = nullptr;  ///< null without one
  /// Whose process is at the other end of the local socket, as the kernel says: this one's own user or root. Empty for
  /// every other way in.
  std::optional<uid_t> local_uid = std::nullopt;
  std::optional<std::uint64_t> content_length;      ///< empty with chunked or no body
  bool has_body = false;                            ///< a body is announced, maybe of zero bytes when chunked
  BodySource* body = nullptr;                       ///< never null
  std::string_view operation;                       ///< set by the pipeline: the route's name, for the access log
  std::string principal;                            ///< likewise: who asked, `user:alice`
  std::string credential;                           ///< likewise: what it came in with ("password"); never the secret
  Operation counted_as{};                           ///< likewise: for the metrics
  InFlight in_flight = {};                          ///< likewise
  bool metrics_open = false;                        ///< came through a listener that shows /metrics to everybody
  Timeline timeline = {};
  std::optional<TraceContext> trace = std::nullopt;  ///< likewise: the client's, by its traceparent
  /// Likewise: of the request; does nothing where traces are off. Ends with the request, which then only can be read.
  mutable trace::Span span = {};
};

/// Part of an open file, sent by sendfile.
struct FileSlice {
  std::shared_ptr<const storage::OpenBlob> file;
  oci::ByteRange range;
};
/// Part of shared memory.
struct MemorySlice {
  std::shared_ptr<const std::string> bytes;
  oci::ByteRange range;
};
/// multipart/byteranges: text and slices in turn.
using BodyPart = std::variant<std::string, FileSlice, MemorySlice>;

/// The status of a request whose client is gone, or whose upload a newer request took over: nothing is sent, the
/// connection is closed. It exists for the access log only.
inline constexpr unsigned kNoAnswer = 499;

struct Response {
  unsigned status = 200;                            ///< kNoAnswer: send nothing, close
  Headers headers;                                  ///< without Content-Length, Date, Connection: the session adds them
  std::vector<BodyPart> body;                       ///< of the GET, also for HEAD, whose slices may be null: it is not sent
  bool close = false;                               ///< close the connection after it
  std::function<void()> on_unreadable = {};         ///< called when a slice's file could not be read; may be empty
  std::uint64_t body_size() const;
  /// What its body holds in memory while it is sent, files not among it.
  std::size_t memory_bytes() const;
  // For the access log and metrics.
  std::string log_detail;
};

inline Response text_response(unsigned status, std::string body, std::string content_type) {
  Response response;
  response.status = status;
  response.headers.add("Content-Type", std::move(content_type));
  response.body.emplace_back(std::move(body));
  return response;
}

/// What every answer carries, whoever made it. `target` as it was sent, as far as it could be read; both may be empty.
void add_common_headers(Response& response, std::string_view request_id, std::string_view target);

/// How an exchange went, once it is over.
struct Outcome {
  std::uint64_t received = 0;  ///< bytes of the request's body that were taken
  std::uint64_t sent = 0;      ///< bytes of the answer's body
  bool complete = false;       ///< the answer went out whole
  bool unreadable = false;     ///< it did not, because a stored file could not be read
  std::chrono::steady_clock::duration until_answer{};  ///< from the whole head to the first byte of the answer
  std::chrono::steady_clock::duration elapsed{};       ///< from the whole head to the end
  std::chrono::steady_clock::duration disk_wait{};     ///< after the first byte: for the disk to read what was to be sent
};

/// What the server calls for each request. Never throws; every error is already a response. Thread-safe.
class Handler {
 public:
  virtual ~Handler() = default;
  /// `request` outlives the coroutine.
  virtual asio::awaitable<Response> handle(Request& request) = 0;
  /// Called once the response was sent or the connection died: counts it and writes the access log line.
  virtual void finished(const Request& request, const Response& response, const Outcome& outcome) = 0;
};

}  // namespace berth::api
