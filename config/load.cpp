// Reads file, environment and flags over the defaults, each source whole, and gathers every problem on the way.
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <set>

#include "base/network.h"
#include "config/keys.h"
#include "config/merge.h"
#include "config/yaml.h"

namespace berth::config {

std::string Spot::exact() const { return line == 0 ? source : fmt::format("{}:{}:{}", source, line, column); }
std::string Spot::brief() const { return line == 0 ? source : fmt::format("{}:{}", source, line); }

namespace {

constexpr std::size_t kProblemsMax = 100;
constexpr std::size_t kValueBytesMax = 64 << 10;
/// Where the origin of the set-up secret is kept.
constexpr std::string_view kSetupSecret = "environment setup secret";

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
    const Place top{file, {}, {}, &merged_.settings};
    for_each_entry(file, "", *root, [&](const Node& name, const Node& value) { read_entry(top, name, value); });
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

  /// The keys, lists and sections right below `prefix` ("auth.", "grants[]."; empty at the top). `name` is the same with
  /// the positions of elements ("grants[2]."), `owner` what the slots there take.
  struct Place {
    Spot source;
    std::string prefix;
    std::string name;
    void* owner = nullptr;
  };

  void read_entry(const Place& place, const Node& leaf, const Node& value) {
    const std::string path = place.prefix + leaf.text;
    bool is_section = false;
    for (const Key& key : keys()) {
      if (key.path == path) return read_value(place, key, leaf, value);
      is_section |= key.path.starts_with(path + ".");
    }
    for (const List& list : lists())
      if (list.path == path + "[]") return read_list(place, list, leaf, value);
    if (!is_section || leaf.text.empty()) return unknown(at(place.source, leaf), place.prefix, leaf.text);
    read_section({place.source, path + ".", place.name + leaf.text + ".", place.owner}, leaf, value);
  }

  void read_section(const Place& place, const Node& leaf, const Node& value) {
    const std::string name = place.name.substr(0, place.name.size() - 1);
    const Section* optional = switch_on(place.prefix, place.owner);
    if (optional) merged_.origins[name] = at(place.source, leaf);
    if (value.kind == Node::Kind::null && !optional) return;  // a section whose lines are all comments
    if (value.kind != Node::Kind::map)
      return problem(at(place.source, value.kind == Node::Kind::null ? leaf : value), shown(name),
                     "is not a map; expected keys and values below it");
    for_each_entry(place.source, place.name, value,
                   [&](const Node& key, const Node& inner) { read_entry(place, key, inner); });
  }

  /// The section that something below `prefix` says is there, if it is one that need not be.
  const Section* switch_on(std::string_view prefix, void* owner) {
    for (const Section& section : sections()) {
      if (!prefix.starts_with(section.path) || prefix.substr(section.path.size()) != ".") continue;
      *section.on(owner) = true;
      return &section;
    }
    return nullptr;
  }

  void read_list(const Place& place, const List& list, const Node& leaf, const Node& value) {
    const std::string name = place.name + leaf.text;
    merged_.origins[name] = at(place.source, leaf);
    if (value.kind != Node::Kind::list || value.items.size() < list.count_min || value.items.size() > list.count_max)
      return problem(at(place.source, value.kind == Node::Kind::null ? leaf : value), name,
                     fmt::format("is not a list of {} to {}; expected as [{}]", list.count_min, list.count_max,
                                 list.example));
    // What an earlier source said about the elements is no longer so.
    std::erase_if(merged_.origins, [&](const auto& entry) { return entry.first.starts_with(name + "["); });
    list.clear(place.owner);
    for (const Node& item : value.items) {
      const std::string element = fmt::format("{}[{}]", name, list.size(place.owner));
      merged_.origins[element] = at(place.source, item);
      const Place inside{place.source, std::string(list.path) + ".", element + ".", list.add(place.owner)};
      if (item.kind != Node::Kind::map) {
        problem(at(place.source, item), element, fmt::format("is not a map; expected as {}", list.example));
        continue;
      }
      for_each_entry(place.source, inside.name, item,
                     [&](const Node& key, const Node& inner) { read_entry(inside, key, inner); });
    }
  }

