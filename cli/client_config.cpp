#include "cli/client_config.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <ostream>
#include <vector>

#include "cli/answers.h"
#include "cli/openssl.h"
#include "cli/table.h"

namespace berth::cli {
namespace {

using json = nlohmann::ordered_json;
namespace fs = std::filesystem;

/// The registry as its clients see it. All texts were checked: nothing in them means anything to TOML, YAML or a shell.
struct Target {
  std::string url;     ///< "https://registry.example.com:5443"
  std::string host;    ///< "registry.example.com:5443", as it stands in a reference
  bool tls = true;
  bool loopback = false;
  std::string ca;         ///< PEM; empty: the client's system knows the authority
  std::string mirror_of;  ///< "docker.io"; empty: none
};

struct File {
  std::string path;
  std::string content;
  bool merge = false;        ///< one that may be there already, with other things in it
  std::string only_for = {}; ///< "containerd 1.x"; empty: all
};

struct Advice {
  std::vector<File> files;
  std::vector<std::string> commands;
  std::vector<std::string> notes;
  std::vector<std::string> warnings;
};

Error wrong(std::string what) { return make_error(ErrorCode::request_invalid, std::move(what)); }

bool is_host(std::string_view text) {
  if (text.starts_with('[')) {
    const auto end = text.find(']');
    return end != text.npos && end + 1 == text.size() && end > 2 &&
           text.substr(1, end - 1).find_first_not_of("0123456789abcdefABCDEF:.") == text.npos;
  }
  return !text.empty() && text.front() != '-' && text.front() != '.' &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") == text.npos;
}

/// "host" and ":port", or an empty host when it is neither.
std::pair<std::string, std::string> split_port(const std::string& text) {
  const auto bracket = text.rfind(']');
  const auto colon = text.find(':', bracket == text.npos ? 0 : bracket);
  const std::string host = text.substr(0, colon), port = colon == text.npos ? "" : text.substr(colon);
  const bool number = port.empty() || (port.size() > 1 && port.size() <= 6 &&
                                       port.find_first_not_of("0123456789", 1) == port.npos && std::stoul(port.substr(1)) < 65536);
  if (!is_host(host) || !number) return {};
  return {host, port};
}

Result<Target> parse_target(std::string url) {
  while (url.ends_with('/')) url.pop_back();
  Target target;
  target.tls = url.starts_with("https://");
  if (!target.tls && !url.starts_with("http://"))
    return wrong(fmt::format("--address {}: expected a URL, as https://registry.example.com", url));
  auto [host, port] = split_port(url.substr(target.tls ? 8 : 7));
  if (host.empty())
    return wrong(fmt::format("--address {}: expected a host and at most a port after the scheme, as "
                             "https://registry.example.com:5443",
                             url));
  if (port == (target.tls ? ":443" : ":80")) port.clear();  // clients leave it out, and look for files without it
  target.host = host + port;
  target.url = fmt::format("{}://{}", target.tls ? "https" : "http", target.host);
  const std::string bare = host.starts_with('[') ? host.substr(1, host.size() - 2) : host;
  target.loopback = config::is_loopback(bare);
  return target;
}

Result<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file.is_open() || file.bad()) return wrong(fmt::format("{} cannot be read", path));
  return text;
}

/// The certificates of a file and nothing else: a key that somebody keeps in the same file stays there.
Result<std::string> read_authority(const std::string& path) {
  BERTH_TRY(const auto text, read_file(path));
  auto certificates = parse_certificates(text);
  if (!certificates) return wrong(fmt::format("--ca {}: {}", path, certificates.error().message));
  std::string pem;
  for (const auto& certificate : *certificates) {
    if (X509_check_ca(certificate.get()) == 0 && !signed_by(certificate, certificate))
      return wrong(fmt::format("--ca {}: {} is no authority: it may sign no other certificate; expected the certificate of "
                               "who signed the server's, as ca.crt of `berth certs dev`",
                               path, subject_of(*certificate)));
    pem += pem_of(*certificate);
  }
  return pem;
}

