// `berth client-config`: what it prints for each client, and what it refuses to print.
#include <catch2/catch.hpp>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "tests/support/certificates.h"
#include "tests/unit/cli/fake_api.h"

using namespace berth;
using namespace berth::cli;
using nlohmann::json;

namespace {

const test::Authority& authority() {
  static const test::Authority one("the house");
  return one;
}

Outcome advise(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "client-config");
  return run_as({}, arguments);
}

json files_of(std::vector<std::string> arguments) {
  arguments.insert(arguments.end(), {"-o", "json"});
  const auto done = advise(std::move(arguments));
  INFO(done.err);
  REQUIRE(done.code == kOk);
  return json::parse(done.out);
}

/// The content of the file at `path`; of several the first.
std::string content(const json& answer, const std::string& path) {
  for (const auto& file : answer["files"])
    if (file["path"] == path) return file["content"];
  return "there is no " + path;
}

std::vector<std::string> paths(const json& answer) {
  std::vector<std::string> all;
  for (const auto& file : answer["files"]) all.push_back(file["path"]);
  return all;
}

using Paths = std::vector<std::string>;

}  // namespace

TEST_CASE("each client gets the files it looks for, with the authority in them") {
  const test::Folder folder;
  const auto ca = folder.write("ca.crt", authority().certificate());
  struct Row {
    std::string client;
    Paths files;
    std::string ca_path;
    std::vector<std::string> commands;
  };
  const auto row = GENERATE(values<Row>({
      {"docker", {"/etc/docker/certs.d/r.test:5443/ca.crt"}, "/etc/docker/certs.d/r.test:5443/ca.crt", {}},
      {"podman", {"/etc/containers/certs.d/r.test:5443/ca.crt"}, "/etc/containers/certs.d/r.test:5443/ca.crt", {}},
      {"containerd",
       {"/etc/containerd/certs.d/r.test:5443/ca.crt", "/etc/containerd/certs.d/r.test:5443/hosts.toml",
        "/etc/containerd/config.toml", "/etc/containerd/config.toml"},
       "/etc/containerd/certs.d/r.test:5443/ca.crt",
       {"systemctl restart containerd"}},
      {"k3s",
       {"/etc/rancher/k3s/berth-ca.crt", "/etc/rancher/k3s/registries.yaml"},
       "/etc/rancher/k3s/berth-ca.crt",
       {"systemctl restart k3s"}},
  }));
  INFO(row.client);
  const auto answer = files_of({row.client, "--address", "https://r.test:5443/", "--ca", ca});
  CHECK(paths(answer) == row.files);
  CHECK(content(answer, row.ca_path) == authority().certificate());
  CHECK(answer["commands"].get<std::vector<std::string>>() == row.commands);
  CHECK(answer["warnings"].empty());
  CHECK(answer["reference"] == "r.test:5443/REPOSITORY:TAG");
}

TEST_CASE("containerd is told by hosts.toml where the authority is, and by config.toml where hosts.toml is") {
  const test::Folder folder;
  const auto ca = folder.write("ca.crt", authority().certificate());
  const auto answer = files_of({"containerd", "--address", "https://r.test", "--ca", ca});
  CHECK(content(answer, "/etc/containerd/certs.d/r.test/hosts.toml") ==
        "server = \"https://r.test\"\n\n[host.\"https://r.test\"]\n  capabilities = [\"pull\", \"resolve\", \"push\"]\n"
        "  ca = \"/etc/containerd/certs.d/r.test/ca.crt\"\n");
  CHECK(answer["files"][2]["content"] ==
        "[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  config_path = \"/etc/containerd/certs.d\"\n");
  CHECK(answer["files"][2]["only_for"].get<std::string>().starts_with("containerd 1.x"));
  CHECK(answer["files"][3]["content"] ==
        "[plugins.\"io.containerd.cri.v1.images\".registry]\n  config_path = \"/etc/containerd/certs.d\"\n");
  CHECK(answer["files"][3]["only_for"].get<std::string>().starts_with("containerd 2.x"));
  CHECK(answer["files"][3]["action"] == "merge");
}

