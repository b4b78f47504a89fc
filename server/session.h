// One connection: read a head, have it handled, write the answer, again. One coroutine on one I/O thread.
//
// While it waits for the next request it holds no buffer, so that ten thousand idle connections cost little.
#pragma once

#include <boost/intrusive/list_hook.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "api/http.h"
#include "base/memory_budget.h"
#include "server/body_reader.h"
#include "server/connection_counts.h"
#include "server/connection_metrics.h"
#include "server/descriptor.h"
#include "server/response_writer.h"
#include "server/server.h"
#include "server/tls.h"
#include "server/wire.h"

namespace berth::server {

/// What every session uses; outlives them all. Const after construction.
struct Environment {
  ServerOptions options;
  api::Handler& handler;
  registry::BufferPool& buffers;
  Pool& disk_pool;
  Tls& tls;
  Entropy& entropy;
  MemoryBudget& memory;  ///< of heads and answers beyond what each connection may hold anyway
};

struct ThreadState;

/// A connection that was just accepted.
struct Accepted {
  Descriptor descriptor;
  int family = 0;  ///< AF_INET, AF_INET6 or AF_UNIX
  std::string peer_address;
  bool proxied = false;      ///< it is a trusted proxy's
  std::size_t listener = 0;  ///< the local socket counts as one after the listeners
  std::optional<uid_t> local_uid = std::nullopt;  ///< of the local socket: who is there
  ConnectionSlot slot;
  OpenConnection counted = {};
};

using SessionHook = boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;

/// Its own I/O thread only, but for what the interrupter does.
class Session final : public SessionHook, public std::enable_shared_from_this<Session> {
 public:
  Session(Wire::Socket socket, Accepted accepted, const Environment& environment,
          std::shared_ptr<ThreadState> thread);

  /// Until the connection ends. The caller keeps the session alive meanwhile.
  asio::awaitable<void> run();

  /// Ends waits that took too long.
  void check(SteadyTime now) { wire_.check(now); }
  /// Between two requests, or before the first, with nothing arrived.
  bool idle() const { return idle_ && !wire_.over() && wire_.readable() == 0; }
  /// It has sent a whole head at least once.
  bool has_asked() const { return requests_ > 0; }
  bool over() const { return wire_.over(); }
  void cut() { wire_.cut(); }
  /// After run(), however it ended.
  void end();
  const std::string& peer_address() const { return accepted_.peer_address; }

 private:
  enum class Next : std::uint8_t { request, linger, close };

  asio::awaitable<Next> secure();
  asio::awaitable<Next> shake_hands(std::shared_ptr<TlsStream> stream);
  void refuse_handshake(std::string_view reason);
  asio::awaitable<bool> wait_for_request();
  asio::awaitable<Next> read_and_serve();
  asio::awaitable<Next> serve(const RequestHeadParser& parser);
  asio::awaitable<api::Response> handle(api::Request& request);
  asio::awaitable<Next> refuse(HeadRefusal refusal, RequestLine line = {});
  asio::awaitable<ResponseWriter::End> send(ResponseWriter& writer, const api::Response& response, bool with_body,
                                            bool close);
  asio::awaitable<void> linger();
  api::Request make_request(const RequestHead& head) const;
  std::function<void()> make_interrupter();
  void interrupt(std::uint64_t request);
  std::string_view unread() const;
  bool is_vouched_for() const;

  const std::shared_ptr<ThreadState> thread_;  ///< first, so that the socket goes before its io_context
  const Environment& environment_;
  Accepted accepted_;
  Wire wire_;
  Input input_;
  MemoryBudget::Share ahead_{environment_.memory};  ///< what input_ holds of requests that were sent ahead, beyond a block
  bool secure_ = false;
  std::shared_ptr<const api::ClientCertificate> client_certificate_;
  WallTime vouched_until_{};   ///< of client_certificate_
  std::string vouched_scope_;  ///< likewise: what its listener asked for then
  std::uint64_t requests_ = 0;  ///< so that a late interrupter does not hit the next one
  /// When something of this connection last began or ended: its head was there, its answer was sent. Asked once for all
  /// that counts from there, for the clock costs more than most of that.
  SteadyTime now_{};
  bool idle_ = false;
  bool handling_ = false;  ///< a handler is at work, and with it what an interrupter is for
  bool reset_ = false;
};

/// An error of the server itself, in the protocol's own form and with what every answer carries. Before there is a
/// request it has no id.
api::Response error_response(unsigned status, std::string_view reason, std::string_view request_id = {},
                             std::string_view target = {});

}  // namespace berth::server