  void read_value(const Place& place, const Key& key, const Node& leaf, const Node& value) {
    const std::string name = place.name + leaf.text;
    // yaml-cpp places a value that is not there at whatever comes next.
    Spot spot = at(place.source, value.kind == Node::Kind::null ? leaf : value);
    merged_.origins[name] = at(place.source, in_list(key.path) ? value : leaf);
    const Slot slot = key.slot(place.owner);
    if (key.kind == Kind::claims) return read_claims(place, key, *std::get<TextLists*>(slot), name, spot, value);
    auto* texts = std::get_if<std::vector<std::string>*>(&slot);
    const bool one_will_do = key.kind == Kind::files || key.kind == Kind::texts;
    if (!texts && value.kind != Node::Kind::scalar)
      return problem(spot, name, fmt::format("has no single value; expected {}", expectation(key)));
    if (texts && !(value.kind == Node::Kind::list || (one_will_do && value.kind == Node::Kind::scalar)))
      return problem(spot, name, fmt::format("is not what is wanted here; expected {}", expectation(key)));
    if (texts && !(value.items.empty() && value.kind == Node::Kind::list && in_list(key.path))) (*texts)->clear();
    if (value.kind == Node::Kind::list) return read_items(place.source, key, slot, name, spot, value);
    if (auto assigned = assign(key, slot, value.text); !assigned) problem(spot, name, assigned.error().message);
  }

  void read_items(const Spot& source, const Key& key, const Slot& slot, const std::string& name, const Spot& spot,
                  const Node& value) {
    if (value.items.empty() && in_list(key.path))
      return problem(spot, name, fmt::format("is empty; expected {}", expectation(key)));
    for (std::size_t i = 0; i < value.items.size(); ++i) {
      const Node& item = value.items[i];
      merged_.origins[fmt::format("{}[{}]", name, i)] = at(source, item);
      if (item.kind != Node::Kind::scalar) {
        problem(at(source, item), name, fmt::format("has an element that is no text; expected {}", expectation(key)));
        continue;
      }
      if (auto assigned = assign(key, slot, item.text); !assigned)
        problem(at(source, item), name, assigned.error().message);
    }
  }

  void read_claims(const Place& place, const Key& key, TextLists& claims, const std::string& name, const Spot& spot,
                   const Node& value) {
    if (value.kind != Node::Kind::map || value.items.empty())
      return problem(spot, name, fmt::format("is not what is wanted here; expected {}", expectation(key)));
    Key text = key;
    text.kind = Kind::texts;
    for_each_entry(place.source, name + ".", value, [&](const Node& claim, const Node& patterns) {
      std::vector<std::string>& into = claims[claim.text];
      const std::string path = name + "." + shown(claim.text);
      const Slot slot = &into;
      if (patterns.kind == Node::Kind::list) return read_items(place.source, text, slot, path, spot, patterns);
      const Spot there = at(place.source, patterns.kind == Node::Kind::null ? claim : patterns);
      if (patterns.kind != Node::Kind::scalar)
        return problem(there, path, fmt::format("is not what is wanted here; expected {}", expectation(text)));
      if (auto assigned = assign(text, slot, patterns.text); !assigned)
        problem(there, path, assigned.error().message);
    });
  }

  void unknown(const Spot& spot, std::string_view prefix, std::string_view name) {
    std::vector<std::string_view> siblings;
    for (const Key& key : keys()) {
      const std::string_view candidate = step_below(key.path, prefix);
      if (!candidate.empty() && std::find(siblings.begin(), siblings.end(), candidate) == siblings.end())
        siblings.push_back(candidate);
    }
    std::string hint = suggestion(name, siblings);
    // Right name, wrong place.
    for (const Key& key : keys())
      if (!in_list(key.path) && leaf_of(key.path) == name && std::string(section_of(key.path)) + "." != prefix)
        hint = fmt::format("; did you mean {}?", key.path);
    problem(spot, std::string(prefix) + shown(name),
            fmt::format("unknown key; expected {}{}", fmt::join(siblings, ", "), hint));
  }

