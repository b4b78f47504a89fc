// One HTTP request at a time, for the command line: bounded in time and in size, no redirects.
#pragma once

#include <chrono>
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
};

struct HttpAnswer {
  long status = 0;
  std::string body;
  std::string link;  ///< the Link header
};

/// Why there was no answer, as a sentence.
struct Unreachable {
  std::string reason;
};

std::variant<HttpAnswer, Unreachable> send(const HttpRequest& request);

}  // namespace berth::cli