/// The authority that `berth certs dev` and cert-manager leave beside the certificate; empty: none, or of another.
std::string authority_beside(const std::string& certificate_path) {
  const auto path = (fs::path(certificate_path).parent_path() / "ca.crt").string();
  const auto text = read_file(path);
  if (!text) return {};
  const auto server = read_file(certificate_path);
  if (!server) return {};
  const auto authorities = parse_certificates(*text);
  if (!authorities) return {};
  const auto chain = parse_certificates(*server);
  if (!chain || !signed_by(chain->back(), authorities->front())) return {};
  return path;
}

/// From the settings of a server on this machine.
Result<Target> target_of(const config::Sources& sources, std::string& ca_file) {
  auto settings = config::load(sources);
  if (!settings) return wrong(settings.error().message);
  const auto& listeners = settings->listeners;
  const auto found = std::find_if(listeners.begin(), listeners.end(), [](const config::ListenerSettings& one) {
    return std::find(one.serve.begin(), one.serve.end(), "registry") != one.serve.end();
  });
  if (found == listeners.end()) return wrong("no listener of the settings serves the registry");
  if (ca_file.empty() && found->tls.on) ca_file = authority_beside(found->tls.certificate.front());
  if (!settings->public_url.empty()) return parse_target(settings->public_url);
  const auto address = config::parse_host_port(found->address);
  if (!address || address->port == 0 || address->host == "0.0.0.0" || address->host == "::")
    return wrong(fmt::format("the settings say {} and no public_url; say --address, as https://registry.example.com, as its "
                             "clients call it",
                             found->address));
  return parse_target((found->tls.on ? "https://" : "http://") + found->address);
}

void warn_of_plain_http(const Target& target, Advice& advice) {
  if (target.tls || target.loopback) return;
  advice.warnings.push_back(
      fmt::format("{} is plain HTTP: whoever is on the way reads passwords and can change images unnoticed. Give berth a "
                  "certificate instead (`berth certs dev` makes one, `listeners[].tls` uses it)",
                  target.url));
}

void explain_mirror(const Target& target, Advice& advice) {
  if (target.mirror_of.empty()) return;
  advice.notes.push_back(fmt::format("what berth has under the same name is taken from there, the rest from {0}{1}",
                                     target.mirror_of,
                                     target.mirror_of == "docker.io" ? "; its `debian` is `library/debian` in berth" : ""));
  advice.notes.push_back(fmt::format("whoever may push such a name to berth decides what runs here under the name of {}",
                                     target.mirror_of));
}

Result<Advice> for_docker(const Target& target) {
  Advice advice;
  if (!target.mirror_of.empty() && target.mirror_of != "docker.io")
    return wrong(fmt::format("--mirror-of {}: docker mirrors docker.io alone; containerd, podman and k3s mirror any registry",
                             target.mirror_of));
  if (!target.ca.empty())
    advice.files.push_back({fmt::format("/etc/docker/certs.d/{}/ca.crt", target.host), target.ca});
  json daemon = json::object();
  // Docker takes plain HTTP from 127.0.0.0/8 by itself.
  if (!target.tls && !target.loopback) daemon["insecure-registries"] = {target.host};
  if (!target.mirror_of.empty()) daemon["registry-mirrors"] = {target.url};
  if (!daemon.empty()) {
    advice.files.push_back({"/etc/docker/daemon.json", daemon.dump(2) + "\n", true});
    advice.commands = {"systemctl reload docker"};
  }
  if (!target.ca.empty()) advice.notes.emplace_back("docker looks into certs.d for each pull and push");
  if (!target.mirror_of.empty())
    advice.notes.emplace_back("docker asks a mirror without a login: berth must let anybody pull, as auth.anonymous says");
  return advice;
}

std::string hosts_toml(const Target& target, const std::string& server, const std::string& capabilities,
                       const std::string& ca_path) {
  return fmt::format("server = \"{}\"\n\n[host.\"{}\"]\n  capabilities = [{}]\n{}", server, target.url, capabilities,
                     ca_path.empty() ? "" : fmt::format("  ca = \"{}\"\n", ca_path));
}

