// Reads file, environment and flags over the defaults, each source whole, and gathers every problem on the way.
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <set>

#include "config/keys.h"
#include "config/merge.h"
#include "config/yaml.h"

namespace berth::config {

std::string Spot::exact() const { return line == 0 ? source : fmt::format("{}:{}:{}", source, line, column); }
std::string Spot::brief() const { return line == 0 ? source : fmt::format("{}:{}", source, line); }

namespace {

constexpr std::size_t kProblemsMax = 100;
constexpr std::size_t kValueBytesMax = 64 << 10;

/// Not much more than `kFileBytesMax` bytes, so that the parser sees that there are too many. Errors: a sentence.
Result<std::string> read_file(const std::string& path) {
  auto failed = [&](int error) {
    return make_error(ErrorCode::request_invalid, fmt::format("{}: cannot be read: {}", path, std::strerror(error)));
  };
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "re"), &std::fclose);
  if (!file) return failed(errno);
  std::string text;
  char piece[4096];
  while (text.size() <= kFileBytesMax) {
    std::size_t size = std::fread(piece, 1, sizeof piece, file.get());
    text.append(piece, size);
    if (size < sizeof piece) break;
  }
  if (std::ferror(file.get())) return failed(errno);
  return text;
}

/// A name as it may be shown: no control characters, bounded.
std::string shown(std::string_view name) {
  std::string text(name.substr(0, 80));
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return text;
}

/// "; did you mean x?" when something near exists.
std::string suggestion(std::string_view name, std::span<const std::string_view> candidates) {
  std::string_view near = closest(name, candidates);
  return near.empty() ? "" : fmt::format("; did you mean {}?", near);
}

class Merger {
 public:
  explicit Merger(const Sources& sources) : sources_(sources) {}

  Merged run() {
    if (sources_.file) read_configuration(*sources_.file);
    read_environment();
    for (const auto& [path, text] : sources_.flags) read_pair({"command line"}, path, text);
    check_together();
    return std::move(merged_);
  }

 private:
  void problem(const Spot& spot, std::string_view key, std::string_view what) {
    if (merged_.problems.size() > kProblemsMax) return;
    if (merged_.problems.size() == kProblemsMax) {
      merged_.problems.emplace_back("more problems follow");
      return;
    }
    merged_.problems.push_back(key.empty() ? fmt::format("{}: {}", spot.exact(), what)
                                           : fmt::format("{}: {}: {}", spot.exact(), key, what));
  }

  static Spot at(const Spot& source, const Node& node) {
    // Only a file has lines that mean something to its reader.
    return source.line < 0 ? Spot{source.source, node.line, node.column} : source;
  }

  void read_configuration(const std::string& path) {
    auto text = read_file(path);
    if (!text) {
      merged_.problems.push_back(text.error().message);
      return;
    }
    auto root = parse_yaml(*text);
    if (!root) {
      merged_.problems.push_back(fmt::format("{}:{}", path, root.error().message));
      return;
    }
    Spot file{path, -1, 0};
    if (root->kind == Node::Kind::null) return;
    if (root->kind != Node::Kind::map) return problem(at(file, *root), "", "is not a map; expected keys and values");
    for_each_entry(file, "", *root, [&](const Node& name, const Node& value) { read_top(file, name, value); });
  }

  /// Calls `visit` for each entry of a map, reporting keys that are no text or stand there twice.
  template <class Visit>
  void for_each_entry(const Spot& source, std::string_view prefix, const Node& map, Visit visit) {
    std::map<std::string, int> lines;
    for (std::size_t i = 0; i + 1 < map.items.size(); i += 2) {
      const Node& name = map.items[i];
      if (name.kind != Node::Kind::scalar) {
        problem(at(source, name), "", "a key that is not text; expected a name");
        continue;
      }
      auto [first, fresh] = lines.emplace(name.text, name.line);
      if (fresh)
        visit(name, map.items[i + 1]);
      else
        problem(at(source, name), std::string(prefix) + shown(name.text),
                fmt::format("stands there twice; the first is on line {}", first->second));
    }
  }