TEST_CASE("k3s gets one registries.yaml") {
  const test::Folder folder;
  const auto ca = folder.write("ca.crt", authority().certificate());
  const auto answer = files_of({"k3s", "--address", "https://r.test:5443", "--ca", ca, "--mirror-of", "docker.io"});
  CHECK(content(answer, "/etc/rancher/k3s/registries.yaml") ==
        "mirrors:\n  \"r.test:5443\":\n    endpoint:\n      - \"https://r.test:5443\"\n"
        "  \"docker.io\":\n    endpoint:\n      - \"https://r.test:5443\"\n"
        "configs:\n  \"r.test:5443\":\n    tls:\n      ca_file: \"/etc/rancher/k3s/berth-ca.crt\"\n");
}

TEST_CASE("a mirror is asked first, the other registry after it") {
  CHECK(json::parse(content(files_of({"docker", "--address", "https://r.test", "--mirror-of", "docker.io"}),
                            "/etc/docker/daemon.json")) == json{{"registry-mirrors", {"https://r.test"}}});
  CHECK(content(files_of({"podman", "--address", "https://r.test", "--mirror-of", "quay.io"}),
                "/etc/containers/registries.conf.d/berth-r.test.conf") ==
        "[[registry]]\nprefix = \"quay.io\"\nlocation = \"quay.io\"\n\n[[registry.mirror]]\nlocation = \"r.test\"\n");
  const auto containerd = files_of({"containerd", "--address", "https://r.test", "--mirror-of", "docker.io"});
  CHECK(content(containerd, "/etc/containerd/certs.d/docker.io/hosts.toml") ==
        "server = \"https://registry-1.docker.io\"\n\n[host.\"https://r.test\"]\n  capabilities = [\"pull\", \"resolve\"]\n");
  CHECK(content(files_of({"containerd", "--address", "https://r.test", "--mirror-of", "quay.io"}),
                "/etc/containerd/certs.d/quay.io/hosts.toml")
            .starts_with("server = \"https://quay.io\"\n"));
}

TEST_CASE("plain HTTP is warned of when it leaves the machine, and only then") {
  const auto row = GENERATE(table<std::string, std::string, bool>({
      {"http://10.0.0.1:5000", "docker", true},
      {"http://r.test:5000", "containerd", true},
      {"http://127.0.0.1:5000", "docker", false},
      {"http://localhost:5000", "podman", false},
      {"http://[::1]:5000", "k3s", false},
      {"https://r.test", "docker", false},
  }));
  const auto& [url, client, warned] = row;
  INFO(url);
  const auto done = advise({client, "--address", url});
  CHECK(done.code == kOk);
  CHECK((done.err.find("warning: " + url + " is plain HTTP") != done.err.npos) == warned);
  CHECK(files_of({client, "--address", url})["warnings"].size() == (warned ? 1 : 0));
}

TEST_CASE("docker is told of plain HTTP beyond loopback alone") {
  CHECK(json::parse(content(files_of({"docker", "--address", "http://10.0.0.1:5000"}), "/etc/docker/daemon.json")) ==
        json{{"insecure-registries", {"10.0.0.1:5000"}}});
  CHECK(paths(files_of({"docker", "--address", "http://127.0.0.1:5000"})).empty());
  CHECK(paths(files_of({"docker", "--address", "https://r.test"})).empty());
  CHECK(content(files_of({"podman", "--address", "http://[::1]:5000"}),
                "/etc/containers/registries.conf.d/berth-___1__5000.conf") ==
        "[[registry]]\nlocation = \"[::1]:5000\"\ninsecure = true\n");
}

TEST_CASE("the port of the scheme is left out, as clients leave it out") {
  CHECK(files_of({"docker", "--address", "https://r.test:443"})["url"] == "https://r.test");
  CHECK(files_of({"docker", "--address", "http://r.test:80"})["url"] == "http://r.test");
  CHECK(files_of({"docker", "--address", "http://r.test:443"})["url"] == "http://r.test:443");
}

TEST_CASE("a private key in the file of the authority is not passed on") {
  const test::Folder folder;
  const auto own = authority().issue({});
  const auto ca = folder.write("ca.pem", own.key + authority().certificate());
  const auto answer = files_of({"docker", "--address", "https://r.test", "--ca", ca});
  CHECK(content(answer, "/etc/docker/certs.d/r.test/ca.crt") == authority().certificate());
}

