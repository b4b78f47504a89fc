#include "config/keys.h"

#include <arpa/inet.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "config/key_tables.h"

namespace berth::config {
namespace {

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

std::span<const Key> keys() {
  static const std::vector<Key> all = [] {
    const auto general = general_keys(), auth = auth_keys();
    std::vector<Key> together(general.begin(), general.end());
    together.insert(together.end(), auth.begin(), auth.end());
    return together;
  }();
  return all;
}

std::string_view section_of(std::string_view path) {
  std::size_t dot = path.rfind('.');
  return dot == path.npos ? std::string_view{} : path.substr(0, dot);
}

std::string_view leaf_of(std::string_view path) { return path.substr(path.rfind('.') + 1); }

std::string_view step_below(std::string_view path, std::string_view prefix) {
  if (!path.starts_with(prefix)) return {};
  path.remove_prefix(prefix.size());
  return path.substr(0, path.find_first_of(".["));
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
    case Kind::ratio: return "a number from 0 to 1, as 0.05";
    case Kind::flag: return "true or false";
    case Kind::choice: return alternatives(key.choices);
    case Kind::choices: return "a list of " + alternatives(key.choices);
    case Kind::files: return "the path of a file, or a list of such paths";
    case Kind::texts: return "text, or a list of texts";
    case Kind::claims: return "a map of names, each with a text or a list of texts";
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
    std::string operator()(const double* number) const { return fmt::format("{}", *number); }
    std::string operator()(const bool* flag) const { return *flag ? "true" : "false"; }
    std::string operator()(const std::vector<std::string>* list) const {
      if (key.kind != Kind::choices && list->size() == 1) return list->front();
      return list->empty() ? "" : fmt::format("[{}]", fmt::join(*list, ", "));
    }
    std::string operator()(const TextLists* lists) const {
      std::string text;
      for (const auto& [name, list] : *lists)
        text += fmt::format("{}{}: [{}]", text.empty() ? "" : ", ", name, fmt::join(list, ", "));
      return text.empty() ? "" : "{" + text + "}";
    }
  };
  return std::visit(Format{key}, slot);
}

std::string format_yaml(const Key& key, Slot slot) {
  auto quoted = [](const std::string& text) {
    return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  };
  auto bracketed = [&quoted](const std::vector<std::string>& texts) {
    std::string list;
    for (const auto& text : texts) list += (list.empty() ? "" : ", ") + quoted(text);
    return "[" + list + "]";
  };
  if (key.kind == Kind::files || key.kind == Kind::texts) return bracketed(*std::get<std::vector<std::string>*>(slot));
  if (key.kind == Kind::claims) {
    std::string map;
    for (const auto& [name, texts] : *std::get<TextLists*>(slot))
      map += fmt::format("{}{}: {}", map.empty() ? "" : ", ", quoted(name), bracketed(texts));
    return "{" + map + "}";
  }
  if (key.kind == Kind::choices && std::get<std::vector<std::string>*>(slot)->empty()) return "[]";
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
    case Kind::texts:
      if (text.empty()) return wrong("is empty");
      if (has_control_character(text)) return wrong("holds a control character");
      if (!is_utf8(text)) return wrong("is not UTF-8");
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
    case Kind::ratio: {
      double number = 0;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
      if (error != std::errc{} || end != text.data() + text.size()) return wrong("is not a number");
      if (!(number >= 0 && number <= 1)) return wrong("is out of range");
      *std::get<double*>(slot) = number;
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
    case Kind::claims: break;  // its texts are assigned one by one, as of Kind::texts
  }
  return wrong("is no single value");
}

}  // namespace berth::config
