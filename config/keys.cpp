#include "config/keys.h"

#include <arpa/inet.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/json_text.h"

namespace berth::config {
namespace {

constexpr std::uint64_t kKiB = 1 << 10, kMiB = 1 << 20, kGiB = 1 << 30;
constexpr std::uint64_t kSecond = 1'000, kMinute = 60 * kSecond, kHour = 60 * kMinute, kDay = 24 * kHour;
constexpr std::uint64_t kUnlimited = std::numeric_limits<std::int64_t>::max();

#define BERTH_SLOT(member) [](Settings& settings) -> Slot { return &settings.member; }
#define BERTH_LISTENER_SLOT(member) [](ListenerSettings& listener) -> Slot { return &listener.member; }

constexpr Key kKeys[] = {
    {.path = "public_url",
     .kind = Kind::url,
     .slot = BERTH_SLOT(public_url),
     .help = "The address clients use when a proxy stands in front, as https://registry.example.com. Its host is then "
             "accepted on loopback listeners, which refuse every other foreign name."},
    {.path = "insecure",
     .kind = Kind::text,
     .slot = BERTH_SLOT(insecure),
     .help = "Must be the sentence `i-know-that-anyone-can-read-and-write-this` to serve the registry beyond loopback, "
             "with or without TLS, because this version has no accounts."},

    {.path = "listeners[].address",
     .kind = Kind::address,
     .listener_slot = BERTH_LISTENER_SLOT(address),
     .help = "Address and port to listen on; port 0 lets the kernel choose."},
    {.path = "listeners[].serve",
     .kind = Kind::choices,
     .listener_slot = BERTH_LISTENER_SLOT(serve),
     .choices = "registry health",
     .help = "What answers there: `registry` is `/v2/` and `/api/v1/`, `health` is `/livez`, `/readyz` and "
             "`/startupz`."},
    {.path = "listeners[].tls.certificate",
     .kind = Kind::files,
     .listener_slot = BERTH_LISTENER_SLOT(tls.certificate),
     .help = "Speaks TLS with this certificate: a PEM file, the server's own certificate first and after it those that "
             "lead to its root. Of several files a client gets the one that has the name it asks for, else the first. "
             "Read again when it changes."},
    {.path = "listeners[].tls.key",
     .kind = Kind::files,
     .listener_slot = BERTH_LISTENER_SLOT(tls.key),
     .help = "The certificate's private key: a PEM file without a passphrase; as many as there are certificates, in "
             "the same order."},
    {.path = "listeners[].tls.client_ca",
     .kind = Kind::text,
     .listener_slot = BERTH_LISTENER_SLOT(tls.client_ca),
     .help = "PEM file of the authorities that may vouch for clients. Read again when it changes."},
    {.path = "listeners[].tls.client_certificates",
     .kind = Kind::choice,
     .listener_slot = BERTH_LISTENER_SLOT(tls.client_certificates),
     .choices = "none optional required",
     .help = "Whether clients are asked for a certificate, and whether they need one."},
    {.path = "listeners[].tls.min_version",
     .kind = Kind::choice,
     .listener_slot = BERTH_LISTENER_SLOT(tls.min_version),
     .choices = "1.2 1.3",
     .help = "Oldest version of TLS that is spoken."},

    {.path = "data.directory",
     .kind = Kind::text,
     .slot = BERTH_SLOT(data.directory),
     .help = "Where everything is kept. Made with mode 0700 when it is missing; its parent must exist. One process at "
             "a time."},
    {.path = "data.inline_limit",
     .kind = Kind::size,
     .slot = BERTH_SLOT(data.inline_limit_bytes),
     .max = kMiB,
     .help = "Blobs up to this size are kept in the index, larger ones as files. Changing it affects new blobs only."},
    {.path = "data.block_cache",
     .kind = Kind::size,
     .slot = BERTH_SLOT(data.block_cache_bytes),
     .min = kMiB,
     .max = 1024 * kGiB,
     .help = "Memory for index blocks that were read; fills as it is used."},
    {.path = "data.ballast_min",
     .kind = Kind::size,
     .slot = BERTH_SLOT(data.ballast_min_bytes),
     .min = kMiB,
     .max = 16 * kGiB,
     .help = "Least space held back so that a full disk stops pushes and never the index. The ballast is 1 % of the "
             "disk between both limits."},
    {.path = "data.ballast_max",
     .kind = Kind::size,
     .slot = BERTH_SLOT(data.ballast_max_bytes),
     .min = kMiB,
     .max = 16 * kGiB,
     .help = "Most space held back."},

    {.path = "collection.grace",
     .kind = Kind::duration,
     .slot = BERTH_SLOT(collection.grace),
     .max = 3650 * kDay,
     .help = "How long content that no manifest holds is kept, so that a push under way finds what it relies on."},
    {.path = "collection.interval",
     .kind = Kind::duration,
     .slot = BERTH_SLOT(collection.interval),
     .min = 10,
     .max = kDay,
     .help = "How often the collector looks for work that is due."},
    {.path = "collection.reap_delay",
     .kind = Kind::duration,
     .slot = BERTH_SLOT(collection.reap_delay),
     .min = 100,
     .max = kDay,
     .help = "How long the file of a dropped blob outlives its record, for pulls that began before."},

    {.path = "undo.window",
     .kind = Kind::duration,
     .slot = BERTH_SLOT(undo.window),
     .max = 3650 * kDay,
     .help = "How long the content of deleted manifests and repositories is kept."},

    {.path = "registry.deletion",
     .kind = Kind::flag,
     .slot = BERTH_SLOT(registry.deletion),
     .help = "Whether tags, manifests, blobs and repositories may be deleted. When false every delete answers 405."},
    {.path = "registry.anonymous_mount",
     .kind = Kind::flag,
     .slot = BERTH_SLOT(registry.anonymous_mount),
     .help = "Whether a mount without `from` looks for the blob in every repository the caller may read."},
    {.path = "registry.sparse_indexes",
     .kind = Kind::flag,
     .slot = BERTH_SLOT(registry.sparse_indexes),
     .help = "Whether an index may be pushed while some of its manifests are missing."},
    {.path = "registry.artifact_manifests",
     .kind = Kind::flag,
     .slot = BERTH_SLOT(registry.accept_artifact_manifest),
     .help = "Whether the withdrawn media type application/vnd.oci.artifact.manifest.v1+json is accepted."},
    {.path = "registry.change_log_keep",
     .kind = Kind::duration,
     .slot = BERTH_SLOT(registry.change_log_keep),
     .min = kMinute,
     .max = 3650 * kDay,
     .help = "How long entries of the change log are kept."},

    {.path = "limits.manifest_size",
     .kind = Kind::size,
     .slot = BERTH_SLOT(limits.manifest_bytes),
     .min = 64 * kKiB,
     .max = 64 * kMiB,
     .help = "Largest manifest or index."},
    {.path = "limits.manifest_depth",
     .kind = Kind::count,
     .slot = BERTH_SLOT(limits.manifest_depth),
     .min = 8,
     .max = 256,
     .help = "Deepest nesting of a manifest's JSON."},
    {.path = "limits.manifest_descriptors",
     .kind = Kind::count,
     .slot = BERTH_SLOT(limits.manifest_descriptors),
     .min = 128,
     .max = 100'000,
     .help = "Most layers or manifests that one manifest may point to."},
    {.path = "limits.blob_size",
     .kind = Kind::size,
     .slot = BERTH_SLOT(limits.blob_bytes),
     .max = kUnlimited,
     .help = "Largest blob; 0 is no limit."},
    {.path = "limits.tags_per_push",
     .kind = Kind::count,
     .slot = BERTH_SLOT(limits.tags_per_push),
     .min = 1,
     .max = 1'000,
     .help = "Most `tag` parameters of one manifest push."},
    {.path = "limits.page_entries",
     .kind = Kind::count,
     .slot = BERTH_SLOT(limits.page_entries),
     .min = 1,
     .max = 10'000,
     .help = "Most entries in one page of tags or repositories, whatever a client asks for."},
    {.path = "limits.ranges",
     .kind = Kind::count,
     .slot = BERTH_SLOT(limits.ranges),
     .min = 1,
     .max = 16'384,
     .help = "Most ranges that one request may ask for."},
    {.path = "limits.header_size",
     .kind = Kind::size,
     .slot = BERTH_SLOT(limits.header_bytes),
     .min = 8 * kKiB,
     .max = kMiB,
     .help = "Largest head of a request."},
    {.path = "limits.body_memory",
     .kind = Kind::size,
     .slot = BERTH_SLOT(limits.body_buffers_bytes),
     .min = 4 * kMiB,
     .max = 64 * kGiB,
     .help = "Memory for all bodies on their way in; beyond it berth reads no faster than the disk takes."},
    {.path = "limits.connections",
     .kind = Kind::count,
     .slot = BERTH_SLOT(limits.connections),
     .min = 16,
     .max = 1'000'000,
     .help = "Most connections at a time."},
    {.path = "limits.connections_per_address",
     .kind = Kind::count,
     .slot = BERTH_SLOT(limits.connections_per_address),
     .min = 1,
     .max = 1'000'000,
     .help = "Most connections from one address; loopback is exempt."},
    {.path = "limits.open_uploads",
     .kind = Kind::count,
     .slot = BERTH_SLOT(limits.uploads_open),
     .min = 1,
     .max = 10'000'000,
     .help = "Most upload sessions at a time; one account may have half of them."},
    {.path = "limits.upload_ttl",
     .kind = Kind::duration,
     .slot = BERTH_SLOT(limits.upload_ttl),
     .min = kSecond,
     .max = 365 * kDay,
     .help = "How long an upload session that nobody touches is kept."},
    {.path = "limits.header_timeout",
     .kind = Kind::duration,
     .slot = BERTH_SLOT(limits.header_timeout),
     .min = kSecond,
     .max = 5 * kMinute,
     .help = "A request's head must be complete within this time."},
    {.path = "limits.idle_timeout",
     .kind = Kind::duration,
     .slot = BERTH_SLOT(limits.idle_timeout),
     .min = kSecond,
     .max = kHour,
     .help = "How long a connection may wait for its next request."},
    {.path = "limits.rate_window",
     .kind = Kind::duration,
     .slot = BERTH_SLOT(limits.rate_window),
     .min = kSecond,
     .max = kHour,
     .help = "The time over which a client's rate is measured."},
    {.path = "limits.rate_min",
     .kind = Kind::size,
     .slot = BERTH_SLOT(limits.rate_bytes_per_second),
     .min = 1,
     .max = kMiB,
     .help = "A client that sends or takes less than this a second over the window is let go."},
    {.path = "limits.drain_timeout",
     .kind = Kind::duration,
     .slot = BERTH_SLOT(limits.drain_timeout),
     .max = kHour,
     .help = "How long running requests may take to finish when berth is asked to stop."},

    {.path = "threads.io",
     .kind = Kind::count,
     .slot = BERTH_SLOT(threads.io),
     .max = 256,
     .help = "Threads that serve connections; 0 is one per core."},
    {.path = "threads.disk",
     .kind = Kind::count,
     .slot = BERTH_SLOT(threads.disk),
     .max = 1'024,
     .help = "Threads that may wait for the disk; 0 is four per core, at least 8."},
    {.path = "threads.cpu",
     .kind = Kind::count,
     .slot = BERTH_SLOT(threads.cpu),
     .max = 256,
     .help = "Threads for long computations; 0 is one per core."},

    {.path = "cache.manifests",
     .kind = Kind::size,
     .slot = BERTH_SLOT(cache.manifests_bytes),
     .max = 64 * kGiB,
     .help = "Memory for manifests that are asked for often."},

    {.path = "log.level",
     .kind = Kind::choice,
     .slot = BERTH_SLOT(log.level),
     .choices = "trace debug info warning error",
     .live = true,
     .help = "The least important lines to write."},
    {.path = "log.format",
     .kind = Kind::choice,
     .slot = BERTH_SLOT(log.format),
     .choices = "auto text json",
     .help = "`auto` is text on a terminal and JSON otherwise."},
    {.path = "log.access",
     .kind = Kind::flag,
     .slot = BERTH_SLOT(log.access),
     .live = true,
     .help = "Whether each request gets a line."},
};

std::string show_value(std::string_view text) {
  // Values come from outside: control characters must not reach a terminal, nor a long value fill it.
  std::string shown(text.substr(0, 80));
  if (text.size() > 80) shown += "…";
  return nlohmann::json(shown).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t size = utf8_sequence_size(text);
    if (size == 0) return false;
    text.remove_prefix(size);
  }
  return true;
}

bool has_control_character(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

/// http or https, a host, maybe a port, nothing else.
bool is_origin_url(std::string_view url) {
  std::size_t scheme = url.starts_with("https://") ? 8 : url.starts_with("http://") ? 7 : 0;
  if (scheme == 0) return false;
  std::string_view authority = url.substr(scheme);
  if (authority.starts_with('[')) {
    std::size_t close = authority.find(']');
    if (close == authority.npos) return false;
    return parse_host_port(close + 1 == authority.size() ? std::string(authority) + ":1" : std::string(authority))
        .has_value();
  }
  std::size_t colon = authority.find(':');
  std::string_view host = authority.substr(0, colon);
  if (host.empty() || host.size() > 253 || host.front() == '.' || host.front() == '-') return false;
  return parse_host_port(colon == authority.npos ? std::string(authority) + ":1" : std::string(authority)).has_value();
}

std::string range_text(const Key& key) {
  auto show = [&](std::uint64_t value) {
    if (key.kind == Kind::size) return format_size(value);
    if (key.kind == Kind::duration) return format_duration(std::chrono::milliseconds(value));
    return std::to_string(value);
  };
  if (key.max == kUnlimited) return key.min == 0 ? "" : " of at least " + show(key.min);
  return fmt::format(" from {} to {}", show(key.min), show(key.max));
}

/// "a or b", "a, b or c"
std::string alternatives(std::string_view choices) {
  std::string text;
  auto names = split_choices(choices);
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) text += i + 1 == names.size() ? " or " : ", ";
    text += names[i];
  }
  return text;
}

}  // namespace

