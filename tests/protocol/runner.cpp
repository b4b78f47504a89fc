#include "tests/protocol/runner.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <thread>

#include "tests/protocol/client.h"
#include "tests/protocol/pattern.h"
#include "tests/protocol/test_server.h"
#include "tests/protocol/transcript.h"

namespace berth::test {

namespace {

using namespace std::chrono_literals;

constexpr auto kReplyTime = 20s;     // a machine under load and sanitizers is slow, a reply that never comes is a bug
constexpr auto kSilenceTime = 300ms;

/// A reply's head as a transcript shows it, with the fields of every reply taken out once they are checked.
struct Shown {
  std::string text;
  std::string complaint;  ///< what is wrong with the common fields
};

Shown show(const Reply& reply, bool registry_path) {
  Shown shown;
  shown.text = reply.status_line;
  std::map<std::string, int> seen;
  const bool interim = reply.status_line.starts_with("HTTP/1.1 1");
  const auto common = [&](const std::string& name, const std::string& value) {
    Variables none;
    if (name == "Date") return match("{{date}}", value, none).value_or(false);
    if (name == "X-Request-Id") return match("{{uuid}}", value, none).value_or(false);
    if (name == "X-Content-Type-Options") return value == "nosniff";
    if (name == "Content-Security-Policy") return value == "default-src 'none'";
    return name == "Docker-Distribution-API-Version" && value == "registry/2.0" && registry_path;
  };
  for (const auto& [name, value] : reply.headers) {
    if (common(name, value)) {
      ++seen[name];
    } else {
      shown.text += '\n' + name + ": " + render(value);
    }
  }
  if (interim) return shown;
  // Where a request line cannot be read nobody knows what path it names.
  const bool line_unread = reply.header("Connection") == "close" && (shown.text.find(" 400 ") != std::string::npos ||
                                                                     shown.text.find(" 414 ") != std::string::npos);
  if (line_unread && seen["Docker-Distribution-API-Version"] == 0) registry_path = false;
  std::vector<std::string> wanted = {"Date", "X-Request-Id", "X-Content-Type-Options", "Content-Security-Policy"};
  if (registry_path) wanted.emplace_back("Docker-Distribution-API-Version");
  for (const std::string& name : wanted) {
    if (seen[name] != 1) shown.complaint += " " + name + " occurs " + std::to_string(seen[name]) + " times.";
  }
  return shown;
}

std::string cut(std::string_view text) {
  constexpr std::size_t kShown = 3000;
  if (text.size() <= kShown) return std::string(text);
  return std::string(text.substr(0, kShown)) + "… (" + std::to_string(text.size()) + " bytes)";
}

std::string as_reply(std::string_view head, std::string_view body) {
  return std::string(head) + (body.empty() ? "" : "\n\n" + std::string(body));
}

void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

class Player {
 public:
  Player(std::string_view text, bool exact, bool tls) : text_(text), exact_(exact), tls_(tls) {}

  Played run() {
    auto parsed = parse_transcript(text_);
    if (!parsed) {
      played_.failures.push_back(parsed.error().message);
      return std::move(played_);
    }
    transcript_ = *std::move(parsed);
    std::vector<std::vector<std::string>> options;
    for (const Step& step : transcript_.steps) {
      if (step.kind == Step::Kind::option) options.push_back(step.words);
    }
    auto server = TestServer::start(options, tls_);
    if (!server) {
      played_.failures.push_back(server.error().message);
      return std::move(played_);
    }
    server_ = *std::move(server);
    for (const Step& step : transcript_.steps) play(step);
    // What the file says nothing of must not have happened.
    for (auto& [name, line] : lines_) {
      if (!line.expected.empty()) played_.failures.push_back("a request on " + name + " has no reply in the file");
      if (line.connection && !line.connection->rest().empty()) {
        played_.failures.push_back("unread bytes on " + name + ": " + cut(render(line.connection->rest())));
      }
    }
    lines_.clear();
    played_.rewritten = rewrite();
    return std::move(played_);
  }

 private:
  struct Asked {
    bool head = false;
    bool registry_path = false;
  };
  struct Line {
    std::unique_ptr<Connection> connection;
    std::queue<Asked> expected;
  };

  void fail(const Step& step, const std::string& message) {
    played_.failures.push_back("line " + std::to_string(step.line) + ": " + message);
  }

  Line& line(const std::string& name) {
    Line& found = lines_[name];
    if (!found.connection) found.connection = std::make_unique<Connection>(server_->port(), tls_);
    return found;
  }

