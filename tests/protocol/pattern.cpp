#include "tests/protocol/pattern.h"

#include <algorithm>
#include <charconv>
#include <vector>

#include "oci/digest.h"

namespace berth::test {

namespace {

struct Token {
  enum class Kind { text, any, uuid, digits, date } kind = Kind::text;
  std::string text = {};
  std::string capture = {};
};

Error bad(std::string message) { return make_error(ErrorCode::request_invalid, std::move(message)); }

std::optional<Token::Kind> wildcard(std::string_view word) {
  if (word == "any") return Token::Kind::any;
  if (word == "uuid") return Token::Kind::uuid;
  if (word == "digits") return Token::Kind::digits;
  if (word == "date") return Token::Kind::date;
  return std::nullopt;
}

Result<std::string> look_up(std::string_view name, const Variables& variables) {
  const auto found = variables.find(std::string(name));
  if (found == variables.end()) return bad("unknown name in {{" + std::string(name) + "}}");
  return found->second;
}

std::string hex_of(std::size_t number) {
  std::string out(16, '0');
  const auto end = std::to_chars(out.data(), out.data() + out.size(), number, 16).ptr;
  out.resize(static_cast<std::size_t>(end - out.data()));
  return out;
}

std::optional<int> hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return std::nullopt;
}

Result<std::string> from_hex(std::string_view hex) {
  std::string out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    const auto high = hex_digit(hex[i]);
    const auto low = hex_digit(hex[i + 1]);
    if (!high || !low) return bad("no hex: " + std::string(hex));
    out += static_cast<char>(*high * 16 + *low);
  }
  return out;
}

std::string digest_of(std::string_view algorithm, std::string_view text) {
  const auto kind = algorithm == "sha512" ? oci::Algorithm::sha512 : oci::Algorithm::sha256;
  return oci::hash(kind, as_bytes(text)).to_string();
}

Result<std::string> compute(std::string_view inside, const Variables& variables) {
  if (inside.starts_with("sha256:") || inside.starts_with("sha512:")) {
    return digest_of(inside.substr(0, 6), inside.substr(7));
  }
  const std::size_t space = inside.find(' ');
  if (space == std::string_view::npos) return look_up(inside, variables);
  const std::string_view verb = inside.substr(0, space);
  const std::string_view rest = inside.substr(space + 1);
  if (verb == "bytes") return from_hex(rest);
  if (verb == "repeat") {
    const std::size_t last = rest.rfind(' ');
    if (last == std::string_view::npos) return bad("repeat wants a text and a number");
    const auto times = std::strtoull(std::string(rest.substr(last + 1)).c_str(), nullptr, 10);
    std::string out;
    for (std::size_t i = 0; i < times; ++i) out += rest.substr(0, last);
    return out;
  }
  BERTH_TRY(const std::string value, look_up(rest, variables));
  if (verb == "sha256" || verb == "sha512") return digest_of(verb, value);
  if (verb == "size") return std::to_string(value.size());
  if (verb == "hexsize") return hex_of(value.size());
  return bad("unknown function in {{" + std::string(inside) + "}}");
}

Result<std::vector<Token>> tokens(std::string_view text, const Variables& variables) {
  std::vector<Token> out;
  const auto add_text = [&](std::string_view piece) {
    if (out.empty() || out.back().kind != Token::Kind::text) out.push_back({});
    out.back().text += piece;
  };
  // What a reply captures may be asked for again further down in the same reply: then it stays a name until then.
  std::vector<std::string> captured;
  while (!text.empty()) {
    const std::size_t begin = text.find("{{");
    add_text(text.substr(0, begin));
    if (begin == std::string_view::npos) break;
    const std::size_t end = text.find("}}", begin);
    if (end == std::string_view::npos) return bad("{{ without }}");
    const std::string_view inside = text.substr(begin + 2, end - begin - 2);
    const std::size_t equals = inside.find('=');
    const auto kind = wildcard(equals == std::string_view::npos ? inside : inside.substr(equals + 1));
    if (kind) {
      Token token{*kind, {}, equals == std::string_view::npos ? "" : std::string(inside.substr(0, equals))};
      if (!token.capture.empty()) captured.push_back(token.capture);
      out.push_back(std::move(token));
    } else if (std::find(captured.begin(), captured.end(), inside) != captured.end()) {
      out.push_back({Token::Kind::any, "", "=" + std::string(inside)});  // must equal the capture
    } else {
      BERTH_TRY(const std::string value, compute(inside, variables));
      add_text(render(value));
    }
    text.remove_prefix(end + 2);
  }
  return out;
}

