// Load that no well-known tool makes: pushes of small images and of many tags, and lists walked page by page.
//
//   load images  PORT CLIENTS SECONDS [HEADER…]         config, 4 KiB layer and manifest, each new; by POST and PUT
//   load tags    PORT CLIENTS COUNT REPOSITORY          COUNT manifests, each under a tag of its own, in one repository
//   load repos   PORT CLIENTS COUNT PREFIX              COUNT repositories PREFIX/N with one small image each
//   load pages   PORT REPEATS PATH                      follows Link from PATH to its end
//   load get     PORT CLIENTS SECONDS PATH [HEADER…]    GETs of one path over kept connections; latencies
//
// One thread and one kept connection a client, on 127.0.0.1; blocking sockets; no client-side work that is not needed.
// Prints one line of JSON. Any answer but the expected one ends it with 1.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "oci/digest.h"

namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void die(const std::string& why) {
  std::fprintf(stderr, "load: %s\n", why.c_str());
  std::exit(1);
}

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

struct Answer {
  unsigned status = 0;
  std::string location;
  std::string link;
  std::string body;
};

std::string field(std::string_view head, std::string_view name) {
  for (std::size_t at = head.find("\r\n"); at != head.npos; at = head.find("\r\n", at)) {
    at += 2;
    if (head.size() - at <= name.size() || head[at + name.size()] != ':') continue;
    if (strncasecmp(head.data() + at, name.data(), name.size()) != 0) continue;
    std::size_t begin = at + name.size() + 1;
    while (begin < head.size() && head[begin] == ' ') ++begin;
    return std::string(head.substr(begin, head.find("\r\n", begin) - begin));
  }
  return {};
}

class Connection {
 public:
  Connection(int port, std::string extra) : port_(port), extra_(std::move(extra)) { open(); }
  ~Connection() { ::close(fd_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  Answer send(std::string_view method, std::string_view path, std::string_view type, std::string_view body) {
    request_.clear();
    request_.append(method).append(" ").append(path).append(" HTTP/1.1\r\nHost: 127.0.0.1:").append(std::to_string(port_));
    request_.append("\r\n").append(extra_);
    if (!type.empty()) request_.append("Content-Type: ").append(type).append("\r\n");
    if (method != "GET") request_.append("Content-Length: ").append(std::to_string(body.size())).append("\r\n");
    request_.append("\r\n").append(body);
    for (std::size_t sent = 0; sent < request_.size();) {
      const auto n = ::send(fd_, request_.data() + sent, request_.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) die("the connection broke while sending");
      sent += static_cast<std::size_t>(n);
    }
    return receive();
  }

 private:
  void open() {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port_));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) die("cannot connect");
    const int one = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  }

  void fill() {
    char piece[64 << 10];
    const auto n = ::recv(fd_, piece, sizeof piece, 0);
    if (n <= 0) die("the connection broke while receiving");
    received_.append(piece, static_cast<std::size_t>(n));
  }

  Answer receive() {
    std::size_t end;
    while ((end = received_.find("\r\n\r\n")) == std::string::npos) fill();
    const std::string head = received_.substr(0, end + 2);
    received_.erase(0, end + 4);
    Answer answer;
    answer.status = static_cast<unsigned>(std::strtoul(head.c_str() + 9, nullptr, 10));
    answer.location = field(head, "Location");
    answer.link = field(head, "Link");
    if (answer.status == 204) return answer;
    if (field(head, "Transfer-Encoding") == "chunked") {
      for (;;) {
        std::size_t line;
        while ((line = received_.find("\r\n")) == std::string::npos) fill();
        const std::size_t size = std::strtoul(received_.c_str(), nullptr, 16);
        while (received_.size() < line + 2 + size + 2) fill();
        answer.body.append(received_, line + 2, size);
        received_.erase(0, line + 2 + size + 2);
        if (size == 0) return answer;
      }
    }
    const std::size_t size = std::strtoul(field(head, "Content-Length").c_str(), nullptr, 10);
    while (received_.size() < size) fill();
    answer.body = received_.substr(0, size);
    received_.erase(0, size);
    return answer;
  }

  int port_;
  std::string extra_;
  int fd_ = -1;
  std::string request_;
  std::string received_;
};

/// The path and query of a Location, which may be absolute.
std::string path_of(const std::string& location) {
  const std::size_t scheme = location.find("://");
  return scheme == std::string::npos ? location : location.substr(location.find('/', scheme + 3));
}

