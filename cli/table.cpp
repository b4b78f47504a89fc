#include "cli/table.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/answers.h"

namespace berth::cli {
namespace {

using json = nlohmann::ordered_json;

/// How many characters, not bytes: all but the continuation bytes of UTF-8.
std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string joined(const json& list, std::string_view between) {
  std::string text;
  for (const auto& element : list) {
    if (!text.empty()) text += between;
    if (element.is_string()) {
      text += element.get<std::string>();
    } else if (element.is_object() && element.contains("repositories") && element.contains("actions")) {
      // One line of a scope or a ceiling.
      text += joined(element["repositories"], ",") + ":" + joined(element["actions"], ",");
    } else {
      text += element.dump(-1, ' ', false, json::error_handler_t::replace);
    }
  }
  return text;
}

std::string text_of(const json& value) {
  if (value.is_null()) return "-";
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  std::string text = value.is_string()  ? value.get<std::string>()
                     : value.is_array() ? joined(value, ", ")
                                        : value.dump(-1, ' ', false, json::error_handler_t::replace);
  return text.empty() ? "-" : text;
}

}  // namespace

void print_table(std::ostream& out, const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  std::vector<std::vector<std::string>> shown;
  for (const auto& row : rows) {
    auto& cells = shown.emplace_back();
    for (std::size_t i = 0; i < row.size(); ++i) {
      cells.push_back(harmless(row[i]));
      if (widths.size() <= i) widths.push_back(0);
      widths[i] = std::max(widths[i], width(cells.back()));
    }
  }
  for (const auto& row : shown) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths[i] - width(row[i]) + 2, ' ');
    }
    out << line << '\n';
  }
}

std::string text_of(const json& object, std::string_view member) {
  const auto found = object.is_object() ? object.find(std::string(member)) : object.end();
  return found == object.end() ? "-" : text_of(*found);
}

void print_json(std::ostream& out, const json& value) {
  out << value.dump(2, ' ', false, json::error_handler_t::replace) << '\n';
}

void print_list(const Session& session, const json& items, std::span<const Field> fields, std::string_view key) {
  if (session.as_json()) return print_json(session.out(), items);
  if (session.quiet()) {
    for (const auto& item : items) session.out() << harmless(text_of(item, key)) << '\n';
    return;
  }
  std::vector<std::vector<std::string>> rows(1);
  for (const auto& field : fields) rows.front().emplace_back(field.title);
  for (const auto& item : items) {
    auto& row = rows.emplace_back();
    for (const auto& field : fields) row.push_back(text_of(item, field.member));
  }
  print_table(session.out(), rows);
}

void print_object(const Session& session, const json& object, std::span<const Field> fields, std::string_view key) {
  if (session.as_json()) return print_json(session.out(), object);
  if (session.quiet()) {
    session.out() << harmless(text_of(object, key)) << '\n';
    return;
  }
  std::vector<std::vector<std::string>> rows;
  for (const auto& field : fields) rows.push_back({std::string(field.title), text_of(object, field.member)});
  print_table(session.out(), rows);
}

}  // namespace berth::cli
