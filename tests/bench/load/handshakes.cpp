#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "tests/bench/load/load.h"

namespace load {
namespace {

using Context = std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)>;
using Ssl = std::unique_ptr<SSL, decltype(&SSL_free)>;
using Session = std::unique_ptr<SSL_SESSION, decltype(&SSL_SESSION_free)>;

/// The last ticket of a client's last connection; the server sends tickets before its first answer.
struct Client {
  Session session{nullptr, SSL_SESSION_free};
};

int keep_session(SSL* ssl, SSL_SESSION* session) {
  static_cast<Client*>(SSL_get_app_data(ssl))->session.reset(session);
  return 1;  // the reference is ours
}

std::string openssl_error() {
  char text[256];
  ERR_error_string_n(ERR_get_error(), text, sizeof text);
  return text;
}

/// One connection from its beginning to its end. Answers whether the session was resumed.
bool visit(SSL_CTX* context, Client& client, int port, const std::string& request, bool resumed) {
  const int fd = connect_to(port);
  const Ssl ssl(SSL_new(context), SSL_free);
  SSL_set_fd(ssl.get(), fd);
  SSL_set_app_data(ssl.get(), &client);
  if (resumed && client.session) SSL_set_session(ssl.get(), client.session.get());
  if (SSL_connect(ssl.get()) != 1) die("handshake: " + openssl_error());
  if (SSL_write(ssl.get(), request.data(), static_cast<int>(request.size())) <= 0) die("TLS write: " + openssl_error());
  char piece[16 << 10];
  std::string answer;
  for (int n; (n = SSL_read(ssl.get(), piece, sizeof piece)) > 0;) {
    if (answer.size() < 64) answer.append(piece, static_cast<std::size_t>(n));
  }
  if (!answer.starts_with("HTTP/1.1 200")) die("GET over TLS: " + answer.substr(0, 64));
  const bool reused = SSL_session_reused(ssl.get()) == 1;
  SSL_set_shutdown(ssl.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);  // or OpenSSL thinks ill of the session
  // The other side has closed: without this the port would be kept from use for a minute.
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  ::close(fd);
  return reused;
}

}  // namespace

void handshakes(int port, int clients, double seconds, bool resumed, const std::string& path) {
  const Context context(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
  SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION);
  SSL_CTX_set_ciphersuites(context.get(), "TLS_AES_128_GCM_SHA256");
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);  // the chain is not what is measured
  SSL_CTX_set_options(context.get(), SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context.get(), keep_session);
  const std::string request =
      "GET " + path + " HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(port) + "\r\nConnection: close\r\n\r\n";
  std::vector<std::vector<double>> latencies(static_cast<std::size_t>(clients));
  const auto begin = Clock::now();
  run_clients(clients, [&](int n) {
    Client client;
    if (resumed) visit(context.get(), client, port, request, false);
    while (seconds_since(begin) < seconds) {
      const auto started = Clock::now();
      if (visit(context.get(), client, port, request, resumed) != resumed) die("the server did not resume the session");
      latencies[static_cast<std::size_t>(n)].push_back(seconds_since(started) * 1000);
    }
  });
  std::vector<double> all;
  for (const auto& part : latencies) all.insert(all.end(), part.begin(), part.end());
  report("handshakes", all.size(), seconds_since(begin), all);
}

}  // namespace load
