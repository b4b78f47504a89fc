// The one table of everything that may be set. Parsing, environment names, `print`, the JSON Schema and the reference in
// docs/configuration.md are all made from its rows, so they cannot disagree. A new setting is a field in settings.h and
// a row in keys.cpp.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "config/settings.h"

namespace berth::config {

enum class Kind : std::uint8_t {
  text,
  url,       ///< scheme://host[:port] and nothing after it
  address,   ///< host:port
  size,      ///< bytes
  duration,  ///< milliseconds
  count,
  ratio,    ///< from 0 to 1
  flag,     ///< true or false
  choice,   ///< one of `choices`
  choices,  ///< a list, each one of `choices`, none twice
  files,    ///< a list of paths, or one path
  texts,    ///< a list of texts, or one
  claims,   ///< a map of texts or lists of texts
};

using TextLists = std::map<std::string, std::vector<std::string>>;
/// Where a value lives.
using Slot = std::variant<std::string*, std::uint64_t*, std::chrono::milliseconds*, bool*, double*,
                          std::vector<std::string>*, TextLists*>;

struct Key {
  std::string_view path;  ///< "limits.manifest_size"; "listeners[].address" for a field of each listener
  Kind kind = Kind::text;
  Slot (*slot)(void* owner) = nullptr;  ///< the owner is the Settings, or the innermost element of a list
  std::uint64_t min = 0;                              ///< of sizes (bytes), durations (ms) and counts
  std::uint64_t max = 0;
  std::string_view choices = {};  ///< separated by spaces
  bool live = false;              ///< applied while running; all others need a restart
  std::string_view help = {};
};

/// A list of maps.
struct List {
  std::string_view path;      ///< "grants[]"; "auth.oidc[].rules[]" for a list in each element of another
  std::size_t count_max = 0;
  std::string_view required;  ///< leaves that each element must have, separated by spaces
  std::string_view example;   ///< of an element
  std::size_t (*size)(void* owner) = nullptr;
  void* (*at)(void* owner, std::size_t index) = nullptr;
  void* (*add)(void* owner) = nullptr;  ///< one with the defaults
  void (*clear)(void* owner) = nullptr;
  std::size_t count_min = 0;
  bool live = false;
  std::string_view help = {};
};

/// A map that need not be there, and means something when it is.
struct Section {
  std::string_view path;                   ///< "listeners[].tls"
  bool* (*on)(void* owner) = nullptr;      ///< whether it is there
  std::string_view required;               ///< leaves that it must have, separated by spaces
  std::string_view help = {};
};

std::span<const Key> keys();
std::span<const List> lists();
std::span<const Section> sections();

inline constexpr std::string_view kListeners = "listeners";
inline constexpr std::size_t kListenersMax = 16;
inline constexpr std::size_t kCertificatesMax = 64;  ///< of one listener

/// "limits" of "limits.manifest_size"; empty for a key that stands alone.
std::string_view section_of(std::string_view path);
/// "manifest_size" of "limits.manifest_size".
std::string_view leaf_of(std::string_view path);
/// Is it a field of a list's elements?
inline bool in_list(std::string_view path) { return path.find("[]") != path.npos; }
/// The part of `path` below `prefix`, up to its next step: "tls" of "listeners[].tls.key" below "listeners[].". Empty
/// when it is not below.
std::string_view step_below(std::string_view path, std::string_view prefix);
std::vector<std::string_view> split_choices(std::string_view choices);
/// "BERTH__LIMITS__MANIFEST_SIZE"
std::string environment_name(std::string_view path);
/// What a valid value looks like, for messages and the reference: "a size from 64KiB to 64MiB".
std::string expectation(const Key& key);
/// The value as an operator would write it, without quotes.
std::string format_value(const Key& key, Slot slot);
/// The same as YAML: text in quotes, lists in brackets.
std::string format_yaml(const Key& key, Slot slot);

/// Parses one scalar into the slot. Errors: request_invalid: "what was wrong; expected …". The slot is untouched then.
Result<void> assign(const Key& key, Slot slot, const std::string& text);

/// The shortest exact form: "128KiB", "14d", "24h".
std::string format_size(std::uint64_t bytes);
std::string format_duration(std::chrono::milliseconds duration);

/// The candidate closest to `text`, if one is close enough to be what was meant.
std::string_view closest(std::string_view text, std::span<const std::string_view> candidates);

}  // namespace berth::config