Result<Advice> for_containerd(const Target& target) {
  constexpr std::string_view kFolder = "/etc/containerd/certs.d";
  Advice advice;
  const std::string own = fmt::format("{}/{}", kFolder, target.host);
  const std::string ca_path = target.ca.empty() ? "" : own + "/ca.crt";
  if (!target.ca.empty()) advice.files.push_back({ca_path, target.ca});
  advice.files.push_back({own + "/hosts.toml", hosts_toml(target, target.url, R"("pull", "resolve", "push")", ca_path)});
  if (!target.mirror_of.empty()) {
    const std::string upstream = target.mirror_of == "docker.io" ? "registry-1.docker.io" : target.mirror_of;
    advice.files.push_back({fmt::format("{}/{}/hosts.toml", kFolder, target.mirror_of),
                            hosts_toml(target, "https://" + upstream, R"("pull", "resolve")", ca_path)});
  }
  const auto config_path = [&](std::string_view plugin) {
    return fmt::format("[plugins.\"{}\".registry]\n  config_path = \"{}\"\n", plugin, kFolder);
  };
  advice.files.push_back({"/etc/containerd/config.toml", config_path("io.containerd.grpc.v1.cri"), true,
                          "containerd 1.x (version = 2 in that file)"});
  advice.files.push_back({"/etc/containerd/config.toml", config_path("io.containerd.cri.v1.images"), true,
                          "containerd 2.x (version = 3 in that file)"});
  advice.commands = {"systemctl restart containerd"};
  advice.notes = {"containerd is restarted once, for config_path; it looks into certs.d for each pull",
                  "ctr is told with --hosts-dir /etc/containerd/certs.d; nerdctl looks there by itself"};
  return advice;
}

Result<Advice> for_podman(const Target& target) {
  Advice advice;
  if (!target.ca.empty())
    advice.files.push_back({fmt::format("/etc/containers/certs.d/{}/ca.crt", target.host), target.ca});
  std::string registries;
  if (!target.tls) registries += fmt::format("[[registry]]\nlocation = \"{}\"\ninsecure = true\n", target.host);
  if (!target.mirror_of.empty())
    registries += fmt::format("{0}[[registry]]\nprefix = \"{1}\"\nlocation = \"{1}\"\n\n[[registry.mirror]]\nlocation = "
                              "\"{2}\"\n{3}",
                              registries.empty() ? "" : "\n", target.mirror_of, target.host,
                              target.tls ? "" : "insecure = true\n");
  if (!registries.empty()) {
    std::string name = target.host;
    std::replace_if(name.begin(), name.end(), [](char c) { return c == ':' || c == '[' || c == ']'; }, '_');
    advice.files.push_back({fmt::format("/etc/containers/registries.conf.d/berth-{}.conf", name), registries});
  }
  if (!advice.files.empty())
    advice.notes.emplace_back("skopeo, buildah and CRI-O read the same files; nothing but CRI-O is restarted");
  return advice;
}

Result<Advice> for_k3s(const Target& target) {
  Advice advice;
  const std::string ca_path = "/etc/rancher/k3s/berth-ca.crt";
  if (!target.ca.empty()) advice.files.push_back({ca_path, target.ca});
  std::string yaml = fmt::format("mirrors:\n  \"{0}\":\n    endpoint:\n      - \"{1}\"\n", target.host, target.url);
  if (!target.mirror_of.empty())
    yaml += fmt::format("  \"{}\":\n    endpoint:\n      - \"{}\"\n", target.mirror_of, target.url);
  if (!target.ca.empty())
    yaml += fmt::format("configs:\n  \"{}\":\n    tls:\n      ca_file: \"{}\"\n", target.host, ca_path);
  advice.files.push_back({"/etc/rancher/k3s/registries.yaml", yaml, true});
  advice.commands = {"systemctl restart k3s"};
  advice.notes = {"each node needs this; on one that is no server the unit is k3s-agent"};
  return advice;
}

