// A management API that says what a test wants it to say, on a local socket or a port of loopback, and keeps what it was
// asked.
#pragma once

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "cli/cli.h"

namespace berth::cli {

struct Asked {
  std::string line;  ///< "POST /api/v1/users"
  std::string head;
  nlohmann::json body;  ///< null: none
};

class FakeApi {
 public:
  struct Reply {
    int status = 200;
    std::string body = {};
  };
  /// Answers in this order, one a request; then 500. By a local socket `path`, or on loopback when it is empty.
  explicit FakeApi(std::vector<Reply> replies, const std::string& path = {}) : replies_(std::move(replies)) {
    if (path.empty()) {
      listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      socklen_t size = sizeof address;
      REQUIRE(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0);
      ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
      url_ = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    } else {
      listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
      sockaddr_un address{};
      address.sun_family = AF_UNIX;
      path.copy(address.sun_path, sizeof address.sun_path - 1);
      REQUIRE(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    }
    REQUIRE(::listen(listener_, 8) == 0);
    thread_ = std::thread([this] { serve(); });
  }
  ~FakeApi() { stop(); }

  const std::string& url() const { return url_; }
  /// What was asked; nothing more is answered.
  const std::vector<Asked>& asked() {
    stop();
    return asked_;
  }

 private:
  void stop() {
    if (!thread_.joinable()) return;
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }

  void serve() {
    for (;;) {
      const int peer = ::accept(listener_, nullptr, nullptr);
      if (peer < 0) return;
      answer(peer);
      ::close(peer);
    }
  }

  void answer(int peer) {
    std::string text;
    char piece[4096];
    std::size_t end = 0;
    const auto fill = [&] {
      const auto size = ::recv(peer, piece, sizeof piece, 0);
      if (size > 0) text.append(piece, static_cast<std::size_t>(size));
      return size > 0;
    };
    while ((end = text.find("\r\n\r\n")) == text.npos)
      if (!fill()) return;  // somebody looked whether a server is there
    Asked asked;
    asked.head = text.substr(0, end + 2);
    asked.line = text.substr(0, text.find(" HTTP/1.1"));
    const auto length = asked.head.find("Content-Length: ");
    const std::size_t size = length == text.npos ? 0 : std::stoul(asked.head.substr(length + 16));
    while (text.size() < end + 4 + size && fill()) {
    }
    if (size > 0) asked.body = nlohmann::json::parse(text.substr(end + 4), nullptr, false);
    asked_.push_back(std::move(asked));
    const Reply reply = asked_.size() <= replies_.size() ? replies_[asked_.size() - 1] : Reply{500, "unexpected"};
    const std::string out = "HTTP/1.1 " + std::to_string(reply.status) + " x\r\nContent-Length: " +
                            std::to_string(reply.body.size()) + "\r\nConnection: close\r\n\r\n" + reply.body;
    ::send(peer, out.data(), out.size(), MSG_NOSIGNAL);
  }

  std::vector<Reply> replies_;
  std::vector<Asked> asked_;
  std::string url_;
  int listener_ = -1;
  std::thread thread_;
};

struct Person {
  std::map<std::string, std::string> environment = {};
  std::string input = {};                 ///< the standard input
  std::vector<std::string> secrets = {};  ///< what is typed unseen, in this order
  bool interactive = false;
};

struct Outcome {
  int code = -1;
  std::string out, err;
  std::vector<std::string> prompts;
};

inline Outcome run_as(Person person, const std::vector<std::string>& arguments) {
  Outcome outcome;
  std::istringstream in(person.input);
  std::ostringstream out, err;
  std::size_t typed = 0;
  const auto read_secret = [&](const std::string& prompt) -> std::optional<std::string> {
    outcome.prompts.push_back(prompt);
    if (typed == person.secrets.size()) return std::nullopt;
    return person.secrets[typed++];
  };
  const Program program{"1", {}, person.environment, in, out, err, person.interactive, read_secret};
  std::vector<const char*> argv{"berth"};
  for (const auto& argument : arguments) argv.push_back(argument.c_str());
  outcome.code = run(static_cast<int>(argv.size()), argv.data(), program);
  outcome.out = out.str();
  outcome.err = err.str();
  return outcome;
}

}  // namespace berth::cli
