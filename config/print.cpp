// What people and editors read about the settings: the effective values, a JSON Schema, a reference in Markdown.
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "config/keys.h"
#include "config/merge.h"

namespace berth::config {
namespace {

using Json = nlohmann::ordered_json;

/// What stands right below a prefix, in the order of the table.
struct Child {
  std::string_view step;
  const Key* key = nullptr;    ///< one of these two, …
  const List* list = nullptr;  ///< … or neither: a section
};

std::vector<Child> children_of(std::string_view prefix) {
  std::vector<Child> children;
  for (const Key& key : keys()) {
    const std::string_view step = step_below(key.path, prefix);
    const bool seen = std::any_of(children.begin(), children.end(), [&](const Child& one) { return one.step == step; });
    if (step.empty() || seen) continue;
    Child child{.step = step};
    if (key.path.size() == prefix.size() + step.size()) child.key = &key;
    for (const List& list : lists())
      if (list.path == std::string(prefix) + std::string(step) + "[]") child.list = &list;
    children.push_back(child);
  }
  return children;
}

const Section* optional_section(std::string_view path) {
  for (const Section& section : sections())
    if (section.path == path) return &section;
  return nullptr;
}

std::string list_value(const List& list, void* owner);

/// The map below a prefix in one line. What is empty or false is left out: so it is without being said.
std::string map_value(std::string_view prefix, void* owner) {
  std::string text;
  const auto add = [&text](std::string_view name, std::string_view value) {
    text += fmt::format("{}{}: {}", text.empty() ? "" : ", ", name, value);
  };
  for (const Child& child : children_of(prefix)) {
    const std::string path = std::string(prefix) + std::string(child.step);
    if (child.key) {
      const std::string plain = format_value(*child.key, child.key->slot(owner));
      const bool said = !plain.empty() && !(child.key->kind == Kind::flag && plain == "false");
      if (said) add(child.step, format_yaml(*child.key, child.key->slot(owner)));
    } else if (child.list) {
      if (child.list->size(owner) > 0) add(child.step, list_value(*child.list, owner));
    } else if (const Section* section = optional_section(path); !section || *section->on(owner)) {
      add(child.step, map_value(path + ".", owner));
    }
  }
  return "{" + text + "}";
}

std::string list_value(const List& list, void* owner) {
  std::string text;
  for (std::size_t i = 0; i < list.size(owner); ++i)
    text += (i == 0 ? "" : ", ") + map_value(std::string(list.path) + ".", list.at(owner, i));
  return "[" + text + "]";
}

Json schema_of(const Key& key, Slot fallback) {
  Json schema;
  switch (key.kind) {
    case Kind::text:
    case Kind::address: schema["type"] = "string"; break;
    case Kind::url:
      schema["type"] = "string";
      schema["pattern"] = "^(https?://[^/?#@]+)?$";
      break;
    case Kind::size:
      schema["type"] = Json::array({"integer", "string"});
      schema["minimum"] = key.min;
      schema["maximum"] = key.max;
      schema["pattern"] = "^[0-9]+([KMGT]i?B|B)?$";
      break;
    case Kind::duration:
      schema["type"] = "string";
      schema["pattern"] = "^([0-9]+(ms|s|m|h|d)|0)$";
      break;
    case Kind::count:
      schema["type"] = "integer";
      schema["minimum"] = key.min;
      schema["maximum"] = key.max;
      break;
    case Kind::ratio:
      schema["type"] = "number";
      schema["minimum"] = 0;
      schema["maximum"] = 1;
      break;
    case Kind::flag: schema["type"] = "boolean"; break;
    case Kind::choice: schema["enum"] = split_choices(key.choices); break;
    case Kind::choices:
      schema["type"] = "array";
      schema["items"]["enum"] = split_choices(key.choices);
      if (in_list(key.path)) schema["minItems"] = 1;
      schema["uniqueItems"] = true;
      break;
    case Kind::files:
    case Kind::texts:
      schema["type"] = Json::array({"string", "array"});
      schema["items"]["type"] = "string";
      schema["minItems"] = 1;
      break;
    case Kind::claims:
      schema["type"] = "object";
      schema["minProperties"] = 1;
      schema["additionalProperties"]["type"] = Json::array({"string", "array"});
      schema["additionalProperties"]["items"]["type"] = "string";
      break;
  }
  if (key.kind == Kind::count)
    schema["default"] = *std::get<std::uint64_t*>(fallback);
  else if (key.kind == Kind::ratio)
    schema["default"] = *std::get<double*>(fallback);
  else if (key.kind == Kind::flag)
    schema["default"] = *std::get<bool*>(fallback);
  else if (key.kind == Kind::choices)
    schema["default"] = *std::get<std::vector<std::string>*>(fallback);
  else if (key.kind != Kind::files && key.kind != Kind::texts && key.kind != Kind::claims)  // none fits everybody
    schema["default"] = format_value(key, fallback);
  schema["description"] = key.help;
  return schema;
}

/// The map below a prefix. `fallback` has the defaults.
Json map_schema(std::string_view prefix, std::string_view required, void* fallback) {
  Json schema;
  schema["type"] = "object";
  schema["additionalProperties"] = false;
  schema["properties"] = Json::object();
  for (const Child& child : children_of(prefix)) {
    const std::string path = std::string(prefix) + std::string(child.step);
    Json& property = schema["properties"][std::string(child.step)];
    if (child.key) {
      property = schema_of(*child.key, child.key->slot(fallback));
    } else if (child.list) {
      property["type"] = "array";
      property["minItems"] = child.list->count_min;
      property["maxItems"] = child.list->count_max;
      property["description"] = child.list->help;
      const bool scratch = child.list->size(fallback) == 0;  // an element to look at
      void* element = scratch ? child.list->add(fallback) : child.list->at(fallback, 0);
      property["items"] = map_schema(path + "[].", child.list->required, element);
      if (scratch) child.list->clear(fallback);
    } else {
      const Section* section = optional_section(path);
      property = map_schema(path + ".", section ? section->required : "", fallback);
      if (section)
        property["description"] = section->help;
      else
        property["type"] = Json::array({"object", "null"});
    }
  }
  if (!required.empty()) schema["required"] = split_choices(required);
  return schema;
}

std::string table_row(const Key& key, std::string_view name, Slot fallback) {
  std::string value = format_value(key, fallback);
  std::string allowed = expectation(key);
  // The examples of how to write a value stand once above the tables.
  if (key.kind == Kind::size || key.kind == Kind::duration) allowed = allowed.substr(0, allowed.find(", as "));
  return fmt::format("| `{}` | {} | {} | {}{} |\n", name, value.empty() ? "" : "`" + value + "`", allowed, key.help,
                     key.live && !in_list(key.path) ? " Applied while running." : "");
}

/// The map below a prefix, a line for each value with its origin as `comment` tells it.
template <class Comment>
void print_map(const std::string& prefix, std::size_t indent, Settings& settings, const Comment& comment,
               std::string& text) {
  const std::string space(indent, ' ');
  for (const Child& child : children_of(prefix)) {
    const std::string path = prefix + std::string(child.step);
    if (child.key) {
      text += fmt::format("{}{}: {}  # {}\n", space, child.step, format_yaml(*child.key, child.key->slot(&settings)),
                          comment(path));
    } else if (child.list) {
      text += fmt::format("{}{}: {}  # {}\n", space, child.step, list_value(*child.list, &settings), comment(path));
    } else if (const Section* section = optional_section(path); !section || *section->on(&settings)) {
      text += fmt::format("{}{}:\n", space, child.step);
      print_map(path + ".", indent + 2, settings, comment, text);
    }
  }
}

/// The table of what stands right below a prefix, and after it those of all further down.
void markdown_map(const std::string& prefix, const std::string& title, std::string_view help, void* fallback,
                  std::string& text) {
  const auto children = children_of(prefix);
  const bool has_keys = std::any_of(children.begin(), children.end(), [](const Child& one) { return one.key; });
  if (has_keys || !help.empty()) text += fmt::format("\n## {}\n", title);
  if (!help.empty()) text += fmt::format("\n{}\n", help);
  if (has_keys) text += "\n| key | default | values | meaning |\n|---|---|---|---|\n";
  for (const Child& child : children)
    if (child.key) text += table_row(*child.key, child.step, child.key->slot(fallback));
  for (const Child& child : children) {
    const std::string path = prefix + std::string(child.step);
    if (child.key) continue;
    std::string below = path;  // the title has no brackets
    for (std::size_t at; (at = below.find("[]")) != below.npos;) below.erase(at, 2);
    if (!child.list) {
      const Section* section = optional_section(path);
      markdown_map(path + ".", below, section ? section->help : "", fallback, text);
      continue;
    }
    const bool scratch = child.list->size(fallback) == 0;  // an element to look at
    void* element = scratch ? child.list->add(fallback) : child.list->at(fallback, 0);
    const std::string about = fmt::format("A list of maps, as `[{}]`. {}{}", child.list->example, child.list->help,
                                          child.list->live ? " Applied while running." : "");
    markdown_map(path + "[].", below, about, element, text);
    if (scratch) child.list->clear(fallback);
  }
}

/// For a line of the log.
std::string shortened(const std::string& text) {
  constexpr std::size_t kMost = 400;
  if (text.size() <= kMost) return text;
  std::size_t end = kMost;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;  // between two characters
  return text.substr(0, end) + "…";
}

}  // namespace

Result<std::string> print(const Sources& sources) {
  Merged merged = merge(sources);
  if (!merged.problems.empty())
    return make_error(ErrorCode::request_invalid, fmt::format("{}", fmt::join(merged.problems, "\n")));
  auto comment = [&](std::string_view path) {
    auto origin = merged.origins.find(path);
    std::string text = origin == merged.origins.end() ? "default" : origin->second.brief();
    for (char& c : text)
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';  // a file may have any name
    return text;
  };
  std::string text;
  print_map("", 0, merged.settings, comment, text);
  return text;
}

std::vector<Change> changes(const Settings& before, const Settings& after) {
  std::vector<Change> found;
  Settings old_settings = before, new_settings = after;  // slots point into what they describe
  const bool accounts = accounts_on(before.auth) && accounts_on(after.auth);  // who begins or ends with them starts anew
  auto note = [&](std::string_view path, const std::string& old_text, const std::string& new_text, bool live) {
    if (old_text != new_text) found.push_back({std::string(path), shortened(old_text), shortened(new_text), live});
  };
  for (const Key& key : keys()) {
    if (in_list(key.path)) continue;
    note(key.path, format_value(key, key.slot(&old_settings)), format_value(key, key.slot(&new_settings)),
         key.live && (accounts || !key.path.starts_with("auth.")));
  }
  for (const List& list : lists())
    if (const auto path = list.path.substr(0, list.path.size() - 2); !in_list(path))
      note(path, list_value(list, &old_settings), list_value(list, &new_settings), list.live && accounts);
  return found;
}

std::string json_schema() {
  Json root;
  root["$schema"] = "https://json-schema.org/draft/2020-12/schema";
  root["title"] = "berth configuration";
  Settings settings;
  root.update(map_schema("", "", &settings));
  return root.dump(2) + "\n";
}

std::string markdown_reference() {
  std::string text =
      "# Configuration\n"
      "\n"
      "This page is printed by `berth config reference`; a test keeps it true.\n"
      "\n"
      "A setting is taken from the first of these that has it: the command line (`--set limits.manifest_size=8MiB`, and\n"
      "`--listen`, `--data`, `--log-level`), the environment, the file (`--config FILE`, else the file that\n"
      "`BERTH_CONFIG` names), the default. berth runs without any file.\n"
      "\n"
      "```yaml\n"
      "listeners:\n"
      "  - {address: \"127.0.0.1:5000\", serve: [registry, health, metrics]}\n"
      "data:\n"
      "  directory: /var/lib/berth\n"
      "limits:\n"
      "  manifest_size: 8MiB\n"
      "```\n"
      "\n"
      "In the environment `limits.manifest_size` is `BERTH__LIMITS__MANIFEST_SIZE`, with two underscores at each step;\n"
      "lists are taken as YAML: `BERTH__LISTENERS` is `[{address: \"127.0.0.1:5000\"}]`, `BERTH__AUTH__LDAP__URL` is\n"
      "`ldap://a` or `[\"ldap://a\", \"ldap://b\"]`. An unknown key, or an unknown name that begins with `BERTH__`, is an\n"
      "error. Where the tables below say text or a list of texts, both will do in the file.\n"
      "\n"
      "Sizes are bytes or carry a unit: `4096`, `64KiB`, `8MiB`, `2GiB` (or `KB`, `MB`, `GB` in thousands). Durations\n"
      "are `250ms`, `10s`, `5m`, `24h`, `14d`.\n"
      "\n"
      "A listener speaks TLS when it has `tls`: `{address: \"127.0.0.1:5443\", tls: {certificate: tls.crt, key: tls.key}}`;\n"
      "[operations](operations.md#tls) says more. [Who may do what](access.md) has examples of `auth`, `roles` and\n"
      "`grants`. Secrets are never settings: settings name the files that hold them.\n"
      "\n"
      "`berth config check` reports every problem of a file with its line, `berth config print` shows each value and\n"
      "where it came from, `berth config schema` prints a JSON Schema for editors. On SIGHUP, and when the file\n"
      "changes, a running berth reads everything again: a bad file changes nothing, and a changed setting that needs a\n"
      "restart is named in the log.\n";
  Settings settings;
  markdown_map("", "top level", "", &settings, text);
  return text;
}

}  // namespace berth::config