  void read_top(const Spot& source, const Node& name, const Node& value) {
    if (name.text == kListeners) return read_listeners(source, value, at(source, name));
    bool is_section = false;
    for (const Key& key : keys()) {
      if (key.path == name.text && section_of(key.path).empty()) return read_scalar(source, key, name, value);
      is_section |= !key.listener_slot && section_of(key.path) == name.text && !name.text.empty();
    }
    if (!is_section) return unknown(at(source, name), "", name.text);
    if (value.kind == Node::Kind::null) return;  // a section whose lines are all comments
    if (value.kind != Node::Kind::map)
      return problem(at(source, value), shown(name.text), "is not a map; expected keys and values below it");
    std::string prefix = name.text + ".";
    for_each_entry(source, prefix, value, [&](const Node& leaf, const Node& inner) {
      for (const Key& key : keys())
        if (key.path == prefix + leaf.text) return read_scalar(source, key, leaf, inner);
      unknown(at(source, leaf), prefix, leaf.text);
    });
  }

  void read_scalar(const Spot& source, const Key& key, const Node& name, const Node& value) {
    // yaml-cpp places a value that is not there at whatever comes next.
    Spot spot = at(source, value.kind == Node::Kind::null ? name : value);
    merged_.origins[std::string(key.path)] = at(source, name);
    if (value.kind != Node::Kind::scalar)
      return problem(spot, key.path, fmt::format("has no single value; expected {}", expectation(key)));
    auto assigned = assign(key, key.slot(merged_.settings), value.text);
    if (!assigned) problem(spot, key.path, assigned.error().message);
  }

  void unknown(const Spot& spot, std::string_view prefix, std::string_view name) {
    std::vector<std::string_view> siblings;
    for (const Key& key : keys()) {
      bool listener = prefix.starts_with(kListenerPrefix);
      if (listener != (key.listener_slot != nullptr)) continue;
      std::string_view candidate = prefix.empty() ? (section_of(key.path).empty() ? key.path : section_of(key.path))
                                   : key.path.starts_with(prefix) ? key.path.substr(prefix.size())
                                                                  : std::string_view{};
      candidate = candidate.substr(0, candidate.find('.'));
      if (!candidate.empty() && (siblings.empty() || siblings.back() != candidate)) siblings.push_back(candidate);
    }
    if (prefix.empty()) siblings.push_back(kListeners);
    std::string hint = suggestion(name, siblings);
    // Right name, wrong place.
    for (const Key& key : keys())
      if (key.slot && leaf_of(key.path) == name && std::string(section_of(key.path)) + "." != prefix)
        hint = fmt::format("; did you mean {}?", key.path);
    problem(spot, std::string(prefix) + shown(name),
            fmt::format("unknown key; expected {}{}", fmt::join(siblings, ", "), hint));
  }

  void read_listeners(const Spot& source, const Node& value, const Spot& origin) {
    merged_.origins[std::string(kListeners)] = origin;
    if (value.kind != Node::Kind::list || value.items.empty() || value.items.size() > kListenersMax)
      return problem(at(source, value), kListeners,
                     fmt::format("is not a list of 1 to {} listeners; expected as [{{address: \"127.0.0.1:5000\", "
                                 "serve: [registry, health]}}]",
                                 kListenersMax));
    merged_.settings.listeners.clear();
    listener_spots_.clear();
    for (const Node& item : value.items) {
      std::string name = fmt::format("{}[{}]", kListeners, merged_.settings.listeners.size());
      listener_spots_.push_back(at(source, item));
      ListenerSettings& listener = merged_.settings.listeners.emplace_back();
      if (item.kind != Node::Kind::map) {
        problem(at(source, item), name, "is not a map; expected address and serve");
        continue;
      }
      read_listener_map(source, kListenerPrefix, name + ".", listener, item);
    }
  }

