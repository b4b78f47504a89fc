// One request through the whole pipeline, without a socket.
#pragma once

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <variant>

#include "api/service.h"
#include "tests/unit/api/fake_registry.h"

namespace berth::api::test {

class FixedClock final : public Clock {
 public:
  WallTime wall() const override { return WallTime{}; }
  SteadyTime steady() const override { return SteadyTime{} + now; }
  std::chrono::milliseconds now{1'000'000};
};

class CountingEntropy final : public Entropy {
 public:
  void fill(std::span<std::byte> out) override {
    for (std::byte& byte : out) byte = std::byte{next_++};
  }

 private:
  std::uint8_t next_ = 0;
};

/// A body in pieces; an Error among them is what next() answers there.
class FakeBody final : public BodySource {
 public:
  using Piece = std::variant<std::string, Error>;
  FakeBody(registry::BufferPool& pool, std::deque<Piece> pieces) : pool_(pool), pieces_(std::move(pieces)) {}
  Task<registry::Buffer> next() override {
    ++reads;
    if (pieces_.empty()) co_return registry::Buffer();
    Piece piece = std::move(pieces_.front());
    pieces_.pop_front();
    if (const Error* error = std::get_if<Error>(&piece)) co_return *error;
    const std::string& text = std::get<std::string>(piece);
    registry::Buffer buffer = pool_.acquire_now(text.size());
    std::memcpy(buffer.space().data(), text.data(), text.size());
    buffer.set_size(text.size());
    co_return buffer;
  }
  std::function<void()> interrupter() override {
    return [this] { interrupted = true; };
  }
  int reads = 0;
  bool interrupted = false;

 private:
  registry::BufferPool& pool_;
  std::deque<Piece> pieces_;
};

/// What a request carries besides its method and target.
struct Options {
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::deque<FakeBody::Piece> body = {};
  bool chunked = false;                               ///< no Content-Length
  std::optional<std::uint64_t> content_length = {};   ///< else what the pieces sum up to
  bool loopback = false;
  bool local = false;  ///< through the local socket
};

/// A service over a fake registry, and what came of the last request.
class Exchange {
 public:
  explicit Exchange(ServiceOptions options = {}, bool attached = true)
      : service(make_service(std::move(options), lifecycle, clock, entropy)) {
    if (attached) service->attach({.registry = registry});
  }

  const Response& send(Method method, std::string target, Options options = {}) {
    Request request;
    request.method = method;
    request.method_text = std::string(to_string(method));
    request.target = std::move(target);
    for (auto& [name, value] : options.headers) request.headers.add(name, value);
    request.loopback_listener = options.loopback;
    if (options.local) request.local_uid = 0;
    request.has_body = !options.body.empty() || options.chunked;
    if (request.has_body && !options.chunked) {
      std::uint64_t size = 0;
      for (const auto& piece : options.body) {
        if (const auto* text = std::get_if<std::string>(&piece)) size += text->size();
      }
      request.content_length = options.content_length.value_or(size);
    }
    FakeBody body(pool, std::move(options.body));
    request.body = &body;
    asio::io_context io;
    bool done = false;
    auto run = [&]() -> asio::awaitable<void> {
      response = co_await service->handle(request);
      done = true;
    };
    asio::co_spawn(io, run, asio::detached);
    io.run();
    if (!done) std::abort();
    body_reads = body.reads;
    timeline = request.timeline;
    return response;
  }

  std::string header(std::string_view name) const { return std::string(response.headers.get(name)); }
  std::string text() const {
    std::string out;
    for (const BodyPart& part : response.body) {
      if (const auto* piece = std::get_if<std::string>(&part)) out += *piece;
      if (const auto* slice = std::get_if<MemorySlice>(&part)) {
        out += slice->bytes->substr(slice->range.begin, slice->range.size());
      }
    }
    return out;
  }
  /// The code of the error body.
  std::string code() const {
    const std::string body = text();
    const auto begin = body.find(R"("code":")");
    if (begin == std::string::npos) return "";
    return body.substr(begin + 8, body.find('"', begin + 8) - begin - 8);
  }

  FakeRegistry registry;
  Lifecycle lifecycle;
  FixedClock clock;
  CountingEntropy entropy;
  registry::BufferPool pool{8 << 20};
  std::unique_ptr<Service> service;
  Response response;
  int body_reads = 0;
  Timeline timeline;  ///< of the last request
};

}  // namespace berth::api::test