struct Client {
  std::string_view name;
  Result<Advice> (*advise)(const Target&);
  std::string_view pull;  ///< before the reference
};

constexpr Client kClients[] = {{"docker", for_docker, "docker pull"},
                               {"containerd", for_containerd, "nerdctl pull"},
                               {"podman", for_podman, "podman pull"},
                               {"k3s", for_k3s, "k3s crictl pull"}};

void print_text(const Client& client, const Target& target, const Advice& advice, std::ostream& out) {
  if (advice.files.empty()) {
    out << fmt::format("{} needs nothing to use {}{}\n", client.name, target.url,
                       target.tls ? ", as long as its system trusts who signed the certificate; else say --ca FILE"
                                  : ": it is this machine");
  } else {
    out << fmt::format("{} uses {} with this:\n\n", client.name, target.url);
  }
  int step = 0;
  for (const auto& file : advice.files) {
    out << fmt::format("{}. {}{}{}:\n\n{}\n", ++step, file.merge ? "add to " : "write ", file.path,
                       file.only_for.empty() ? "" : ", with " + file.only_for, file.content);
  }
  for (const auto& command : advice.commands) out << fmt::format("{}. run {}\n\n", ++step, command);
  for (const auto& note : advice.notes) out << "- " << note << '\n';
  out << fmt::format("{}Then: {} {}/REPOSITORY:TAG\n", advice.notes.empty() ? "" : "\n", client.pull, target.host);
}

json to_json(const Client& client, const Target& target, const Advice& advice) {
  json files = json::array();
  for (const auto& file : advice.files) {
    json one = {{"path", file.path}, {"action", file.merge ? "merge" : "write"}, {"content", file.content}};
    if (!file.only_for.empty()) one["only_for"] = file.only_for;
    files.push_back(std::move(one));
  }
  return {{"client", client.name},       {"url", target.url},         {"reference", target.host + "/REPOSITORY:TAG"},
          {"files", std::move(files)},   {"commands", advice.commands}, {"notes", advice.notes},
          {"warnings", advice.warnings}};
}

Result<Target> find_target(const ClientConfigCall& call) {
  std::string ca_file = call.ca_file;
  BERTH_TRY(auto target, call.address.empty() ? target_of(call.sources, ca_file) : parse_target(call.address));
  if (!ca_file.empty()) {
    if (!target.tls) {
      if (!call.ca_file.empty()) return wrong(fmt::format("--ca is for https; {} has no certificate to check", target.url));
    } else {
      BERTH_TRY(target.ca, read_authority(ca_file));
    }
  }
  if (!call.mirror_of.empty() && split_port(call.mirror_of).first.empty())
    return wrong(fmt::format("--mirror-of {}: expected the host of a registry, as docker.io", call.mirror_of));
  target.mirror_of = call.mirror_of;
  if (target.mirror_of == target.host) return wrong(fmt::format("--mirror-of {}: that is berth itself", call.mirror_of));
  return target;
}

}  // namespace

int client_config(const ClientConfigCall& call, const Program& program) {
  const auto client = std::find_if(std::begin(kClients), std::end(kClients), [&](const Client& one) { return one.name == call.client; });
  if (client == std::end(kClients)) return usage(call.client + ": expected docker, containerd, podman or k3s", program);
  auto target = find_target(call);
  if (!target) {
    program.err << "berth: " << target.error().message << '\n';
    return kUsage;
  }
  auto advice = client->advise(*target);
  if (!advice) return usage(advice.error().message, program);
  warn_of_plain_http(*target, *advice);
  explain_mirror(*target, *advice);
  for (const auto& warning : advice->warnings) program.err << "berth: warning: " << warning << '\n';
  if (call.output == Output::json)
    print_json(program.out, to_json(*client, *target, *advice));
  else
    print_text(*client, *target, *advice, program.out);
  return kOk;
}

}  // namespace berth::cli