TEST_CASE("without an address it is that of the settings, with the authority beside their certificate") {
  const test::Folder folder;
  const auto server = authority().issue({});
  folder.write("tls.crt", server.certificate);
  folder.write("tls.key", server.key);
  const auto settings = folder.write("berth.yaml", "public_url: https://r.test\nlisteners:\n  - {address: '127.0.0.1:5443', tls: {certificate: " +
                                                       folder.path("tls.crt") + ", key: " + folder.path("tls.key") + "}}\n");
  CHECK(paths(files_of({"docker", "--config", settings})).empty());
  folder.write("ca.crt", test::Authority("a stranger").certificate());
  CHECK(paths(files_of({"docker", "--config", settings})).empty());
  folder.write("ca.crt", authority().certificate());
  const auto answer = files_of({"docker", "--config", settings});
  CHECK(content(answer, "/etc/docker/certs.d/r.test/ca.crt") == authority().certificate());
  CHECK(files_of({"docker"})["url"] == "http://127.0.0.1:5000");
}

TEST_CASE("what cannot be a client's set-up is refused with a sentence") {
  const test::Folder folder;
  const auto ca = folder.write("ca.crt", authority().certificate());
  const auto leaf = folder.write("tls.crt", authority().issue({}).certificate);
  const auto rubbish = folder.write("rubbish", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n");
  struct Row {
    std::vector<std::string> arguments;
    std::string said;
  };
  const Row rows[] = {
      {{}, "client is required"},
      {{"rocket"}, "rocket not in"},
      {{"docker", "--address", "r.test"}, "expected a URL"},
      {{"docker", "--address", "https://r.test/v2"}, "expected a host"},
      {{"docker", "--address", "https://user@r.test"}, "expected a host"},
      {{"docker", "--address", "https://r.test\"\nx"}, "expected a host"},
      {{"docker", "--address", "https://r.test:99999"}, "expected a host"},
      {{"docker", "--address", "https://"}, "expected a URL"},
      {{"docker", "--address", "https://r.test", "--ca", folder.path("none")}, "cannot be read"},
      {{"docker", "--address", "https://r.test", "--ca", leaf}, "is no authority"},
      {{"docker", "--address", "https://r.test", "--ca", rubbish}, "cannot be read"},
      {{"docker", "--address", "https://r.test", "--ca", "/dev/null"}, "there is no certificate in it"},
      {{"docker", "--address", "http://r.test", "--ca", ca}, "--ca is for https"},
      {{"docker", "--address", "https://r.test", "--mirror-of", "quay.io"}, "docker mirrors docker.io alone"},
      {{"podman", "--address", "https://r.test", "--mirror-of", "docker.io/library"}, "expected the host"},
      {{"podman", "--address", "https://r.test", "--mirror-of", "r.test"}, "that is berth itself"},
      {{"docker", "--set", "listeners=[{address: '0.0.0.0:5000'}]", "--set", "insecure=i-know-that-anyone-can-read-and-write-this"},
       "say --address"},
  };
  for (const auto& row : rows) {
    const auto done = advise(row.arguments);
    INFO(row.said << "\n" << done.err);
    CHECK(done.code == kUsage);
    CHECK(done.out.empty());
    CHECK(done.err.find(row.said) != done.err.npos);
  }
}

TEST_CASE("people get the same in steps") {
  const auto done = advise({"containerd", "--address", "https://r.test"});
  CHECK(done.out ==
        "containerd uses https://r.test with this:\n\n"
        "1. write /etc/containerd/certs.d/r.test/hosts.toml:\n\n"
        "server = \"https://r.test\"\n\n[host.\"https://r.test\"]\n  capabilities = [\"pull\", \"resolve\", \"push\"]\n\n"
        "2. add to /etc/containerd/config.toml, with containerd 1.x (version = 2 in that file):\n\n"
        "[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  config_path = \"/etc/containerd/certs.d\"\n\n"
        "3. add to /etc/containerd/config.toml, with containerd 2.x (version = 3 in that file):\n\n"
        "[plugins.\"io.containerd.cri.v1.images\".registry]\n  config_path = \"/etc/containerd/certs.d\"\n\n"
        "4. run systemctl restart containerd\n\n"
        "- containerd is restarted once, for config_path; it looks into certs.d for each pull\n"
        "- ctr is told with --hosts-dir /etc/containerd/certs.d; nerdctl looks there by itself\n\n"
        "Then: nerdctl pull r.test/REPOSITORY:TAG\n");
  CHECK(done.err.empty());
  CHECK(advise({"docker", "--address", "https://r.test"}).out ==
        "docker needs nothing to use https://r.test, as long as its system trusts who signed the certificate; else say --ca FILE\n"
        "Then: docker pull r.test/REPOSITORY:TAG\n");
}