void expect(const Answer& answer, unsigned status, std::string_view what) {
  if (answer.status != status) {
    die(std::string(what) + ": " + std::to_string(answer.status) + " " + answer.body.substr(0, 300));
  }
}

std::string push_blob(Connection& connection, const std::string& repository, std::string_view content) {
  const std::string digest = berth::oci::sha256(content).to_string();
  const Answer started = connection.send("POST", "/v2/" + repository + "/blobs/uploads/", "", "");
  expect(started, 202, "POST of an upload");
  std::string path = path_of(started.location);
  path += (path.find('?') == std::string::npos ? "?digest=" : "&digest=") + digest;
  expect(connection.send("PUT", path, "application/octet-stream", content), 201, "PUT of a blob");
  return digest;
}

std::string manifest(const std::string& config, std::size_t config_size, const std::string& layer, std::size_t layer_size,
                     const std::string& note) {
  return R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":)"
         R"("application/vnd.oci.image.config.v1+json","digest":")" + config + R"(","size":)" +
         std::to_string(config_size) + R"(},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":")" +
         layer + R"(","size":)" + std::to_string(layer_size) + R"(}],"annotations":{"note":")" + note + R"("}})";
}

void push_manifest(Connection& connection, const std::string& repository, const std::string& tag, const std::string& body) {
  const auto answer = connection.send("PUT", "/v2/" + repository + "/manifests/" + tag,
                                      "application/vnd.oci.image.manifest.v1+json", body);
  expect(answer, 201, "PUT of a manifest");
}

void run_clients(int clients, const std::function<void(int)>& work) {
  std::vector<std::thread> threads;
  for (int n = 0; n < clients; ++n) threads.emplace_back(work, n);
  for (std::thread& thread : threads) thread.join();
}

void report(const char* unit, std::size_t done, double seconds, std::vector<double>& latencies_ms) {
  std::sort(latencies_ms.begin(), latencies_ms.end());
  const auto at = [&](double share) {
    return latencies_ms.empty() ? 0.0 : latencies_ms[std::min(latencies_ms.size() - 1,
                                                              static_cast<std::size_t>(share * static_cast<double>(latencies_ms.size())))];
  };
  std::printf("{\"%s\": %zu, \"seconds\": %.4f, \"per_second\": %.1f, \"p50_ms\": %.4f, \"p99_ms\": %.4f}\n", unit, done, seconds,
              static_cast<double>(done) / seconds, at(0.5), at(0.99));
}

/// What every client measured, together.
std::vector<double> joined(const std::vector<std::vector<double>>& parts) {
  std::vector<double> all;
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

void images(int port, int clients, double seconds, const std::string& extra) {
  std::vector<std::vector<double>> latencies(static_cast<std::size_t>(clients));
  const std::string seed = std::to_string(std::random_device{}());
  const auto begin = Clock::now();
  run_clients(clients, [&](int n) {
    Connection connection(port, extra);
    const std::string repository = "bench/images" + std::to_string(n);
    std::mt19937_64 random(std::random_device{}());
    for (std::size_t i = 0; seconds_since(begin) < seconds; ++i) {
      std::string layer(4096, '\0');
      for (std::size_t at = 0; at < layer.size(); at += 8) {
        const std::uint64_t word = random();
        std::memcpy(layer.data() + at, &word, 8);
      }
      const std::string name = seed + "-" + std::to_string(n) + "-" + std::to_string(i);
      const std::string config = R"({"architecture":"amd64","os":"linux","note":")" + name + "\"}";
      const auto started = Clock::now();
      const std::string config_digest = push_blob(connection, repository, config);
      const std::string layer_digest = push_blob(connection, repository, layer);
      push_manifest(connection, repository, "t" + std::to_string(i), manifest(config_digest, config.size(), layer_digest, layer.size(), name));
      latencies[static_cast<std::size_t>(n)].push_back(seconds_since(started) * 1000);
    }
  });
  auto all = joined(latencies);
  report("images", all.size(), seconds_since(begin), all);
}