  /// What the environment and the command line can name: keys and lists that are in no list.
  static std::vector<std::string_view> nameable() {
    std::vector<std::string_view> paths;
    for (const Key& key : keys())
      if (!in_list(key.path)) paths.push_back(key.path);
    for (const List& list : lists())
      if (const auto path = list.path.substr(0, list.path.size() - 2); !in_list(path)) paths.push_back(path);
    return paths;
  }

  void read_environment() {
    const auto paths = nameable();
    std::vector<std::string> names;
    for (const auto path : paths) names.push_back(environment_name(path));
    for (const auto& [name, text] : sources_.environment) {
      Spot spot{"environment " + shown(name)};
      if (name == kSetupSecretName) {
        merged_.settings.auth.setup_secret = text;
        merged_.origins[std::string(kSetupSecret)] = spot;
      }
      if (!name.starts_with("BERTH__")) continue;
      const auto found = std::find(names.begin(), names.end(), name);
      if (found != names.end()) {
        read_pair(spot, paths[static_cast<std::size_t>(found - names.begin())], text);
        continue;
      }
      std::vector<std::string_view> candidates(names.begin(), names.end());
      problem(spot, "", "unknown name; expected BERTH__SECTION__KEY" + suggestion(name, candidates));
    }
  }

  /// A key and its text from the environment or the command line. Text is taken as it is, lists as YAML.
  void read_pair(const Spot& spot, std::string_view path, const std::string& text) {
    if (text.size() > kValueBytesMax)
      return problem(spot, shown(path), fmt::format("longer than {} bytes", kValueBytesMax));
    const auto paths = nameable();
    if (std::find(paths.begin(), paths.end(), path) == paths.end())
      return problem(spot, shown(path),
                     "unknown key; expected one of `berth config reference`" + suggestion(path, paths));
    Node leaf, value;
    leaf.kind = value.kind = Node::Kind::scalar;
    leaf.text = leaf_of(path);
    value.text = text;
    const auto key = std::find_if(keys().begin(), keys().end(), [&](const Key& one) { return one.path == path; });
    const bool one_text = key != keys().end() && key->kind != Kind::choices &&
                          !((key->kind == Kind::texts || key->kind == Kind::files) && text.starts_with('['));
    if (!one_text) {
      auto parsed = parse_yaml(text);
      if (!parsed) return problem(spot, path, parsed.error().message);
      value = *std::move(parsed);
    }
    Place place{spot, {}, {}, &merged_.settings};
    if (const auto section = section_of(path); !section.empty()) {
      place.prefix = place.name = std::string(section) + ".";
      if (switch_on(place.prefix, place.owner)) merged_.origins.try_emplace(std::string(section), spot);
    }
    read_entry(place, leaf, value);
  }

  /// The nearest place to that of `path` that is known.
  Spot nearest(std::string path) const {
    for (;;) {
      if (auto found = merged_.origins.find(path); found != merged_.origins.end()) return found->second;
      const std::size_t end = path.find_last_of(".[");
      if (end == path.npos) return {};
      path.resize(end);
    }
  }

  bool is_set(const std::string& path) const { return merged_.origins.find(path) != merged_.origins.end(); }

  /// Rules that span keys.
  void check_together() {
    Settings& settings = merged_.settings;
    if (settings.data.directory.empty())
      problem(nearest("data.directory"), "data.directory", "is empty; expected the path of a directory");
    if (settings.data.ballast_min_bytes > settings.data.ballast_max_bytes)
      problem(nearest("data.ballast_min"), "data.ballast_min",
              fmt::format("{} is more than data.ballast_max, which is {}; expected at most that",
                          format_size(settings.data.ballast_min_bytes), format_size(settings.data.ballast_max_bytes)));
    bool sentence = settings.insecure == kInsecureSentence;
    if (!settings.insecure.empty() && !sentence)
      problem(nearest("insecure"), "insecure",
              fmt::format("is not the sentence; expected {} or nothing", kInsecureSentence));
    check_required();
    check_listeners(sentence);
    check_accounts();
    if (!merged_.problems.empty() || !sources_.check) return;
    for (const Finding& finding : sources_.check(settings)) problem(nearest(finding.path), finding.path, finding.what);
  }

