// Repository names, tags and references. The oracle is the grammar of the standard, matched by a table-driven automaton
// that shares nothing with the matchers.
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "oci/name.h"
#include "tests/fuzz/property.h"

using namespace berth;
using namespace berth::oci;

namespace {

enum State : std::uint8_t { component_start, in_word, after_dot, after_one_line, after_two_lines, after_dashes, dead };
enum Class : std::uint8_t { alnum, dot, line, dash, slash, other };

Class class_of(char c) {
  if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) return alnum;
  switch (c) {
    case '.':
      return dot;
    case '_':
      return line;
    case '-':
      return dash;
    case '/':
      return slash;
    default:
      return other;
  }
}

bool matches_name(std::string_view text) {
  //                                        alnum    dot        line             dash          slash            other
  constexpr State kNext[6][6] = {/* start */ {in_word, dead, dead, dead, dead, dead},
                                 /* word */ {in_word, after_dot, after_one_line, after_dashes, component_start, dead},
                                 /* . */ {in_word, dead, dead, dead, dead, dead},
                                 /* _ */ {in_word, dead, after_two_lines, dead, dead, dead},
                                 /* __ */ {in_word, dead, dead, dead, dead, dead},
                                 /* - */ {in_word, dead, dead, after_dashes, dead, dead}};
  State state = component_start;
  for (const char c : text) {
    state = kNext[state][class_of(c)];
    if (state == dead) return false;
  }
  return state == in_word;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto name = RepositoryName::parse(text);
  require(name.has_value() == (size <= RepositoryName::kSizeMax && matches_name(text)), "names follow the grammar");
  if (name) require(name->text() == text, "a name is its text");
  if (!name) require(name.error().code == ErrorCode::name_invalid, "a refused name is name_invalid");

  const auto reference = parse_reference(text);
  const bool has_colon = text.find(':') != std::string_view::npos;
  if (reference) {
    require(to_string(*reference) == text, "format after parse gives the reference back");
    require(std::holds_alternative<Digest>(*reference) == has_colon, "what holds a colon is a digest, else a tag");
  } else {
    require((reference.error().code == ErrorCode::tag_invalid) == !has_colon, "the refusal names the right kind");
  }
  const auto tag = Tag::parse(text);
  if (tag) require(tag->text() == text && !has_colon && text.front() != '.' && text.front() != '-', "a tag is a tag");
  ignore(tag);
  return 0;
}
