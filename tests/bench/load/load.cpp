// Load that no well-known tool makes: pushes of small images and of many tags, lists walked page by page, a small GET
// beside large streams, connections that do nothing, TLS handshakes that are resumed.
//
//   load images     PORT CLIENTS SECONDS [HEADER…]      config, 4 KiB layer and manifest, each new; by POST and PUT
//   load tags       PORT CLIENTS COUNT REPOSITORY       COUNT manifests, each under a tag of its own, in one repository
//   load repos      PORT CLIENTS COUNT PREFIX           COUNT repositories PREFIX/N with one small image each
//   load pages      PORT REPEATS PATH                   follows Link from PATH to its end
//   load get        PORT CLIENTS SECONDS PATH [HEADER…] GETs of one path over kept connections; latencies
//   load streams    PORT SECONDS SMALL LARGE TO MIB     GETs of SMALL alone, then beside 2 pulls of LARGE and 2 pushes
//   of
//                                                       MIB each TO a repository or, when it begins with /, a folder
//   load idle       PORT COUNT PATH                     keeps COUNT connections that asked once, until its input ends
//   load handshakes PORT CLIENTS SECONDS full|resumed PATH   TLS 1.3 connections with one GET each
//
// One thread and one kept connection a client, on 127.0.0.1; blocking sockets; no client-side work that is not needed.
// Prints one line of JSON. Any answer but the expected one ends it with 1.
#include "tests/bench/load/load.h"

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "oci/digest.h"

namespace load {
namespace {

std::string push_blob(Connection& connection, const std::string& repository, std::string_view content) {
  const std::string digest = berth::oci::sha256(content).to_string();
  const std::string path = begin_upload(connection, repository) + "digest=" + digest;
  expect(connection.send("PUT", path, "application/octet-stream", content), 201, "PUT of a blob");
  return digest;
}

std::string manifest(const std::string& config, std::size_t config_size, const std::string& layer,
                     std::size_t layer_size, const std::string& note) {
  return R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":)"
         R"("application/vnd.oci.image.config.v1+json","digest":")" +
         config + R"(","size":)" + std::to_string(config_size) +
         R"(},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":")" + layer + R"(","size":)" +
         std::to_string(layer_size) + R"(}],"annotations":{"note":")" + note + R"("}})";
}

void push_manifest(Connection& connection, const std::string& repository, const std::string& tag,
                   const std::string& body) {
  const auto answer = connection.send("PUT", "/v2/" + repository + "/manifests/" + tag,
                                      "application/vnd.oci.image.manifest.v1+json", body);
  expect(answer, 201, "PUT of a manifest");
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
      push_manifest(connection, repository, "t" + std::to_string(i),
                    manifest(config_digest, config.size(), layer_digest, layer.size(), name));
      latencies[static_cast<std::size_t>(n)].push_back(seconds_since(started) * 1000);
    }
  });
  auto all = joined(latencies);
  report("images", all.size(), seconds_since(begin), all);
}

void tags(int port, int clients, std::size_t count, const std::string& repository) {
  Connection first(port, "");
  const std::string config = "{}", layer(4096, 'x');
  const std::string config_digest = push_blob(first, repository, config),
                    layer_digest = push_blob(first, repository, layer);
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
      push_manifest(connection, repository, "latest",
                    manifest(config_digest, config.size(), layer_digest, layer.size(), "r"));
    }
  });
  std::vector<double> none;
  report("repositories", count, seconds_since(begin), none);
}

void pages(int port, std::size_t repeats, const std::string& start) {
  Connection connection(port, "");
  std::vector<double> first_ms, all_ms, page_ms;
  std::size_t count = 0;
  for (std::size_t i = 0; i < repeats; ++i) {
    const auto begin = Clock::now();
    std::string path = start;
    for (count = 0; !path.empty(); ++count) {
      const auto asked = Clock::now();
      const Answer answer = connection.send("GET", path, "", "");
      expect(answer, 200, path);
      page_ms.push_back(seconds_since(asked) * 1000);
      if (count == 0) first_ms.push_back(page_ms.back());
      const std::size_t open = answer.link.find('<'), close = answer.link.find('>');
      path = open == std::string::npos ? "" : path_of(answer.link.substr(open + 1, close - open - 1));
      // A peer answers a relative reference.
      if (!path.empty() && path[0] != '/') path = start.substr(0, start.find('?')) + path.substr(path.find('?'));
    }
    all_ms.push_back(seconds_since(begin) * 1000);
  }
  std::printf("{\"pages\": %zu, \"first_ms\": %.4f, \"all_ms\": %.4f, \"page_p50_ms\": %.4f, \"page_p99_ms\": %.4f}\n",
              count, percentile(first_ms, 0.5), percentile(all_ms, 0.5), percentile(page_ms, 0.5),
              percentile(page_ms, 0.99));
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

void idle(int port, std::size_t count, const std::string& path) {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  std::vector<std::unique_ptr<Connection>> connections;
  for (std::size_t n = 0; n < count; ++n) {
    connections.push_back(std::make_unique<Connection>(port, ""));
    expect(connections.back()->send("GET", path, "", ""), 200, path);
  }
  std::printf("{\"connections\": %zu}\n", count);
  std::fflush(stdout);
  while (std::getchar() != EOF) continue;
}

}  // namespace
}  // namespace load

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  const auto number = [&](std::size_t at) { return std::strtod(words.at(at).c_str(), nullptr); };
  const auto headers_from = [&](std::size_t at) {
    std::string out;
    for (; at < words.size(); ++at) out += words[at] + "\r\n";
    return out;
  };
  const auto usage = [] { load::die("see the head of load.cpp for what to say"); };
  if (words.size() < 4) usage();
  const int port = static_cast<int>(number(1));
  if (words[0] == "images") {
    load::images(port, static_cast<int>(number(2)), number(3), headers_from(4));
  } else if (words[0] == "tags" && words.size() == 5) {
    load::tags(port, static_cast<int>(number(2)), static_cast<std::size_t>(number(3)), words[4]);
  } else if (words[0] == "repos" && words.size() == 5) {
    load::repositories(port, static_cast<int>(number(2)), static_cast<std::size_t>(number(3)), words[4]);
  } else if (words[0] == "pages") {
    load::pages(port, static_cast<std::size_t>(number(2)), words[3]);
  } else if (words[0] == "get" && words.size() >= 5) {
    load::get(port, static_cast<int>(number(2)), number(3), words[4], headers_from(5));
  } else if (words[0] == "streams" && words.size() == 7) {
    const auto bytes = static_cast<std::size_t>(number(6)) << 20;
    load::streams({.port = port,
                   .seconds = number(2),
                   .small_path = words[3],
                   .large_path = words[4],
                   .push_to = words[5],
                   .push_bytes = bytes});
  } else if (words[0] == "idle") {
    load::idle(port, static_cast<std::size_t>(number(2)), words[3]);
  } else if (words[0] == "handshakes" && words.size() == 6) {
    load::handshakes(port, static_cast<int>(number(2)), number(3), words[4] == "resumed", words[5]);
  } else {
    usage();
  }
  return 0;
}
