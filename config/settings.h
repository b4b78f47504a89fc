// What an operator may set: typed, with unit, default, limits and a line of help each. Precedence: flag > environment
// (BERTH__SECTION__KEY) > file > default. An unknown key or a bad value is an error with file, line and what was
// expected (and a "did you mean").
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "config/auth_settings.h"

namespace berth::config {

struct ListenerSettings {
  std::string address = "127.0.0.1:5000";  ///< host:port; [v6]:port
  std::vector<std::string> serve = {"registry", "health", "metrics"};
  bool tls_elsewhere = false;  ///< a proxy before it speaks TLS, and nobody else reaches it
  std::vector<std::string> trusted_proxies;  ///< addresses and networks; load() let no others through
  std::vector<std::string> hosts;            ///< besides the loopback's; empty: any where others than this machine come

  struct Tls {
    bool on = false;                       ///< there is a tls section; certificate and key are then set, one for one
    std::vector<std::string> certificate;  ///< PEM files, each a certificate and what leads from it to its root
    std::vector<std::string> key;          ///< PEM files
    std::string client_ca;                 ///< PEM file
    std::string client_certificates = "none";  ///< none optional required
    std::string min_version = "1.2";           ///< 1.2 1.3
  } tls;
};

struct Settings {
  std::string public_url;
  std::vector<ListenerSettings> listeners = {ListenerSettings{}};
  std::string insecure;  ///< must be the whole sentence kInsecureSentence to open a listener beyond loopback

  struct Data {
    std::string directory = "./berth-data";
    std::uint64_t inline_limit_bytes = 128 << 10;
    std::uint64_t block_cache_bytes = 64 << 20;
    std::uint64_t ballast_min_bytes = 4 << 20;
    std::uint64_t ballast_max_bytes = 256 << 20;
  } data;

  struct Collection {
    std::chrono::milliseconds grace = std::chrono::hours(24);
    std::chrono::milliseconds interval = std::chrono::seconds(10);
    std::chrono::milliseconds reap_delay = std::chrono::seconds(60);
  } collection;

  struct Undo {
    std::chrono::milliseconds window = std::chrono::hours(24 * 14);
  } undo;

  struct Registry {
    bool deletion = true;
    bool anonymous_mount = true;
    bool sparse_indexes = false;
    bool accept_artifact_manifest = false;
    bool read_only = false;
    std::chrono::milliseconds change_log_keep = std::chrono::hours(24 * 7);
  } registry;

  struct Limits {
    std::uint64_t manifest_bytes = 4 << 20;
    std::uint64_t manifest_depth = 32;
    std::uint64_t manifest_descriptors = 1000;
    std::uint64_t blob_bytes = 0;                ///< 0 = none
    std::uint64_t tags_per_push = 100;
    std::uint64_t page_entries = 1000;
    std::uint64_t ranges = 1024;
    std::uint64_t header_bytes = 32 << 10;
    std::uint64_t body_buffers_bytes = 48 << 20;
    std::uint64_t connections = 16384;
    std::uint64_t connections_per_address = 1024;
    std::uint64_t connection_memory_bytes = 128 << 20;
    std::uint64_t uploads_open = 10000;
    std::uint64_t uploads_open_per_account = 0;  ///< 0 = a tenth
    std::chrono::milliseconds upload_ttl = std::chrono::hours(24);
    std::chrono::milliseconds header_timeout = std::chrono::seconds(10);
    std::chrono::milliseconds idle_timeout = std::chrono::seconds(150);
    std::chrono::milliseconds rate_window = std::chrono::seconds(30);
    std::uint64_t rate_bytes_per_second = 1024;
    std::chrono::milliseconds drain_timeout = std::chrono::seconds(110);
  } limits;

  struct Threads {
    std::uint64_t io = 0;    ///< 0 = one per core
    std::uint64_t disk = 0;   ///< 0 = four per core, at least 8
    std::uint64_t write = 0;  ///< 0 = four per core, at least 8
    std::uint64_t cpu = 0;    ///< 0 = one per core
  } threads;

  struct Cache {
    std::uint64_t manifests_bytes = 32 << 20;
  } cache;

  struct Log {
    std::string level = "info";    ///< trace debug info warning error
    std::string format = "auto";   ///< auto (text on a terminal, else json) text json
    bool access = true;
    std::chrono::milliseconds slow_request = std::chrono::seconds(5);  ///< to the first byte; 0 = none is slow
  } log;

  struct Metrics {
    bool enabled = true;
  } metrics;

  struct Tracing {
    std::string endpoint;  ///< empty: no spans
    double sample_ratio = 1;
    bool follow_clients = true;
    std::string headers_file;
    std::string ca;
    std::string compression = "none";  ///< none gzip
    std::string service_name = "berth";
    std::uint64_t queue = 2048;
    std::uint64_t batch = 512;
    std::chrono::milliseconds interval = std::chrono::seconds(5);
    std::chrono::milliseconds timeout = std::chrono::seconds(10);
  } tracing;

  AuthSettings auth;
  std::vector<RoleSettings> roles;
  std::vector<GrantSettings> grants;
};

inline constexpr std::string_view kInsecureSentence = "i-know-that-anyone-can-read-and-write-this";

/// host and port of "host:port" or "[v6]:port". Errors: request_invalid with a sentence.
struct HostPort {
  std::string host;
  std::uint16_t port = 0;
};
Result<HostPort> parse_host_port(std::string_view text);
/// A literal address of 127.0.0.0/8 or ::1, or "localhost".
bool is_loopback(std::string_view host);

/// What is wrong with settings that were read well, as the parts see it that use them.
struct Finding {
  std::string path;  ///< "grants[2].role"
  std::string what;  ///< "… ; expected …"
};

/// The set-up secret, which has no key: it shall not stand in a file with everything else.
inline constexpr std::string_view kSetupSecretName = "BERTH_SETUP_SECRET";

struct Sources {
  std::optional<std::string> file;                 ///< path; empty: no file
  std::map<std::string, std::string> environment;  ///< only BERTH__… and kSetupSecretName are looked at
  std::vector<std::pair<std::string, std::string>> flags;  ///< "limits.manifest_size" → "8MiB"; lists as YAML
  /// Looks at what was read without a problem; empty: nobody does.
  std::vector<Finding> (*check)(const Settings&) = nullptr;
};

/// Reads, merges and validates. The message of the error holds every problem found, one a line:
/// `berth.yaml:7:3: limits.manifest_sise: unknown key; expected …; did you mean manifest_size?`. Errors: request_invalid.
Result<Settings> load(const Sources& sources);

/// What differs between two settings, for a running server that re-read its file.
struct Change {
  std::string key;      ///< "log.level"
  std::string before;   ///< as an operator would write it
  std::string after;
  bool live = false;    ///< can be applied while running
};
std::vector<Change> changes(const Settings& before, const Settings& after);

/// The effective settings as YAML with the origin of each value as a comment ("# default", "# berth.yaml:3", …).
Result<std::string> print(const Sources& sources);
/// JSON Schema (2020-12) of the file.
std::string json_schema();
/// A table of all keys, defaults and help in Markdown: docs/configuration.md is made from it and a test compares.
std::string markdown_reference();

/// Sizes: 4096, 64KiB, 8MiB, 2GiB, also KB/MB/GB (decimal). Durations: 250ms, 10s, 5m, 24h, 14d. Errors:
/// request_invalid with what was expected.
Result<std::uint64_t> parse_size(std::string_view text);
Result<std::chrono::milliseconds> parse_duration(std::string_view text);

}  // namespace berth::config