  void play(const Step& step) {
    switch (step.kind) {
      case Step::Kind::option: return;
      case Step::Kind::let: {
        auto value = expand(step.head, variables_);
        if (!value) return fail(step, value.error().message);
        variables_[step.words[0]] = *value;
        lets_.emplace_back(step.words[0], *value);
        return;
      }
      case Step::Kind::act: return act(step);
      case Step::Kind::request: return request(step);
      case Step::Kind::reply: return reply(step);
      case Step::Kind::closed: {
        Line& at = line(step.connection);
        if (!at.connection->read_end(kReplyTime)) {
          fail(step, "the connection was not closed; it said: " + cut(render(at.connection->rest())));
        }
        at.connection.reset();
        at.expected = {};
        return;
      }
      case Step::Kind::silence:
        if (!line(step.connection).connection->is_silent(kSilenceTime)) fail(step, "something came");
        return;
    }
  }

  void act(const Step& step) {
    const auto& words = step.words;
    const std::string verb = words.empty() ? "" : words[0];
    const std::string name = words.size() > 1 ? words[1] : "main";
    if (verb == "close") {
      lines_.erase(name);
    } else if (verb == "finish") {
      line(name).connection->finish_sending();
    } else if (verb == "cut") {
      Line& at = line(name);
      if (at.connection->read(false, kReplyTime)) fail(step, "the whole reply came");
      lines_.erase(name);
    } else if (verb == "wait" && words.size() == 2) {
      std::this_thread::sleep_for(std::chrono::milliseconds(std::stoll(words[1])));
    } else if (verb == "advance" && words.size() == 2) {
      server_->advance(std::chrono::hours(std::stoll(words[1])));
    } else if (verb == "disk" && words.size() == 2) {
      server_->set_disk_full(words[1] == "full");
    } else if (verb == "draining") {
      server_->set_draining(true);
    } else if (verb == "blob" && words.size() == 3) {
      push(step, "POST /v2/" + words[1] + "/blobs/uploads/?digest={{sha256 " + words[2] + "}}", "", words[2]);
    } else if (verb == "manifest" && (words.size() == 4 || words.size() == 5)) {
      const std::string type = words.size() == 5 ? words[4] : "application/vnd.oci.image.manifest.v1+json";
      push(step, "PUT /v2/" + words[1] + "/manifests/" + words[2], "Content-Type: " + type + "\r\n", words[3]);
    } else {
      fail(step, "unknown: " + verb);
    }
  }

  void push(const Step& step, const std::string& start, const std::string& fields, const std::string& name) {
    auto message = expand(start + " HTTP/1.1\r\nHost: localhost\r\n" + fields + "Content-Length: {{size " + name +
                              "}}\r\n\r\n{{" + name + "}}",
                          variables_);
    if (!message) return fail(step, message.error().message);
    Connection connection(server_->port(), tls_);
    connection.send(*message);
    const auto answer = connection.read(false, kReplyTime);
    if (!answer) return fail(step, "no answer");
    if (answer->status_line != "HTTP/1.1 201 Created") fail(step, answer->status_line + ": " + answer->body);
  }

  void request(const Step& step) {
    std::string message;
    if (step.raw) {
      auto text = expand(step.head, variables_);
      if (!text) return fail(step, text.error().message);
      auto bytes = unescape(*text);
      if (!bytes) return fail(step, "a broken escape");
      message = *std::move(bytes);
    } else {
      auto body = expand(step.body, variables_);
      if (!body) return fail(step, body.error().message);
      Variables with_length = variables_;
      with_length["length"] = std::to_string(body->size());
      auto head = expand(step.head, with_length);
      if (!head) return fail(step, head.error().message);
      message = *head;
      replace_all(message, "\n", "\r\n");
      message += "\r\n\r\n" + *body;
    }
    Line& at = line(step.connection);
    note_requests(step, message, at);
    // A server that has refused may close before it has everything.
    (void)at.connection->send(message);
  }

  /// What the replies must know of the requests in this block: one unless it is raw, and there any number.
  void note_requests(const Step& step, const std::string& message, Line& at) {
    std::size_t from = 0;
    do {
      const std::size_t line_end = message.find("\r\n", from);
      const std::string first = message.substr(from, line_end - from);
      // A raw block may hold the beginning of a request, or a piece of one that begins with no method.
      const std::size_t space = first.find(' ');
      const bool method = space != 0 && first.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ") == space;
      if (space != std::string::npos && (!step.raw || (method && first[space + 1] == '/'))) {
        const std::string path = first.substr(space + 1);
        const bool registry_path = path.starts_with("/v2/") || path.starts_with("/v2 ") || path.starts_with("/v2?");
        at.expected.push({first.starts_with("HEAD "), registry_path});
      }
      if (!step.raw) return;
      const std::size_t head_end = message.find("\r\n\r\n", from);
      if (head_end == std::string::npos) return;
      const std::size_t length_at = message.find("Content-Length: ", from);
      const bool has_length = length_at < head_end;
      from = head_end + 4 + (has_length ? std::strtoull(message.c_str() + length_at + 16, nullptr, 10) : 0);
    } while (from < message.size());
  }

