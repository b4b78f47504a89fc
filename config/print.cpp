// What people and editors read about the settings: the effective values, a JSON Schema, a reference in Markdown.
#include <spdlog/fmt/fmt.h>

#include <nlohmann/json.hpp>

#include "config/keys.h"
#include "config/merge.h"

namespace berth::config {
namespace {

using Json = nlohmann::ordered_json;

std::string listeners_value(const std::vector<ListenerSettings>& listeners) {
  std::string text;
  for (ListenerSettings listener : listeners) {
    std::string fields, tls;
    for (const Key& key : keys()) {
      if (!key.listener_slot) continue;
      const bool of_tls = key.path.starts_with(kListenerTlsPrefix);
      std::string& into = of_tls ? tls : fields;
      into += fmt::format("{}{}: {}", into.empty() ? "" : ", ",
                          key.path.substr(of_tls ? kListenerTlsPrefix.size() : kListenerPrefix.size()),
                          format_yaml(key, key.listener_slot(listener)));
    }
    if (listener.tls.on) fields += fmt::format(", tls: {{{}}}", tls);
    text += fmt::format("{}{{{}}}", text.empty() ? "" : ", ", fields);
  }
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
    case Kind::flag: schema["type"] = "boolean"; break;
    case Kind::choice: schema["enum"] = split_choices(key.choices); break;
    case Kind::choices:
      schema["type"] = "array";
      schema["items"]["enum"] = split_choices(key.choices);
      schema["minItems"] = 1;
      schema["uniqueItems"] = true;
      break;
    case Kind::files:
      schema["type"] = Json::array({"string", "array"});
      schema["items"]["type"] = "string";
      schema["minItems"] = 1;
      break;
  }
  if (key.kind == Kind::count)
    schema["default"] = *std::get<std::uint64_t*>(fallback);
  else if (key.kind == Kind::flag)
    schema["default"] = *std::get<bool*>(fallback);
  else if (key.kind == Kind::choices)
    schema["default"] = *std::get<std::vector<std::string>*>(fallback);
  else if (key.kind != Kind::files)  // there is no path that fits everybody
    schema["default"] = format_value(key, fallback);
  schema["description"] = key.help;
  return schema;
}

Json object_schema() {
  Json schema;
  schema["type"] = "object";
  schema["additionalProperties"] = false;
  schema["properties"] = Json::object();
  return schema;
}

std::string table_row(const Key& key, std::string_view name, Slot fallback) {
  std::string value = format_value(key, fallback);
  std::string allowed = key.kind == Kind::text ? "text" : expectation(key);
  // The examples of how to write a value stand once above the tables.
  if (key.kind == Kind::size || key.kind == Kind::duration) allowed = allowed.substr(0, allowed.find(", as "));
  return fmt::format("| `{}` | {} | {} | {}{} |\n", name, value.empty() ? "" : "`" + value + "`", allowed, key.help,
                     key.live ? " Applied by SIGHUP." : "");
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
  std::string_view section;
  bool listeners_printed = false;
  for (const Key& key : keys()) {
    if (key.listener_slot) {
      if (!listeners_printed)
        text += fmt::format("{}: {}  # {}\n", kListeners, listeners_value(merged.settings.listeners),
                            comment(kListeners));
      listeners_printed = true;
      continue;
    }
    std::string_view own = section_of(key.path);
    if (own != section) text += fmt::format("{}:\n", own);
    section = own;
    text += fmt::format("{}{}: {}  # {}\n", own.empty() ? "" : "  ", leaf_of(key.path),
                        format_yaml(key, key.slot(merged.settings)), comment(key.path));
  }
  return text;
}

std::vector<Change> changes(const Settings& before, const Settings& after) {
  std::vector<Change> found;
  Settings old_settings = before, new_settings = after;  // slots point into what they describe
  auto note = [&](std::string_view path, std::string old_text, std::string new_text, bool live) {
    if (old_text != new_text) found.push_back({std::string(path), std::move(old_text), std::move(new_text), live});
  };
  note(kListeners, listeners_value(before.listeners), listeners_value(after.listeners), false);
  for (const Key& key : keys())
    if (key.slot)
      note(key.path, format_value(key, key.slot(old_settings)), format_value(key, key.slot(new_settings)), key.live);
  return found;
}

std::string json_schema() {
  Json root;
  root["$schema"] = "https://json-schema.org/draft/2020-12/schema";
  root["title"] = "berth configuration";
  Json top = object_schema();
  root.update(top);
  Settings settings;
  for (const Key& key : keys()) {
    if (key.listener_slot) {
      Json& listeners = root["properties"][std::string(kListeners)];
      if (listeners.is_null()) {
        listeners["type"] = "array";
        listeners["minItems"] = 1;
        listeners["maxItems"] = kListenersMax;
        listeners["items"] = object_schema();
      }
      ListenerSettings fallback;
      Json* parent = &listeners["items"];
      if (key.path.starts_with(kListenerTlsPrefix)) {
        parent = &(*parent)["properties"]["tls"];
        if (parent->is_null()) {
          *parent = object_schema();
          (*parent)["required"] = Json::array({"certificate", "key"});
        }
      }
      (*parent)["properties"][std::string(key.path.substr(key.path.rfind('.') + 1))] =
          schema_of(key, key.listener_slot(fallback));
      continue;
    }
    Json* parent = &root;
    if (auto section = section_of(key.path); !section.empty()) {
      parent = &root["properties"][std::string(section)];
      if (parent->is_null()) *parent = object_schema();
      (*parent)["type"] = Json::array({"object", "null"});
    }
    (*parent)["properties"][std::string(leaf_of(key.path))] = schema_of(key, key.slot(settings));
  }
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
      "  - {address: \"127.0.0.1:5000\", serve: [registry, health]}\n"
      "data:\n"
      "  directory: /var/lib/berth\n"
      "limits:\n"
      "  manifest_size: 8MiB\n"
      "```\n"
      "\n"
      "In the environment `limits.manifest_size` is `BERTH__LIMITS__MANIFEST_SIZE`, with two underscores at each step;\n"
      "`BERTH__LISTENERS` takes the list as YAML: `[{address: \"127.0.0.1:5000\"}]`. An unknown key, or an unknown name\n"
      "that begins with `BERTH__`, is an error.\n"
      "\n"
      "Sizes are bytes or carry a unit: `4096`, `64KiB`, `8MiB`, `2GiB` (or `KB`, `MB`, `GB` in thousands). Durations\n"
      "are `250ms`, `10s`, `5m`, `24h`, `14d`.\n"
      "\n"
      "A listener speaks TLS when it has `tls`: `{address: \"127.0.0.1:5443\", tls: {certificate: tls.crt, key: tls.key}}`;\n"
      "below, `tls.key` is the `key` in it. [Operations](operations.md#tls) says more.\n"
      "\n"
      "`berth config check` reports every problem of a file with its line, `berth config print` shows each value and\n"
      "where it came from, `berth config schema` prints a JSON Schema for editors. On SIGHUP a running berth reads\n"
      "everything again: a bad file changes nothing, and a changed setting that needs a restart is named in the log.\n";
  Settings settings;
  ListenerSettings listener;
  std::string_view section = "-";
  for (const Key& key : keys()) {
    std::string_view own = key.listener_slot ? kListeners : section_of(key.path);
    if (own != section)
      text += fmt::format("\n## {}\n\n| key | default | values | meaning |\n|---|---|---|---|\n",
                          own.empty() ? "top level" : own);
    section = own;
    text += key.listener_slot ? table_row(key, key.path.substr(kListenerPrefix.size()), key.listener_slot(listener))
                              : table_row(key, leaf_of(key.path), key.slot(settings));
  }
  return text;
}

}  // namespace berth::config
