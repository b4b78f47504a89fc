#include "api/admin/fields.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "auth/actions.h"
#include "base/bytes.h"
#include "base/strict_json.h"
#include "registry/identities/rules.h"

namespace berth::api::admin {

namespace {

constexpr std::size_t kBodyMax = 1 << 20;  // a group of a thousand long names

Error invalid(std::string message) { return make_error(ErrorCode::request_invalid, std::move(message)); }

Error too_large() { return invalid("the body is larger than " + std::to_string(kBodyMax) + " bytes"); }

/// A page in somebody's browser can send any other type without asking first, with the credentials that the browser
/// keeps.
bool is_json(std::string_view type) {
  const std::string_view name = type.substr(0, type.find(';'));
  std::string lower = registry::lower_case(name);
  while (lower.ends_with(' ') || lower.ends_with('\t')) lower.pop_back();
  return lower == "application/json" || lower == "application/merge-patch+json";
}

/// So many digits as a number, or nothing.
std::optional<int> take_digits(std::string_view& text, std::size_t count) {
  if (text.size() < count) return std::nullopt;
  int value = 0;
  for (const char c : text.substr(0, count)) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  text.remove_prefix(count);
  return value;
}

bool take(std::string_view& text, std::string_view any_of) {
  if (text.empty() || any_of.find(text.front()) == std::string_view::npos) return false;
  text.remove_prefix(1);
  return true;
}

registry::ActionMask bit_of(std::string_view action) {
  if (action == "pull") return registry::action::pull;
  if (action == "push") return registry::action::push;
  if (action == "overwrite") return registry::action::overwrite;
  if (action == "delete") return registry::action::remove;
  if (action == "admin") return registry::action::admin;
  if (action == "metrics") return registry::action::metrics;
  return 0;
}

}  // namespace

std::optional<WallTime> parse_rfc3339(std::string_view text) {
  const auto year = take_digits(text, 4);
  if (!year || !take(text, "-")) return std::nullopt;
  const auto month = take_digits(text, 2);
  if (!month || !take(text, "-")) return std::nullopt;
  const auto day = take_digits(text, 2);
  if (!day || !take(text, "Tt")) return std::nullopt;
  const auto hour = take_digits(text, 2);
  if (!hour || !take(text, ":")) return std::nullopt;
  const auto minute = take_digits(text, 2);
  if (!minute || !take(text, ":")) return std::nullopt;
  const auto second = take_digits(text, 2);
  if (!second) return std::nullopt;
  int milliseconds = 0;
  if (take(text, ".")) {
    int scale = 100;
    std::size_t digits = 0;
    for (; !text.empty() && text.front() >= '0' && text.front() <= '9'; ++digits, scale /= 10) {
      milliseconds += (text.front() - '0') * scale;
      text.remove_prefix(1);
    }
    if (digits == 0) return std::nullopt;
  }
  std::chrono::minutes offset{0};
  if (!take(text, "Zz")) {
    const bool west = text.starts_with('-');
    if (!take(text, "+-")) return std::nullopt;
    const auto hours = take_digits(text, 2);
    if (!hours || !take(text, ":")) return std::nullopt;
    const auto minutes = take_digits(text, 2);
    if (!minutes || *hours > 23 || *minutes > 59) return std::nullopt;
    offset = std::chrono::minutes((*hours * 60 + *minutes) * (west ? -1 : 1));
  }
  const std::chrono::year_month_day date(std::chrono::year(*year), std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day)));
  // A leap second is the first moment of the next minute.
  if (!text.empty() || !date.ok() || *hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  const WallTime time = std::chrono::sys_days(date) + std::chrono::hours(*hour) + std::chrono::minutes(*minute) +
                        std::chrono::seconds(*second) + std::chrono::milliseconds(milliseconds) - offset;
  if (time <= WallTime{}) return std::nullopt;
  return time;
}

Task<Json> read_object(Context& context) {
  const Request& request = context.request;
  if (!is_json(request.headers.get("Content-Type"))) {
    co_return invalid("say what you want as JSON, with the header Content-Type: application/json");
  }
  if (request.content_length.value_or(0) > kBodyMax) co_return too_large();
  MemoryBudget::Share memory(context.form_memory);
  std::string body;
  while (true) {
    BERTH_CO_TRY(const registry::Buffer buffer, co_await request.body->next());
    if (buffer.size() == 0) break;
    if (buffer.size() > kBodyMax - body.size()) co_return too_large();
    if (!take_for_form(memory, body.size(), buffer.size())) {
      co_return make_error(ErrorCode::unavailable, "too many requests are being received at once; try again");
    }
    body += as_text(buffer.bytes());
  }
  auto parsed = parse_strict_json(body);
  if (!parsed) co_return invalid("the body is no JSON that can be read: " + parsed.error().message);
  if (!parsed->is_object()) co_return invalid("the body is not a JSON object");
  co_return *std::move(parsed);
}