  void read_listener_map(const Spot& source, std::string_view prefix, const std::string& name, ListenerSettings& listener,
                         const Node& map) {
    for_each_entry(source, name, map, [&](const Node& leaf, const Node& inner) {
      const std::string path = std::string(prefix) + leaf.text;
      if (path + "." == kListenerTlsPrefix) {
        listener.tls.on = true;
        if (inner.kind == Node::Kind::map)
          return read_listener_map(source, kListenerTlsPrefix, name + leaf.text + ".", listener, inner);
        return problem(at(source, inner.kind == Node::Kind::null ? leaf : inner), name + leaf.text,
                       "is not a map; expected certificate and key below it");
      }
      for (const Key& key : keys())
        if (key.listener_slot && key.path == path)
          return read_listener_field(source, key, name + leaf.text, listener, inner);
      unknown(at(source, leaf), prefix, leaf.text);
    });
  }

  void read_listener_field(const Spot& source, const Key& key, const std::string& name, ListenerSettings& listener,
                           const Node& value) {
    Spot spot = at(source, value);
    Slot slot = key.listener_slot(listener);
    bool is_list = key.kind == Kind::choices || (key.kind == Kind::files && value.kind == Node::Kind::list);
    if (value.kind != (is_list ? Node::Kind::list : Node::Kind::scalar) || (is_list && value.items.empty()))
      return problem(spot, name, fmt::format("is not what is wanted here; expected {}", expectation(key)));
    if (!is_list) {
      auto assigned = assign(key, slot, value.text);
      if (!assigned) return problem(spot, name, assigned.error().message);
      if (key.kind == Kind::address) listener_spots_.back() = spot;
      return;
    }
    std::get<std::vector<std::string>*>(slot)->clear();
    for (const Node& item : value.items) {
      auto assigned = assign(key, slot, item.text);
      if (!assigned) problem(at(source, item), name, assigned.error().message);
    }
  }

  void read_environment() {
    std::vector<std::string> names{environment_name(kListeners)};
    for (const Key& key : keys())
      if (key.slot) names.push_back(environment_name(key.path));
    for (const auto& [name, text] : sources_.environment) {
      if (!name.starts_with("BERTH__")) continue;
      Spot spot{"environment " + shown(name)};
      if (name == names.front()) {
        read_pair(spot, kListeners, text);
        continue;
      }
      bool found = false;
      for (const Key& key : keys()) {
        if (!key.slot || environment_name(key.path) != name) continue;
        found = true;
        read_pair(spot, key.path, text);
      }
      if (found) continue;
      std::vector<std::string_view> candidates(names.begin(), names.end());
      problem(spot, "", "unknown name; expected BERTH__SECTION__KEY" + suggestion(name, candidates));
    }
  }

  /// A key and its text from the environment or the command line. Scalars are taken as they are, listeners as YAML.
  void read_pair(const Spot& spot, std::string_view path, const std::string& text) {
    if (text.size() > kValueBytesMax)
      return problem(spot, shown(path), fmt::format("longer than {} bytes", kValueBytesMax));
    if (path == kListeners) {
      auto value = parse_yaml(text);
      if (!value) return problem(spot, path, value.error().message);
      return read_listeners(spot, *value, spot);
    }
    for (const Key& key : keys()) {
      if (!key.slot || key.path != path) continue;
      Node value;
      value.kind = Node::Kind::scalar;
      value.text = text;
      return read_scalar(spot, key, value, value);
    }
    std::vector<std::string_view> candidates{kListeners};
    for (const Key& key : keys())
      if (key.slot) candidates.push_back(key.path);
    problem(spot, shown(path), "unknown key; expected one of `berth config reference`" + suggestion(path, candidates));
  }

  Spot origin(std::string_view path) const {
    auto found = merged_.origins.find(path);
    return found == merged_.origins.end() ? Spot{} : found->second;
  }