bool fits(Token::Kind kind, std::string_view text) {
  if (kind == Token::Kind::any) return true;
  if (kind == Token::Kind::digits) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
  }
  if (kind == Token::Kind::date) return text.size() == 29 && text.ends_with(" GMT");
  return text.size() == 36 && text.find_first_not_of("0123456789abcdef-") == std::string_view::npos;
}

bool match_from(const std::vector<Token>& pattern, std::size_t at, std::string_view actual, Variables& captured) {
  if (at == pattern.size()) return actual.empty();
  const Token& token = pattern[at];
  if (token.kind == Token::Kind::text) {
    return actual.starts_with(token.text) && match_from(pattern, at + 1, actual.substr(token.text.size()), captured);
  }
  if (token.capture.starts_with('=')) {
    const std::string& value = captured[token.capture.substr(1)];
    return actual.starts_with(value) && match_from(pattern, at + 1, actual.substr(value.size()), captured);
  }
  // The shortest that fits, within one line.
  const std::size_t line_end = std::min(actual.find('\n'), actual.size());
  for (std::size_t size = 0; size <= line_end; ++size) {
    if (!fits(token.kind, actual.substr(0, size))) continue;
    if (!token.capture.empty()) captured[token.capture] = actual.substr(0, size);
    if (match_from(pattern, at + 1, actual.substr(size), captured)) return true;
  }
  return false;
}

}  // namespace

Result<std::string> expand(std::string_view text, const Variables& variables) {
  std::string out;
  while (!text.empty()) {
    const std::size_t begin = text.find("{{");
    out += text.substr(0, begin);
    if (begin == std::string_view::npos) break;
    const std::size_t end = text.find("}}", begin);
    if (end == std::string_view::npos) return bad("{{ without }}");
    BERTH_TRY(const std::string value, compute(text.substr(begin + 2, end - begin - 2), variables));
    out += value;
    text.remove_prefix(end + 2);
  }
  return out;
}

Result<bool> match(std::string_view pattern, std::string_view actual, Variables& variables) {
  BERTH_TRY(const auto parsed, tokens(pattern, variables));
  Variables captured = variables;
  if (!match_from(parsed, 0, actual, captured)) return false;
  variables = std::move(captured);
  return true;
}

std::string render(std::string_view bytes) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const char c = bytes[i];
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n' && i + 1 < bytes.size()) {
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\\') {
      out += "\\\\";
    } else if (byte < 0x20 || byte >= 0x7f) {
      out += "\\x";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  return out;
}

std::optional<std::string> unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out += text[i];
      continue;
    }
    if (++i == text.size()) return std::nullopt;
    switch (text[i]) {
      case 'r': out += '\r'; break;
      case 'n': out += '\n'; break;
      case 't': out += '\t'; break;
      case '\\': out += '\\'; break;
      case 'x': {
        if (i + 2 >= text.size()) return std::nullopt;
        const auto high = hex_digit(text[i + 1]);
        const auto low = hex_digit(text[i + 2]);
        if (!high || !low) return std::nullopt;
        out += static_cast<char>(*high * 16 + *low);
        i += 2;
        break;
      }
      default: return std::nullopt;
    }
  }
  return out;
}

}  // namespace berth::test
