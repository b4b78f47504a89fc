// Answers of a server as tables for people, as JSON for programs, or as bare names with --quiet.
#pragma once

#include <iosfwd>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/session.h"

namespace berth::cli {

/// Columns as wide as their widest cell, two blanks between them. Cells are UTF-8; what a terminal would obey is shown
/// as '?'.
void print_table(std::ostream& out, const std::vector<std::vector<std::string>>& rows);

/// What a column or a line shows of an object.
struct Field {
  std::string_view title;
  std::string_view member;
};

/// A member for a person: "-" for what is empty or missing, "yes", "a, b".
std::string text_of(const nlohmann::ordered_json& object, std::string_view member);

/// `key`: what --quiet shows of each.
void print_list(const Session& session, const nlohmann::ordered_json& items, std::span<const Field> fields, std::string_view key);
/// One object, a line for each field. --quiet shows `key` alone.
void print_object(const Session& session, const nlohmann::ordered_json& object, std::span<const Field> fields,
                  std::string_view key);
void print_json(std::ostream& out, const nlohmann::ordered_json& value);

}  // namespace berth::cli