void tags(int port, int clients, std::size_t count, const std::string& repository) {
  Connection first(port, "");
  const std::string config = "{}", layer(4096, 'x');
  const std::string config_digest = push_blob(first, repository, config), layer_digest = push_blob(first, repository, layer);
  std::atomic<std::size_t> next{0};
  std::vector<std::vector<double>> latencies(static_cast<std::size_t>(clients));
  const auto begin = Clock::now();
  run_clients(clients, [&](int n) {
    Connection connection(port, "");
    for (std::size_t i; (i = next.fetch_add(1)) < count;) {
      const auto started = Clock::now();
      push_manifest(connection, repository, "v" + std::to_string(i),
                    manifest(config_digest, config.size(), layer_digest, layer.size(), std::to_string(i)));
      latencies[static_cast<std::size_t>(n)].push_back(seconds_since(started) * 1000);
    }
  });
  auto all = joined(latencies);
  report("tags", all.size(), seconds_since(begin), all);
}

void repositories(int port, int clients, std::size_t count, const std::string& prefix) {
  std::atomic<std::size_t> next{0};
  const auto begin = Clock::now();
  run_clients(clients, [&](int) {
    Connection connection(port, "");
    const std::string config = "{}", layer(512, 'y');
    for (std::size_t i; (i = next.fetch_add(1)) < count;) {
      const std::string repository = prefix + "/" + std::to_string(i);
      const std::string config_digest = push_blob(connection, repository, config);
      const std::string layer_digest = push_blob(connection, repository, layer);
      push_manifest(connection, repository, "latest", manifest(config_digest, config.size(), layer_digest, layer.size(), "r"));
    }
  });
  std::vector<double> none;
  report("repositories", count, seconds_since(begin), none);
}

void pages(int port, std::size_t repeats, const std::string& start) {
  Connection connection(port, "");
  std::vector<double> first_ms, all_ms;
  std::size_t count = 0;
  for (std::size_t i = 0; i < repeats; ++i) {
    const auto begin = Clock::now();
    std::string path = start;
    for (count = 0; !path.empty(); ++count) {
      const Answer answer = connection.send("GET", path, "", "");
      expect(answer, 200, path);
      if (count == 0) first_ms.push_back(seconds_since(begin) * 1000);
      const std::size_t open = answer.link.find('<'), close = answer.link.find('>');
      path = open == std::string::npos ? "" : path_of(answer.link.substr(open + 1, close - open - 1));
      // A peer answers a relative reference.
      if (!path.empty() && path[0] != '/') path = start.substr(0, start.find('?')) + path.substr(path.find('?'));
    }
    all_ms.push_back(seconds_since(begin) * 1000);
  }
  std::sort(first_ms.begin(), first_ms.end());
  std::sort(all_ms.begin(), all_ms.end());
  std::printf("{\"pages\": %zu, \"first_ms\": %.4f, \"all_ms\": %.4f}\n", count, first_ms[repeats / 2], all_ms[repeats / 2]);
}

void get(int port, int clients, double seconds, const std::string& path, const std::string& extra) {
  std::vector<std::vector<double>> latencies(static_cast<std::size_t>(clients));
  const auto begin = Clock::now();
  run_clients(clients, [&](int n) {
    Connection connection(port, extra);
    while (seconds_since(begin) < seconds) {
      const auto started = Clock::now();
      expect(connection.send("GET", path, "", ""), 200, path);
      latencies[static_cast<std::size_t>(n)].push_back(seconds_since(started) * 1000);
    }
  });
  auto all = joined(latencies);
  report("requests", all.size(), seconds_since(begin), all);
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  const auto number = [&](std::size_t at) { return std::strtod(words.at(at).c_str(), nullptr); };
  const auto headers_from = [&](std::size_t at) {
    std::string out;
    for (; at < words.size(); ++at) out += words[at] + "\r\n";
    return out;
  };
  if (words.size() < 4) die("images|tags|repos|pages|get PORT …; see the head of load.cpp");
  const int port = static_cast<int>(number(1));
  if (words[0] == "images") {
    images(port, static_cast<int>(number(2)), number(3), headers_from(4));
  } else if (words[0] == "tags" && words.size() == 5) {
    tags(port, static_cast<int>(number(2)), static_cast<std::size_t>(number(3)), words[4]);
  } else if (words[0] == "repos" && words.size() == 5) {
    repositories(port, static_cast<int>(number(2)), static_cast<std::size_t>(number(3)), words[4]);
  } else if (words[0] == "pages") {
    pages(port, static_cast<std::size_t>(number(2)), words[3]);
  } else if (words[0] == "get" && words.size() >= 5) {
    get(port, static_cast<int>(number(2)), number(3), words[4], headers_from(5));
  } else {
    die("images|tags|repos|pages|get PORT …; see the head of load.cpp");
  }
  return 0;
}
