// One HTTP request at a time, for the command line: bounded in time and in size, no redirects.
#pragma once

#include <chrono>
#include <string>
#include <variant>

namespace berth::cli {

struct HttpRequest {
  std::string method = "GET";
  std::string url;
  std::chrono::milliseconds timeout = std::chrono::seconds(30);
  bool use_proxy = true;  ///< as the environment's http_proxy says
  bool verify = true;     ///< over https: is it who it says?
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