  /// Rules that span keys.
  void check_together() {
    Settings& settings = merged_.settings;
    if (settings.data.directory.empty())
      problem(origin("data.directory"), "data.directory", "is empty; expected the path of a directory");
    if (settings.data.ballast_min_bytes > settings.data.ballast_max_bytes)
      problem(origin("data.ballast_min"), "data.ballast_min",
              fmt::format("{} is more than data.ballast_max, which is {}; expected at most that",
                          format_size(settings.data.ballast_min_bytes), format_size(settings.data.ballast_max_bytes)));
    bool sentence = settings.insecure == kInsecureSentence;
    if (!settings.insecure.empty() && !sentence)
      problem(origin("insecure"), "insecure",
              fmt::format("is not the sentence; expected {} or nothing", kInsecureSentence));
    check_listeners(sentence);
  }

  void check_listeners(bool sentence) {
    bool any_registry = false;
    std::set<std::string> addresses;
    for (std::size_t i = 0; i < merged_.settings.listeners.size(); ++i) {
      const ListenerSettings& listener = merged_.settings.listeners[i];
      Spot spot = i < listener_spots_.size() ? listener_spots_[i] : Spot{};
      std::string name = fmt::format("{}[{}].address", kListeners, i);
      auto address = parse_host_port(listener.address);
      if (!address) continue;  // reported where it was read
      if (address->port != 0 && !addresses.insert(listener.address).second)
        problem(spot, name, fmt::format("{} stands there twice; expected each address once", listener.address));
      bool registry = std::find(listener.serve.begin(), listener.serve.end(), "registry") != listener.serve.end();
      any_registry |= registry;
      check_tls(listener.tls, spot, fmt::format("{}[{}].tls", kListeners, i));
      if (!registry || is_loopback(address->host) || sentence) continue;
      problem(spot, name,
              fmt::format("{} can be reached by other machines, {}; expected an address of this machine as 127.0.0.1:{}, "
                          "behind a proxy that {}, or, if anyone who reaches it may read and write everything, the line "
                          "`insecure: {}`",
                          listener.address,
                          listener.tls.on ? "and this version of berth has no accounts to tell them apart (tls keeps them "
                                            "from listening in, not from coming in)"
                                          : "it has no tls, and this version of berth has no accounts to tell them apart",
                          address->port, listener.tls.on ? "knows who calls" : "speaks TLS and knows who calls",
                          kInsecureSentence));
    }
    if (!any_registry)
      problem(origin(kListeners), kListeners, "none serves the registry; expected `registry` in the serve of one");
  }

  void check_tls(const ListenerSettings::Tls& tls, const Spot& spot, const std::string& name) {
    if (!tls.on) return;
    if (tls.certificate.empty() || tls.key.empty())
      problem(spot, name, "lacks its certificate or its key; expected both, as {certificate: tls.crt, key: tls.key}");
    else if (tls.certificate.size() != tls.key.size())
      problem(spot, name,
              fmt::format("has {} certificates and {} keys; expected a key for each, in the same order",
                          tls.certificate.size(), tls.key.size()));
    if (tls.certificate.size() > kCertificatesMax)
      problem(spot, name, fmt::format("has more than {} certificates; expected at most that", kCertificatesMax));
    const bool asks = tls.client_certificates != "none";
    if (asks && tls.client_ca.empty())
      problem(spot, name + ".client_certificates",
              fmt::format("is {} and nobody may vouch for clients; expected client_ca beside it", tls.client_certificates));
    if (!asks && !tls.client_ca.empty())
      problem(spot, name + ".client_ca",
              "is there and clients are not asked; expected `client_certificates: optional` or `required` beside it");
  }

  const Sources& sources_;
  Merged merged_;
  std::vector<Spot> listener_spots_;
};

}  // namespace

Merged merge(const Sources& sources) { return Merger(sources).run(); }

Result<Settings> load(const Sources& sources) {
  Merged merged = merge(sources);
  if (merged.problems.empty()) return std::move(merged.settings);
  return make_error(ErrorCode::request_invalid, fmt::format("{}", fmt::join(merged.problems, "\n")));
}

}  // namespace berth::config
