#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cstdlib>

#include "base/http_date.h"
#include "cli/answers.h"
#include "cli/doctor/checks.h"
#include "cli/http_client.h"

namespace berth::cli {
namespace {

/// More than any proxy lets through that limits bodies at all, and less than a number that one could refuse for its own sake.
constexpr std::uint64_t kLargeLayer = std::uint64_t{20} << 30;
constexpr auto kTimeDifference = std::chrono::seconds(30);
/// An upload that nobody began: a berth refuses it by its head alone.
constexpr std::string_view kNoUpload = "/v2/berth-doctor/blobs/uploads/00000000-0000-0000-0000-000000000000"
    "?digest=sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

bool serves(const config::ListenerSettings& listener, std::string_view what) {
  return std::find(listener.serve.begin(), listener.serve.end(), what) != listener.serve.end();
}

std::string header(const HttpAnswer& answer, const std::string& name) {
  const auto found = answer.headers.find(name);
  return found == answer.headers.end() ? std::string() : found->second;
}

/// "https://registry.example.com" of "https://registry.example.com/token".
std::string origin_of(const std::string& url) {
  const auto host = url.find("//");
  return host == url.npos ? std::string() : url.substr(0, url.find('/', host + 2));
}

/// The value of one parameter of `Bearer realm="…",service="…"`.
std::string parameter(const std::string& challenge, const std::string& name) {
  const auto begin = challenge.find(name + "=\"");
  if (begin == challenge.npos) return {};
  const auto value = begin + name.size() + 2;
  return challenge.substr(value, challenge.find('"', value) - value);
}

/// Where this machine reaches a listener.
std::string url_of(const config::ListenerSettings& listener, const config::HostPort& address) {
  std::string host = address.host == "0.0.0.0" ? "127.0.0.1" : address.host == "::" ? "::1" : address.host;
  if (host.find(':') != host.npos) host = "[" + host + "]";
  return fmt::format("{}://{}:{}", listener.tls.on ? "https" : "http", host, address.port);
}

/// Is it a berth, or at least a registry? Empty: yes.
std::string strange(const HttpAnswer& answer) {
  if ((answer.status == 200 || answer.status == 401) && header(answer, "docker-distribution-api-version") == "registry/2.0") return {};
  const auto server = header(answer, "server");
  return fmt::format("/v2/ is answered {}{}, not as a registry does", answer.status, server.empty() ? "" : " by " + server);
}

class View {
 public:
  View(const config::Settings& settings, const ViewOptions& options, Findings& findings)
      : settings_(settings), options_(options), findings_(findings) {}

  void look() {
    bool answered = false;
    for (const auto& listener : settings_.listeners) answered |= look_at(listener);
    const auto& url = options_.url.empty() ? settings_.public_url : options_.url;
    if (!answered && !options_.running && options_.url.empty()) return;  // told already: there is none to reach
    if (!url.empty()) look_from_outside(url);
  }

 private:
  HttpRequest request(const std::string& url, bool verify) const {
    HttpRequest request;
    request.url = url;
    request.timeout = options_.timeout;
    request.verify = verify;
    request.use_proxy = false;
    if (verify) request.ca_file = options_.ca_file;
    return request;
  }

  /// Did anybody answer?
  bool look_at(const config::ListenerSettings& listener) {
    const auto address = config::parse_host_port(listener.address);
    if (!address || address->port == 0) return false;
    const auto url = url_of(listener, *address);
    if (listener.tls.client_certificates == "required") {
      findings_.ok("clients.listener", url + " asks for a client certificate; it was not tried");
      return false;
    }
    const bool registry = serves(listener, "registry");
    if (!registry && !serves(listener, "health")) return false;
    // The address is no name of the certificate; whether that is right was looked at on its own.
    auto answered = send(request(url + (registry ? "/v2/" : "/readyz"), false));
    if (const auto* gone = std::get_if<Unreachable>(&answered)) {
      if (!options_.running)
        findings_.warning("clients.listener", fmt::format("{}: nobody answers, and no berth runs on these data", url),
                          "start it (systemctl start berth, or `berth serve`), then ask again");
      else
        findings_.problem("clients.listener", fmt::format("{}: {}", url, gone->reason),
                          "berth runs, but not there: was it started with these settings, and does its log say why?");
      return false;
    }
    const auto& answer = std::get<HttpAnswer>(answered);
    if (!registry) {
      if (answer.status == 200)
        findings_.ok("clients.listener", url + " answers that berth is ready");
      else
        findings_.warning("clients.listener", fmt::format("{}: not ready ({})", url, answer.status), "its log says what it waits for");
      return true;
    }
    if (const auto odd = strange(answer); !odd.empty())
      findings_.problem("clients.listener", url + ": " + odd, "another program has this port: stop that one, or change listeners");
    else
      findings_.ok("clients.listener", fmt::format("{} answers as a registry", url));
    return true;
  }