Fields::Fields(const Json& object, std::string where) : object_(object), where_(std::move(where)) {}

const Json* Fields::find(std::string_view name) {
  seen_.emplace(name);
  const auto found = object_.find(name);
  return found == object_.end() ? nullptr : &*found;
}

void Fields::refuse(std::string_view name, std::string_view what) {
  if (!problem_) problem_ = invalid(where_ + std::string(name) + " " + std::string(what));
}

std::optional<std::string> Fields::text(std::string_view name) {
  const Json* found = find(name);
  if (found == nullptr) return std::nullopt;
  if (const auto* value = found->get_ptr<const Json::string_t*>()) return *value;
  refuse(name, "is not a text");
  return std::nullopt;
}

std::string Fields::required_text(std::string_view name) {
  auto value = text(name);
  if (!value) refuse(name, "is missing");
  return std::move(value).value_or("");
}

std::optional<bool> Fields::boolean(std::string_view name) {
  const Json* found = find(name);
  if (found == nullptr) return std::nullopt;
  if (const auto* value = found->get_ptr<const Json::boolean_t*>()) return *value;
  refuse(name, "is neither true nor false");
  return std::nullopt;
}

std::optional<std::vector<std::string>> Fields::texts(std::string_view name) {
  const Json* found = find(name);
  if (found == nullptr) return std::nullopt;
  std::vector<std::string> values;
  const bool all_texts = found->is_array() && std::ranges::all_of(*found, [&](const Json& one) {
    const auto* value = one.get_ptr<const Json::string_t*>();
    if (value != nullptr) values.push_back(*value);
    return value != nullptr;
  });
  if (!all_texts) {
    refuse(name, "is not a list of texts");
    return std::nullopt;
  }
  return values;
}

std::vector<std::string> Fields::required_texts(std::string_view name) {
  auto values = texts(name);
  if (!values) refuse(name, "is missing");
  return std::move(values).value_or(std::vector<std::string>{});
}

bool Fields::is_null(std::string_view name) {
  const auto found = object_.find(name);
  if (found == object_.end() || !found->is_null()) return false;
  seen_.emplace(name);
  return true;
}

std::optional<WallTime> Fields::time(std::string_view name) {
  if (is_null(name)) return WallTime{};
  const auto value = text(name);
  if (!value) return std::nullopt;
  const auto parsed = parse_rfc3339(*value);
  if (!parsed) refuse(name, "is not a time like 2030-01-31T12:00:00Z");
  return parsed;
}

std::optional<registry::ActionMask> Fields::actions(std::string_view name) {
  const auto names = texts(name);
  if (!names) return std::nullopt;
  registry::ActionMask mask = 0;
  for (const std::string& action : *names) {
    const registry::ActionMask bit = bit_of(action);
    if (bit == 0) refuse(name, "holds no action but pull, push, overwrite, delete and admin");
    mask |= bit;
  }
  return mask;
}

registry::ActionMask Fields::required_actions(std::string_view name) {
  const auto mask = actions(name);
  if (!mask) refuse(name, "is missing");
  return mask.value_or(0);
}

std::optional<registry::Ceiling> Fields::ceiling(std::string_view name) {
  if (is_null(name)) return registry::Ceiling{};
  const Json* found = find(name);
  if (found == nullptr) return std::nullopt;
  if (!found->is_array()) {
    refuse(name, "is not a list");
    return std::nullopt;
  }
  std::vector<registry::CeilingEntry> entries;
  for (const Json& one : *found) {
    const std::string where = where_ + std::string(name) + "[" + std::to_string(entries.size()) + "]";
    if (!one.is_object()) {
      refuse(name, "holds what is not an object");
      return std::nullopt;
    }
    Fields line(one, where + ".");
    registry::CeilingEntry entry;
    entry.repositories = line.required_texts("repositories");
    entry.actions = line.required_actions("actions");
    if (auto read = line.done(); !read) {
      if (!problem_) problem_ = read.error();
      return std::nullopt;
    }
    entries.push_back(std::move(entry));
  }
  return registry::Ceiling(std::move(entries));
}

Result<void> Fields::done() {
  for (const auto& [name, value] : object_.items()) {
    // Told only when it is short: somebody may have put a secret in the wrong place.
    if (!seen_.contains(name)) refuse(name.size() <= 64 ? name : "one of the members", "is no member that is known here");
  }
  if (problem_) return *problem_;
  return {};
}

}  // namespace berth::api::admin