  /// Elements of lists, and sections that are there, have what they must have.
  void check_required() {
    for (const List& list : lists())
      if (const auto path = list.path.substr(0, list.path.size() - 2); !in_list(path))
        check_elements(list, std::string(path), &merged_.settings);
    for (const Section& section : sections())
      if (!in_list(section.path) && *section.on(&merged_.settings))
        check_leaves(std::string(section.path), std::string(section.path) + ".", section.required);
  }

  void check_elements(const List& list, const std::string& name, void* owner) {
    for (std::size_t i = 0; i < list.size(owner); ++i) {
      const std::string element = fmt::format("{}[{}]", name, i);
      void* inside = list.at(owner, i);
      check_leaves(element, std::string(list.path) + ".", list.required);
      const auto inner = std::string(list.path) + ".";
      for (const Section& section : sections())
        if (section.path.starts_with(inner) && !in_list(section.path.substr(inner.size())) && *section.on(inside))
          check_leaves(element + "." + std::string(section.path.substr(inner.size())), std::string(section.path) + ".",
                       section.required);
      for (const List& deeper : lists())
        if (deeper.path.starts_with(inner) && deeper.path.find("[]", inner.size()) == deeper.path.size() - 2)
          check_elements(deeper, element + "." + std::string(deeper.path.substr(inner.size(),
                                                                                deeper.path.size() - inner.size() - 2)),
                         inside);
    }
  }

  void check_leaves(const std::string& name, const std::string& prefix, std::string_view required) {
    for (const auto leaf : split_choices(required)) {
      if (is_set(fmt::format("{}.{}", name, leaf))) continue;
      std::string expected = "a list";
      for (const Key& key : keys())
        if (key.path == prefix + std::string(leaf)) expected = expectation(key);
      problem(nearest(name), name, fmt::format("lacks {}; expected {} there", leaf, expected));
    }
  }

  void check_listeners(bool sentence) {
    bool any_registry = false;
    std::set<std::string> addresses;
    for (std::size_t i = 0; i < merged_.settings.listeners.size(); ++i) {
      const ListenerSettings& listener = merged_.settings.listeners[i];
      const std::string element = fmt::format("{}[{}]", kListeners, i), name = element + ".address";
      Spot spot = nearest(name);
      auto address = parse_host_port(listener.address);
      if (!address) continue;  // reported where it was read
      if (address->port != 0 && !addresses.insert(listener.address).second)
        problem(spot, name, fmt::format("{} stands there twice; expected each address once", listener.address));
      bool registry = std::find(listener.serve.begin(), listener.serve.end(), "registry") != listener.serve.end();
      any_registry |= registry;
      check_tls(listener.tls, element + ".tls");
      for (const std::string& host : listener.hosts) {
        if (host.find_first_of(host.starts_with('[') ? "/ " : ":/ ") == host.npos) continue;
        const std::string where = element + ".hosts";
        problem(nearest(where), where,
                fmt::format("names {}; expected names alone, as berth or registry.example.com, without a scheme or a port",
                            host));
      }
      for (const std::string& proxy : listener.trusted_proxies) {
        if (IpNetwork::parse(proxy)) continue;
        const std::string where = element + ".trusted_proxies";
        problem(nearest(where), where,
                fmt::format("names {}; expected addresses and networks, as 192.0.2.7, 10.0.0.0/8 or fd00::/8, with no "
                            "bits set behind the prefix",
                            proxy));
      }
      if (listener.tls.on && listener.tls_elsewhere)
        problem(nearest(element + ".tls_elsewhere"), element + ".tls_elsewhere",
                "is true and the listener has tls itself; expected one of them");
      if (registry && !is_loopback(address->host) && !sentence) check_open(listener, spot, name);
    }
    if (!any_registry)
      problem(nearest(std::string(kListeners)), kListeners,
              "none serves the registry; expected `registry` in the serve of one");
  }