std::span<const Key> keys() { return kKeys; }

std::string_view section_of(std::string_view path) {
  std::size_t dot = path.find('.');
  return dot == path.npos ? std::string_view{} : path.substr(0, dot);
}

std::string_view leaf_of(std::string_view path) {
  std::size_t dot = path.find('.');
  return dot == path.npos ? path : path.substr(dot + 1);
}

std::vector<std::string_view> split_choices(std::string_view choices) {
  std::vector<std::string_view> names;
  while (!choices.empty()) {
    std::size_t space = choices.find(' ');
    names.push_back(choices.substr(0, space));
    choices = space == choices.npos ? std::string_view{} : choices.substr(space + 1);
  }
  return names;
}

std::string environment_name(std::string_view path) {
  std::string name = "BERTH__";
  for (char c : path) {
    if (c == '.')
      name += "__";
    else
      name += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return name;
}

std::string expectation(const Key& key) {
  switch (key.kind) {
    case Kind::text: return "text";
    case Kind::url: return "http:// or https:// with a host and maybe a port, and nothing after it";
    case Kind::address: return "an address and a port, as 127.0.0.1:5000, 0.0.0.0:5000 or [::1]:5000";
    case Kind::size: return "a size" + range_text(key) + ", as 4096, 64KiB, 8MiB or 2GiB";
    case Kind::duration: return "a duration" + range_text(key) + ", as 250ms, 10s, 5m, 24h or 14d";
    case Kind::count: return "a whole number" + range_text(key);
    case Kind::flag: return "true or false";
    case Kind::choice: return alternatives(key.choices);
    case Kind::choices: return "a list of " + alternatives(key.choices);
    case Kind::files: return "the path of a file, or a list of such paths";
  }
  return {};
}

std::string format_value(const Key& key, Slot slot) {
  struct Format {
    const Key& key;
    std::string operator()(const std::string* text) const { return *text; }
    std::string operator()(const std::uint64_t* number) const {
      return key.kind == Kind::size ? format_size(*number) : std::to_string(*number);
    }
    std::string operator()(const std::chrono::milliseconds* duration) const { return format_duration(*duration); }
    std::string operator()(const bool* flag) const { return *flag ? "true" : "false"; }
    std::string operator()(const std::vector<std::string>* list) const {
      if (key.kind == Kind::files && list->size() == 1) return list->front();
      return list->empty() ? "" : fmt::format("[{}]", fmt::join(*list, ", "));
    }
  };
  return std::visit(Format{key}, slot);
}

std::string format_yaml(const Key& key, Slot slot) {
  auto quoted = [](const std::string& text) {
    return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  };
  if (key.kind == Kind::files) {
    std::string list;
    for (const auto& path : *std::get<std::vector<std::string>*>(slot)) list += (list.empty() ? "" : ", ") + quoted(path);
    return "[" + list + "]";
  }
  std::string text = format_value(key, slot);
  bool quote = key.kind == Kind::text || key.kind == Kind::url || key.kind == Kind::address;
  return quote ? quoted(text) : text;
}

Result<void> assign(const Key& key, Slot slot, const std::string& text) {
  auto wrong = [&](std::string_view what) {
    return make_error(ErrorCode::request_invalid,
                      fmt::format("{} {}; expected {}", show_value(text), what, expectation(key)));
  };
  auto in_range = [&](std::uint64_t value) { return value >= key.min && value <= key.max; };
  switch (key.kind) {
    case Kind::text:
      if (has_control_character(text)) return wrong("holds a control character");
      if (!is_utf8(text)) return wrong("is not UTF-8");
      *std::get<std::string*>(slot) = text;
      return {};
    case Kind::files:
      if (text.empty()) return wrong("is empty");
      if (has_control_character(text)) return wrong("holds a control character");
      std::get<std::vector<std::string>*>(slot)->push_back(text);
      return {};
    case Kind::url:
      if (!text.empty() && !is_origin_url(text)) return wrong("is not such an address");
      *std::get<std::string*>(slot) = text;
      return {};
    case Kind::address: {
      auto parsed = parse_host_port(text);
      if (!parsed) return wrong("is not an address and a port");
      in_addr v4{};
      bool literal = parsed->host == "localhost" || parsed->host.find(':') != std::string::npos ||
                     inet_pton(AF_INET, parsed->host.c_str(), &v4) == 1;
      if (!literal) return wrong("names a host, and a listener needs an address");
      *std::get<std::string*>(slot) = text;
      return {};
    }
    case Kind::size: {
      auto bytes = parse_size(text);
      if (!bytes) return wrong("is not a size");
      if (!in_range(*bytes)) return wrong("is out of range");
      *std::get<std::uint64_t*>(slot) = *bytes;
      return {};
    }
    case Kind::duration: {
      auto duration = parse_duration(text);
      if (!duration) return wrong("is not a duration");
      if (!in_range(static_cast<std::uint64_t>(duration->count()))) return wrong("is out of range");
      *std::get<std::chrono::milliseconds*>(slot) = *duration;
      return {};
    }
    case Kind::count: {
      std::uint64_t number = 0;
      auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
      if (error != std::errc{} || end != text.data() + text.size()) return wrong("is not a whole number");
      if (!in_range(number)) return wrong("is out of range");
      *std::get<std::uint64_t*>(slot) = number;
      return {};
    }
    case Kind::flag:
      if (text != "true" && text != "false") return wrong("is neither");
      *std::get<bool*>(slot) = text == "true";
      return {};
    case Kind::choice: {
      auto names = split_choices(key.choices);
      if (std::find(names.begin(), names.end(), text) != names.end()) {
        *std::get<std::string*>(slot) = text;
        return {};
      }
      Error error = wrong("is none of them");
      if (auto near = closest(text, names); !near.empty()) error.message += fmt::format("; did you mean {}?", near);
      return error;
    }
    case Kind::choices: {
      auto names = split_choices(key.choices);
      auto& list = *std::get<std::vector<std::string>*>(slot);
      if (std::find(list.begin(), list.end(), text) != list.end()) return wrong("stands there twice");
      if (std::find(names.begin(), names.end(), text) != names.end()) {
        list.push_back(text);
        return {};
      }
      Error error = wrong("is none of them");
      if (auto near = closest(text, names); !near.empty()) error.message += fmt::format("; did you mean {}?", near);
      return error;
    }
  }
  return wrong("cannot be read");
}

}  // namespace berth::config