  void look_from_outside(const std::string& url) {
    auto answered = send(request(url + "/v2/", true));
    if (const auto* gone = std::get_if<Unreachable>(&answered)) return unreachable(url, *gone);
    const auto& answer = std::get<HttpAnswer>(answered);
    if (answer.status >= 300 && answer.status < 400)
      return findings_.problem("clients.address", fmt::format("{} sends clients on to {}", url, header(answer, "location")),
                               "let public_url be the address that answers itself: clients do not take a push elsewhere");
    if (const auto odd = strange(answer); !odd.empty())
      return findings_.problem("clients.address", url + ": " + odd,
                               "let the proxy pass /v2/ and /token on, whole and unchanged, and look whether public_url is right");
    findings_.ok("clients.address", url + (url.starts_with("https") ? " answers as a registry, and its certificate is trusted"
                                                                    : " answers as a registry"));
    look_at_challenge(url, answer);
    look_at_proxy(url, answer);
    look_at_time(url, answer);
  }

  void unreachable(const std::string& url, const Unreachable& gone) {
    if (gone.untrusted)
      return findings_.problem("clients.tls", fmt::format("{}: {}", url, gone.reason),
                               "if an authority of your own signed it, say --ca FILE here and give clients what `berth "
                               "client-config` prints; else what certificates.* says above is why");
    findings_.problem("clients.address", fmt::format("{}: {}", url, gone.reason),
                      "does the name lead here (DNS, /etc/hosts), and does a firewall or proxy let it through?");
  }

  /// Clients send their passwords where the challenge tells them.
  void look_at_challenge(const std::string& url, const HttpAnswer& answer) {
    const auto challenge = header(answer, "www-authenticate");
    if (answer.status != 401) return;
    const auto realm = parameter(challenge, "realm");
    if (!challenge.starts_with("Bearer ") || realm.empty())
      return findings_.problem("clients.login", fmt::format("{}: 401 with `{}`, which names no place to log in", url, challenge),
                               "let the proxy pass WWW-Authenticate on, and do no login of its own");
    if (url.starts_with("https://") && !realm.starts_with("https://"))
      return findings_.problem("clients.login", fmt::format("clients of {} are sent to {} with their passwords, in clear", url, realm),
                               "set public_url to " + url);
    auto answered = send(request(realm, true));
    if (const auto* gone = std::get_if<Unreachable>(&answered))
      return findings_.problem("clients.login", fmt::format("clients are sent to {} to log in: {}", realm, gone->reason),
                               "set public_url, or auth.token.realm, to what clients reach");
    const auto status = std::get<HttpAnswer>(answered).status;
    if (status == 404 || status >= 500)
      return findings_.problem("clients.login", fmt::format("clients are sent to {} to log in, which answers {}", realm, status),
                               "let the proxy pass /token on as well");
    if (origin_of(realm) != origin_of(url) && !settings_.auth.outside_token_server.on && settings_.auth.token.realm.empty())
      return findings_.warning("clients.login", fmt::format("clients of {} are sent to {} to log in", url, realm),
                               "set public_url to the address that clients use");
    findings_.ok("clients.login", fmt::format("clients log in at {}, which answers", realm));
  }

  /// Is there one, and does it let layers through?
  void look_at_proxy(const std::string& url, const HttpAnswer& answer) {
    const auto server = header(answer, "server"), via = header(answer, "via");
    if (!server.empty() || !via.empty())
      findings_.ok("clients.proxy", fmt::format("{} comes through {}", url, server.empty() ? via : server));
    if (header(answer, "x-request-id").empty())
      findings_.warning("clients.proxy", url + ": the proxy drops X-Request-Id", "let it through: it finds a client's request in the log");
    auto large = request(url + std::string(kNoUpload), true);
    large.method = "PUT";
    large.announced_bytes = kLargeLayer;
    auto answered = send(large);
    if (const auto* gone = std::get_if<Unreachable>(&answered)) {
      if (!gone->wants_body)
        findings_.warning("clients.proxy", fmt::format("{}: a large push is cut off: {}", url, gone->reason),
                          "look at the proxy's limits of size and time");
      return;
    }
    const auto status = std::get<HttpAnswer>(answered).status;
    if (status == 413)
      findings_.problem("clients.proxy", fmt::format("{}: a layer of 20 GiB is refused as too large (413){}", url,
                                                     settings_.limits.blob_bytes == 0 ? "" : "; limits.blob_size is set"),
                        "take the limit off: client_max_body_size 0 in nginx, proxy-body-size \"0\" for its ingress");
    else if (status >= 500)
      findings_.problem("clients.proxy", fmt::format("{}: a large push is answered {}", url, status), "look at the proxy's log");
    else
      findings_.ok("clients.proxy", "large layers get through");
  }

  void look_at_time(const std::string& url, const HttpAnswer& answer) {
    const auto date = header(answer, "date");
    const auto there = parse_http_date(date);
    if (!there) return;  // berth itself does not tell the time, proxies do
    const auto away = std::chrono::system_clock::now() - *there;
    const auto seconds = std::abs(std::chrono::duration_cast<std::chrono::seconds>(away).count());
    if (seconds <= kTimeDifference.count()) return findings_.ok("clients.time", "the clocks there and here agree");
    findings_.warning("clients.time", fmt::format("{} says {}, which is {} s from what this machine says", url, date, seconds),
                      "set the clock that is wrong: tokens are good for minutes");
  }

  const config::Settings& settings_;
  const ViewOptions& options_;
  Findings& findings_;
};

}  // namespace

void check_clients_view(const config::Settings& settings, const ViewOptions& options, Findings& findings) {
  View(settings, options, findings).look();
}

}  // namespace berth::cli