  /// A listener that other machines reach, without the sentence.
  void check_open(const ListenerSettings& listener, const Spot& spot, const std::string& name) {
    if (!listener.tls.on && !listener.tls_elsewhere)
      problem(spot, name,
              fmt::format("{} can be reached by other machines and speaks no TLS; expected `tls: {{certificate: tls.crt, "
                          "key: tls.key}}` beside it (`berth certs dev` makes such files), or, if a proxy that speaks TLS "
                          "stands before it and nobody reaches it otherwise, `tls_elsewhere: true`, or, if anyone may "
                          "listen in, the line `insecure: {}`",
                          listener.address, kInsecureSentence));
    if (!accounts_on(merged_.settings.auth))
      problem(spot, name,
              fmt::format("{} can be reached by other machines and there are no accounts to tell them apart; expected the "
                          "line `auth: {{users: true}}` (then `berth user add admin --role admin` makes the first "
                          "administrator), or an address of this machine as 127.0.0.1:5000, or, if anyone who reaches it "
                          "may read and write everything, the line `insecure: {}`",
                          listener.address, kInsecureSentence));
    else if (listener.tls_elsewhere && merged_.settings.public_url.empty())
      problem(nearest("public_url"), "public_url",
              "is not set, and a listener has tls_elsewhere; expected the address that clients use, as "
              "https://registry.example.com, so that berth can tell them where to log in");
    // Clients send their passwords to where they are told.
    const std::pair<const char*, const std::string&> told[] = {
        {"public_url", merged_.settings.public_url},
        {"auth.token.realm", merged_.settings.auth.token.realm},
        {"auth.outside_token_server.realm", merged_.settings.auth.outside_token_server.realm}};
    for (const auto& [path, url] : told) {
      if (!accounts_on(merged_.settings.auth) || !url.starts_with("http://") || !reported_.insert(path).second) continue;
      problem(nearest(path), path,
              fmt::format("would have clients send passwords in clear; expected an https address, or, if anyone may listen "
                          "in, the line `insecure: {}`",
                          kInsecureSentence));
    }
  }

  void check_tls(const ListenerSettings::Tls& tls, const std::string& name) {
    if (!tls.on) return;
    if (!tls.certificate.empty() && !tls.key.empty() && tls.certificate.size() != tls.key.size())
      problem(nearest(name), name,
              fmt::format("has {} certificates and {} keys; expected a key for each, in the same order",
                          tls.certificate.size(), tls.key.size()));
    if (tls.certificate.size() > kCertificatesMax)
      problem(nearest(name), name,
              fmt::format("has more than {} certificates; expected at most that", kCertificatesMax));
    const bool asks = tls.client_certificates != "none";
    if (asks && tls.client_ca.empty())
      problem(nearest(name + ".client_certificates"), name + ".client_certificates",
              fmt::format("is {} and nobody may vouch for clients; expected client_ca beside it", tls.client_certificates));
    if (!asks && !tls.client_ca.empty())
      problem(nearest(name + ".client_ca"), name + ".client_ca",
              "is there and clients are not asked; expected `client_certificates: optional` or `required` beside it");
  }

  /// Nothing about who may do what stands there without effect.
  void check_accounts() {
    const Settings& settings = merged_.settings;
    if (accounts_on(settings.auth)) return;
    const auto no_effect = [this](std::string_view path, std::string_view shown_as) {
      problem(nearest(std::string(path)), shown_as,
              "has no effect: accounts are off; expected `users: true`, or another source of users, under `auth`");
    };
    Settings fallback, now = settings;  // slots point into what they describe
    for (const Key& key : keys())
      if (!in_list(key.path) && key.path.starts_with("auth.") &&
          format_value(key, key.slot(&now)) != format_value(key, key.slot(&fallback)))
        no_effect(key.path, key.path);
    if (!settings.auth.setup_secret.empty()) no_effect(kSetupSecret, kSetupSecretName);
    if (!settings.roles.empty()) no_effect("roles", "roles");
    if (!settings.grants.empty()) no_effect("grants", "grants");
  }

  const Sources& sources_;
  Merged merged_;
  std::set<std::string> reported_;  ///< what concerns all listeners is said once
};

}  // namespace

Merged merge(const Sources& sources) { return Merger(sources).run(); }

Result<Settings> load(const Sources& sources) {
  Merged merged = merge(sources);
  if (merged.problems.empty()) return std::move(merged.settings);
  return make_error(ErrorCode::request_invalid, fmt::format("{}", fmt::join(merged.problems, "\n")));
}

}  // namespace berth::config