  void reply(const Step& step) {
    Line& at = line(step.connection);
    const Asked asked = at.expected.empty() ? Asked{} : at.expected.front();
    const auto answer = at.connection->read(asked.head, kReplyTime);
    ++played_.replies;
    if (!answer) {
      fail(step, "no whole reply; got: " + cut(render(at.connection->rest())));
      return;
    }
    const bool interim = answer->status_line.starts_with("HTTP/1.1 1");
    if (!interim && !at.expected.empty()) at.expected.pop();
    Shown shown = show(*answer, asked.registry_path);
    // A block that names the common fields wants to see them all.
    if (step.head.find("\nDate: ") != std::string::npos) {
      shown = {.text = answer->status_line, .complaint = ""};
      for (const auto& [name, value] : answer->headers) shown.text += '\n' + name + ": " + render(value);
    }
    if (!shown.complaint.empty()) fail(step, shown.complaint);
    const std::string actual = as_reply(shown.text, render(answer->body));
    auto same = match(as_reply(step.head, step.body), actual, variables_);
    if (!same) return fail(step, same.error().message);
    if (*same && !exact_) return;
    if (*same) {
      replies_[&step] = suggest(step, shown.text, render(answer->body));
      return;
    }
    fail(step, "the reply differs.\n--- expected\n" + as_reply(step.head, step.body) + "\n--- actual\n" + cut(actual));
    replies_[&step] = suggest(step, shown.text, render(answer->body));
  }

  /// May this text of the file stand if it fits?
  bool keeps(std::string_view text) const {
    const bool open = text.find("{{any}}") != std::string_view::npos || text.find("{{digits}}") != std::string_view::npos;
    return !text.empty() && !(exact_ && open);
  }

  /// The reply that came, with the lines of the file where they fit and variables in place of their values.
  std::string suggest(const Step& step, const std::string& head, const std::string& body) {
    std::string out;
    std::string_view left = head;
    while (!left.empty()) {
      const std::size_t end = left.find('\n');
      const std::string_view actual = left.substr(0, end);
      left = end == std::string_view::npos ? std::string_view{} : left.substr(end + 1);
      out += (out.empty() ? "" : "\n") + fitting_line(step, actual);
    }
    if (!body.empty()) {
      Variables trial = variables_;
      const bool fits = keeps(step.body) && match(step.body, body, trial).value_or(false);
      out += "\n\n" + (fits ? step.body : with_names(body));
    }
    return out;
  }

  std::string fitting_line(const Step& step, std::string_view actual) {
    std::string_view left = step.head;
    while (!left.empty()) {
      const std::size_t end = left.find('\n');
      const std::string_view expected = left.substr(0, end);
      left = end == std::string_view::npos ? std::string_view{} : left.substr(end + 1);
      if (keeps(expected) && match(expected, actual, variables_).value_or(false)) return std::string(expected);
    }
    return with_names(std::string(actual));
  }

  std::string with_names(std::string text) const {
    for (const auto& [name, value] : lets_) {
      if (value.size() < 12) continue;
      replace_all(text, render(value), "{{" + name + "}}");
      for (const char* algorithm : {"sha256", "sha512"}) {
        const std::string call = "{{" + std::string(algorithm) + " " + name + "}}";
        auto digest = expand(call, variables_);
        if (digest) replace_all(text, *digest, call);
      }
    }
    for (const auto& [name, value] : variables_) {
      if (value.size() >= 12) replace_all(text, render(value), "{{" + name + "}}");
    }
    // What is left of uuids is chance.
    for (std::size_t i = 0; i + 36 <= text.size(); ++i) {
      const std::string_view piece = std::string_view(text).substr(i, 36);
      const bool uuid = piece[8] == '-' && piece[13] == '-' && piece[18] == '-' && piece[23] == '-' &&
                        piece.find_first_not_of("0123456789abcdef-") == std::string_view::npos;
      if (uuid) text.replace(i, 36, "{{uuid}}");
    }
    return text;
  }

  std::string rewrite() const {
    std::string out;
    std::size_t next = 0;
    const auto copy_to = [&](std::size_t end) {
      for (; next < end; ++next) out += transcript_.lines[next] + '\n';
    };
    for (const Step& step : transcript_.steps) {
      const auto found = replies_.find(&step);
      if (found == replies_.end()) continue;
      copy_to(step.text_begin);
      out += found->second + '\n';
      next = step.text_end;
    }
    copy_to(transcript_.lines.size());
    return out;
  }

  std::string_view text_;
  bool exact_;
  bool tls_;
  Transcript transcript_;
  std::unique_ptr<TestServer> server_;
  std::map<std::string, Line> lines_;
  Variables variables_;
  std::vector<std::pair<std::string, std::string>> lets_;
  std::map<const Step*, std::string> replies_;
  Played played_;
};

}  // namespace

Played play(std::string_view transcript, bool exact, bool tls) { return Player(transcript, exact, tls).run(); }

}  // namespace berth::test
