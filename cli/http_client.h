// One HTTP request at a time, for the command line: bounded in time and in size, no redirects.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>

namespace berth::cli {

struct HttpRequest {
  std::string method = "GET";
  std::string url;
  std::chrono::milliseconds timeout = std::chrono::seconds(30);
  bool use_proxy = true;            ///< as the environment's http_proxy says
  bool verify = true;               ///< over https: is it who it says?
  std::string socket = {};          ///< path of a local socket to ask instead of the URL's host; empty: none
  std::string ca_file = {};         ///< PEM; trusted instead of the system's roots
  std::string authorization = {};   ///< the header's value; empty: none
  std::optional<std::string> json = std::nullopt;  ///< the body
  /// Announces a body of so many bytes and sends none of it: what comes back is what the head alone is worth. 0: no body.
  std::uint64_t announced_bytes = 0;
};

struct HttpAnswer {
  long status = 0;
  std::string body;
  std::string link;  ///< the Link header
  std::map<std::string, std::string> headers;  ///< by name in lower case; of several the last
};

/// Why there was no answer, as a sentence.
struct Unreachable {
  std::string reason;
  bool untrusted = false;  ///< there is somebody, whose certificate is not good enough
  bool wants_body = false;  ///< the announced body was asked for
};

std::variant<HttpAnswer, Unreachable> send(const HttpRequest& request);

}  // namespace berth::cli
