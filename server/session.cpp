#include "server/session.h"

#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/deferred.hpp>
#include <boost/asio/post.hpp>
#include <exception>
#include <utility>

#include "api/http_metrics.h"
#include "base/json_text.h"
#include "base/log.h"
#include "server/io_thread.h"
#include "server/second_opinion.h"
#include "server/tls_stream.h"

namespace berth::server {
namespace {

/// The first read of a head; most heads, and the bodies of small pushes with them, fit.
constexpr std::size_t kReadBytes = SpareBlocks::kSize;
/// How long a connection that is about to close listens on, so that the client reads our last answer before it meets
/// the reset that unread bytes cause.
constexpr auto kLingerTime = std::chrono::seconds(2);
constexpr std::uint64_t kLingerBytesMax = 32 << 20;
/// What each answer may hold in memory without asking the budget of all: nearly all answers.
constexpr std::size_t kAnswerBytesFree = 8 << 10;
/// The remainder of a body that nobody wanted comes within this time, or the connection closes.
constexpr auto kRemainderTime = std::chrono::seconds(5);

api::Method method_of(std::string_view text) {
  using api::Method;
  if (text == "GET") return Method::get;
  if (text == "HEAD") return Method::head;
  if (text == "POST") return Method::post;
  if (text == "PUT") return Method::put;
  if (text == "PATCH") return Method::patch;
  if (text == "DELETE") return Method::delete_;
  if (text == "OPTIONS") return Method::options;
  return Method::other;
}

}  // namespace

api::Response error_response(unsigned status, std::string_view reason, std::string_view request_id,
                             std::string_view target) {
  const std::string_view code = status == 503 || status == 408 ? "UNAVAILABLE"
                                : status == 403                ? "DENIED"
                                : status >= 500                ? "UNKNOWN"
                                                               : "UNSUPPORTED";
  std::string body = R"({"errors":[{"code":)";
  append_json_string(body, code);
  body += R"(,"message":)";
  append_json_string(body, reason);
  if (!request_id.empty()) {
    body += R"(,"detail":{"request_id":)";
    append_json_string(body, request_id);
    body += '}';
  }
  body += "}]}";
  auto response = api::text_response(status, std::move(body), "application/json");
  if (status == 503) response.headers.add("Retry-After", "1");
  response.close = true;
  api::add_common_headers(response, request_id, target);
  return response;
}

Session::Session(Wire::Socket socket, Accepted accepted, const Environment& environment,
                 std::shared_ptr<ThreadState> thread)
    : thread_(std::move(thread)),
      environment_(environment),
      accepted_(std::move(accepted)),
      wire_(std::move(socket), RateLimit{environment.options.rate_window, environment.options.rate_bytes},
            accepted_.local_uid.has_value()) {}

std::string_view Session::unread() const {
  const auto data = input_.data();
  return {static_cast<const char*>(data.data()), data.size()};
}

asio::awaitable<void> Session::run() {
  // The first request has from the accept to the end of its head.
  now_ = std::chrono::steady_clock::now();
  wire_.set_deadline(now_ + environment_.options.header_timeout);
  auto next = Next::request;
  if (environment_.tls.is_on(accepted_.listener)) next = co_await secure();
  while (next == Next::request) {
    if (!co_await wait_for_request()) co_return;
    next = co_await read_and_serve();
  }
  if (next == Next::linger) co_await linger();
}

/// Has the client's certificate not ended since the handshake, and does its listener still trust the same authorities?
bool Session::is_vouched_for() const {
  return SystemClock().wall() < vouched_until_ && environment_.tls.context(accepted_.listener)->scope() == vouched_scope_;
}

asio::awaitable<Session::Next> Session::secure() {
  // Until the client says something there is nothing to keep for it.
  if (!co_await wait_for_request()) co_return Next::close;
  const auto first = wire_.first_byte();
  if (!first) co_return Next::close;
  if (const auto c = static_cast<char>(*first); c >= 'A' && c <= 'Z') {
    const HeadRefusal plain{400, "this port speaks TLS, and the request came without: use https://"};
    co_return co_await refuse(plain);
  }
  auto stream = std::make_shared<TlsStream>(environment_.tls.context(accepted_.listener), wire_.descriptor());
  co_return co_await shake_hands(std::move(stream));
}

asio::awaitable<Session::Next> Session::shake_hands(std::shared_ptr<TlsStream> stream) {
  using Outcome = TlsStream::Shaken::Outcome;
  auto& counters = environment_.tls.counters;
  const auto begun = std::chrono::steady_clock::now();
  for (;;) {
    auto job = [stream] { return stream->shake(); };
    const auto shaken = co_await offload(environment_.tls.pool(), std::move(job));
    if (wire_.over()) co_return Next::close;
    if (shaken.outcome == Outcome::done) break;
    if (shaken.outcome == Outcome::failed) {
      counters.failed.fetch_add(1, std::memory_order_relaxed);
      count_handshake(BrokenHandshake::failed);
      refuse_handshake(shaken.reason);
      co_return Next::linger;  // OpenSSL has sent the alert.
    }
    const bool moved = shaken.outcome == Outcome::writing ? co_await wire_.wait_writable(Wire::Wait::head)
                                                          : co_await wire_.wait_readable(Wire::Wait::head);
    if (moved) continue;
    count_handshake(wire_.timed_out() ? BrokenHandshake::timed_out : BrokenHandshake::gone);
    if (wire_.timed_out()) {
      counters.timed_out.fetch_add(1, std::memory_order_relaxed);
      refuse_handshake("it came too slowly");
    }
    co_return Next::close;
  }
  counters.completed.fetch_add(1, std::memory_order_relaxed);
  count_handshake(stream->is_1_3(), stream->resumed(), std::chrono::steady_clock::now() - begun);
  if (stream->resumed()) counters.resumed.fetch_add(1, std::memory_order_relaxed);
  client_certificate_ = stream->client_certificate();
  if (client_certificate_) {
    vouched_until_ = stream->client_certificate_end();
    vouched_scope_ = stream->context().scope();
  }
  secure_ = true;
  wire_.secure(std::move(stream));
  co_return Next::request;
}

void Session::refuse_handshake(std::string_view reason) {
  if (++thread_->handshakes_refused <= ThreadState::kHandshakesLogged) {
    spdlog::info("no TLS with {}: {}", accepted_.peer_address, reason);
  }
}

asio::awaitable<bool> Session::wait_for_request() {
  const auto& options = environment_.options;
  if (input_.size() > 0) {
    // A pipelined request; the other connections of this thread have their turn first.
    co_await asio::post(asio::deferred);
    now_ = std::chrono::steady_clock::now();
    wire_.set_deadline(now_ + options.header_timeout);
    co_return !wire_.over();
  }
  input_.shrink_to_fit();
  wire_.set_read_threshold(1);
  if (requests_ > 0) {
    if (thread_->draining) co_return false;
    wire_.set_deadline(now_ + options.idle_timeout);
  }
  thread_->begin_idle(*this);
  idle_ = true;
  const bool arrived = co_await wire_.wait_readable(Wire::Wait::idle);
  idle_ = false;
  thread_->end_idle(*this);
  now_ = std::chrono::steady_clock::now();
  if (arrived && requests_ > 0) wire_.set_deadline(now_ + options.header_timeout);
  co_return arrived;
}

asio::awaitable<Session::Next> Session::read_and_serve() {
  const auto bytes_max = environment_.options.header_bytes_max;
  RequestHeadParser parser(HeadLimits{bytes_max, HeadLimits{}.fields_max});
  MemoryBudget::Share memory(environment_.memory);
  for (;;) {
    if (input_.size() > 0) {
      const auto progress = parser.advance(unread());
      if (progress == RequestHeadParser::Progress::done) break;
      if (progress == RequestHeadParser::Progress::refused) {
        co_return co_await refuse(parser.refusal(), parser.line(unread()));
      }
    }
    // The parser refuses what reaches bytes_max, so there is room.
    const std::size_t wanted = std::min(bytes_max - input_.size(), std::max(kReadBytes, input_.size()));
    if (input_.size() >= kReadBytes && !memory.take(wanted)) {
      const HeadRefusal crowded{503, "too many long requests are being received at once; try again"};
      co_return co_await refuse(crowded, parser.line(unread()));
    }
    const auto room = input_.prepare(wanted);
    const auto io = wire_.read({static_cast<std::byte*>(room.data()), room.size()});
    input_.commit(io.bytes);
    if (io.outcome == Wire::Outcome::moved) continue;
    if (io.outcome != Wire::Outcome::blocked) co_return Next::close;
    const bool more = co_await wire_.wait_readable(Wire::Wait::head);
    now_ = std::chrono::steady_clock::now();
    if (more) continue;
    if (!wire_.timed_out() || input_.size() == 0) co_return Next::close;
    const HeadRefusal late{408, "the request header came too slowly"};
    co_return co_await refuse(late, parser.line(unread()));
  }
  memory.give_back();
  // A new connection begins with a new handshake, which says what is wrong.
  if (client_certificate_ && !is_vouched_for()) co_return Next::close;
  co_return co_await serve(parser);
}

api::Request Session::make_request(const RequestHead& head) const {
  api::Request request;
  request.method = method_of(head.method);
  request.method_text = head.method;
  request.target = head.target;
  for (const auto& [name, value] : head.fields) request.headers.add(std::string(name), std::string(value));
  request.peer_address = accepted_.peer_address;
  if (accepted_.proxied) {
    auto client = environment_.options.listeners[accepted_.listener].trusted_proxies.client_of(request.headers);
    if (client) request.via = std::exchange(request.peer_address, *std::move(client));
  }
  request.listener = accepted_.listener;
  request.local_uid = accepted_.local_uid;
  request.loopback_listener = !request.local_uid && environment_.options.listeners[accepted_.listener].loopback;
  request.secure = secure_;
  request.client_certificate = client_certificate_;
  request.content_length = head.content_length;
  request.has_body = head.chunked || head.content_length.value_or(0) > 0;
  return request;
}

asio::awaitable<Session::Next> Session::serve(const RequestHeadParser& parser) {
  const auto begun = now_;
  if (requests_++ == 0) thread_->unproven_count.fetch_sub(1, std::memory_order_relaxed);
  const auto head = parser.head(unread());
  check_second_opinion(unread().substr(0, parser.size()), head);
  auto request = make_request(head);
  const BodyFraming framing{head.content_length.value_or(0), head.chunked, head.expects_continue};
  const bool client_closes = head.close;
  input_.consume(parser.size());  // The views in `head` end here.

  auto interrupter = [this] { return make_interrupter(); };
  BodyReader body(wire_, input_, environment_.buffers, framing, std::move(interrupter));
  request.body = &body;
  wire_.begin_rate();
  handling_ = true;
  auto response = co_await handle(request);
  handling_ = false;
  // However slowly they are read: answers that are being sent hold no more than this together.
  MemoryBudget::Share memory(environment_.memory);
  if (const std::size_t held = response.memory_bytes(); held > kAnswerBytesFree && !memory.take(held)) {
    response = error_response(503, "too many large answers are being sent at once; try again", request.id, request.target);
  }
  api::Outcome outcome{.received = body.received(), .until_answer = std::chrono::steady_clock::now() - begun};
  request.timeline.client_wait = body.client_wait();
  request.timeline.memory_wait = body.memory_wait();
  if (response.status == api::kNoAnswer) {
    outcome.elapsed = outcome.until_answer;
    environment_.handler.finished(request, response, outcome);
    reset_ = true;
    co_return Next::close;
  }

  if (!body.complete()) body.discard_arrived();
  // A body that ends in the middle of a piece leaves what came behind it, up to a buffer.
  ahead_.give_back();
  const bool crowded = input_.size() > kReadBytes && !ahead_.take(input_.size());
  const bool keep = !client_closes && !response.close && !crowded && !thread_->draining && !wire_.timed_out() &&
                    (body.complete() || body.remainder_is_short());
  ResponseWriter writer(wire_, environment_.disk_pool);
  const auto end = co_await send(writer, response, request.method != api::Method::head, !keep);
  outcome.sent = writer.body_bytes();
  outcome.disk_wait = writer.disk_wait();
  outcome.complete = end == ResponseWriter::End::complete;
  outcome.unreadable = end == ResponseWriter::End::unreadable;
  now_ = std::chrono::steady_clock::now();
  outcome.elapsed = now_ - begun;
  environment_.handler.finished(request, response, outcome);
  if (end == ResponseWriter::End::unreadable) {
    log::event(log::Level::error, "a stored file cannot be read; the answer is cut off",
               {{"request_id", request.id}, {"path", request.path()}, {"why", writer.failure()}});
    if (response.on_unreadable) response.on_unreadable();
  }
  if (end != ResponseWriter::End::complete) {
    reset_ = true;  // Nothing that is still on its way may look like the end of the body.
    co_return Next::close;
  }
  if (keep && !body.complete()) {
    wire_.set_deadline(now_ + kRemainderTime);
    if (!co_await body.discard_remainder()) co_return Next::close;
    now_ = std::chrono::steady_clock::now();
  }
  if (keep) co_return Next::request;
  const bool all_read = body.complete() && input_.size() == 0 && wire_.readable() == 0;
  co_return all_read ? Next::close : Next::linger;
}

asio::awaitable<api::Response> Session::handle(api::Request& request) {
  // Handlers do not throw; should one do so all the same, it costs its own connection and nothing else. A query may
  // hold a credential, so the log has the path alone.
  try {
    co_return co_await environment_.handler.handle(request);
  } catch (const std::exception& error) {
    spdlog::error("{} {}: unexpected exception: {}", request.method_text, request.path(), error.what());
  } catch (...) {
    spdlog::error("{} {}: unexpected exception", request.method_text, request.path());
  }
  co_return error_response(500, "internal error", request.id, request.target);
}

asio::awaitable<ResponseWriter::End> Session::send(ResponseWriter& writer, const api::Response& response,
                                                   bool with_body, bool close) {
  const auto head = format_response_head(response, thread_->date.now(), close);
  if (head.empty()) {
    spdlog::error("an answer with status {} has a header field that may not be sent", response.status);
    co_return ResponseWriter::End::peer_gone;
  }
  const bool bodiless = !with_body || response.status == 204 || response.status == 304;
  co_return co_await writer.write(head, bodiless ? nullptr : &response.body);
}

asio::awaitable<Session::Next> Session::refuse(HeadRefusal refusal, RequestLine line) {
  const auto id = make_uuid(environment_.entropy);
  if (++thread_->refusals <= ThreadState::kRefusalsLogged) {
    spdlog::info("refused request {} from {}: {} ({})", id, accepted_.peer_address, refusal.reason, refusal.status);
  }
  const auto response = error_response(refusal.status, refusal.reason, id, line.target);
  api::count_refused(refusal.status);
  ResponseWriter writer(wire_, environment_.disk_pool);
  const auto end = co_await send(writer, response, line.method != "HEAD", true);
  co_return end == ResponseWriter::End::complete ? Next::linger : Next::close;
}

asio::awaitable<void> Session::linger() {
  input_.clear();
  input_.shrink_to_fit();
  wire_.half_close();
  wire_.set_read_threshold(1);
  wire_.set_deadline(std::chrono::steady_clock::now() + kLingerTime);
  for (std::uint64_t dropped = 0; dropped < kLingerBytesMax;) {
    const auto io = wire_.discard(1 << 20);
    dropped += io.bytes;
    if (io.outcome == Wire::Outcome::moved) continue;
    if (io.outcome != Wire::Outcome::blocked || !co_await wire_.wait_readable(Wire::Wait::linger)) co_return;
  }
}

void Session::end() {
  if (std::exchange(idle_, false)) thread_->end_idle(*this);
  if (!has_asked()) thread_->unproven_count.fetch_sub(1, std::memory_order_relaxed);
  unlink();
  wire_.close(reset_);
  thread_->sessions.fetch_sub(1, std::memory_order_relaxed);
}

std::function<void()> Session::make_interrupter() {
  // Called on any thread, also long after the connection or even the server is gone.
  return [weak = weak_from_this(), request = requests_] {
    const auto session = weak.lock();
    if (!session) return;
    auto job = [weak, request] {
      if (const auto alive = weak.lock()) alive->interrupt(request);
    };
    asio::post(session->thread_->io, std::move(job));
  };
}

void Session::interrupt(std::uint64_t request) {
  if (request == requests_ && handling_) wire_.cut();
}

}  // namespace berth::server
