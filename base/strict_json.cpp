#include "base/strict_json.h"

#include <spdlog/fmt/fmt.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace berth {
namespace {

using nlohmann::json;

/// The handler of nlohmann's SAX interface: builds the value and stops at the first thing that is not strict.
class Builder {
 public:
  explicit Builder(std::size_t depth_max) : depth_max_(depth_max) {}

  Result<json> take(bool whole) && {
    if (error_) return std::move(*error_);
    if (!whole) return make_error(ErrorCode::request_invalid, "the text is not valid JSON");
    return std::move(root_);
  }

  bool null() { return add(nullptr) != nullptr; }
  bool boolean(bool value) { return add(value) != nullptr; }
  bool number_integer(std::int64_t value) { return add(value) != nullptr; }
  bool number_unsigned(std::uint64_t value) { return add(value) != nullptr; }
  bool number_float(double value, const std::string&) { return add(value) != nullptr; }
  bool string(std::string& value) { return add(std::move(value)) != nullptr; }
  bool binary(std::vector<std::uint8_t>&) { return fail("the text is not JSON"); }
  bool start_object(std::size_t) { return open(json::object()); }
  bool start_array(std::size_t) { return open(json::array()); }
  bool key(std::string& name) {
    json& object = *stack_.back();
    if (object.contains(name)) {
      constexpr std::size_t kShownMax = 64;
      return fail(name.size() > kShownMax ? "an object has a member twice"
                                          : fmt::format("an object has the member \"{}\" twice", name));
    }
    member_ = &object[std::move(name)];
    return true;
  }
  bool end_object() { return close(); }
  bool end_array() { return close(); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) {
    return fail(fmt::format("the text is not valid JSON near byte {}", position));
  }

 private:
  bool fail(std::string message) {
    if (!error_) error_ = make_error(ErrorCode::request_invalid, std::move(message));
    return false;
  }

  /// Puts a value where the parser stands; null when that fails. An object's members live in a node-based map and only
  /// the innermost array grows, so the pointers on the stack stay valid.
  json* add(json value) {
    if (stack_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    if (stack_.back()->is_array()) {
      stack_.back()->push_back(std::move(value));
      return &stack_.back()->back();
    }
    *member_ = std::move(value);
    return member_;
  }
  bool open(json container) {
    if (stack_.size() >= depth_max_) return fail(fmt::format("the JSON is nested deeper than {} levels", depth_max_));
    stack_.push_back(add(std::move(container)));
    return true;
  }
  bool close() {
    stack_.pop_back();
    return true;
  }

  const std::size_t depth_max_;
  json root_;
  std::vector<json*> stack_;   ///< open containers, outermost first
  json* member_ = nullptr;     ///< of the innermost object, the one whose value comes next
  std::optional<Error> error_;
};

}  // namespace

Result<json> parse_strict_json(std::string_view text, std::size_t depth_max) {
  const auto refuse = [](const char* why) { return make_error(ErrorCode::request_invalid, why); };
  // The JSON library skips a byte order mark and takes a zero byte for the end of the text.
  if (text.starts_with("\xef\xbb\xbf")) return refuse("the text starts with a byte order mark");
  if (text.find('\0') != std::string_view::npos) return refuse("the text holds a zero byte");
  Builder builder(depth_max);
  const bool whole = json::sax_parse(text.begin(), text.end(), &builder);
  return std::move(builder).take(whole);
}

}  // namespace berth
