#include "server/request_head.h"

#include <algorithm>
#include <array>

namespace berth::server {
namespace {

constexpr std::array<bool, 256> make_token_table() {
  std::array<bool, 256> table{};
  for (char c = '0'; c <= '9'; ++c) table[static_cast<unsigned char>(c)] = true;
  for (char c = 'a'; c <= 'z'; ++c) table[static_cast<unsigned char>(c)] = true;
  for (char c = 'A'; c <= 'Z'; ++c) table[static_cast<unsigned char>(c)] = true;
  for (char c : std::string_view("!#$%&'*+-.^_`|~")) table[static_cast<unsigned char>(c)] = true;
  return table;
}
constexpr auto kTokenChars = make_token_table();

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
bool is_space(char c) { return c == ' ' || c == '\t'; }

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

/// Visible ASCII but '#': a fragment never goes over the wire, and who sends one means something else than we read.
bool is_target_char(char c) { return c > 0x20 && c < 0x7f && c != '#'; }

/// RFC 9110 §7.2 without what no host name needs (user information, sub-delimiters, percent-encoding), since readers
/// differ on those.
bool is_host(std::string_view text) {
  std::string_view port;
  bool has_port = false;
  if (text.starts_with('[')) {
    const auto end = text.find(']');
    if (end == text.npos || end < 3) return false;
    const auto address = text.substr(1, end - 1);
    if (!std::all_of(address.begin(), address.end(), [](char c) { return is_hex(c) || c == ':' || c == '.'; })) return false;
    const auto rest = text.substr(end + 1);
    if (!rest.empty()) {
      if (rest.front() != ':') return false;
      has_port = true;
      port = rest.substr(1);
    }
  } else {
    const auto colon = text.find(':');
    const auto name = text.substr(0, colon);
    const auto is_name_char = [](char c) {
      return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z') || c == '-' || c == '.' || c == '_' || c == '~';
    };
    if (name.empty() || !std::all_of(name.begin(), name.end(), is_name_char)) return false;
    if (colon != text.npos) {
      has_port = true;
      port = text.substr(colon + 1);
    }
  }
  if (!has_port) return true;
  if (port.empty() || port.size() > 5 || !std::all_of(port.begin(), port.end(), is_digit)) return false;
  unsigned number = 0;
  for (char c : port) number = number * 10 + static_cast<unsigned>(c - '0');
  return number <= 65'535;
}

/// 1*DIGIT up to 2^63 - 1. A sign, a space, a list or an empty value is no length.
std::optional<std::uint64_t> parse_length(std::string_view text) {
  constexpr std::size_t kDigitsMax = 19;  // 2^63 - 1 has 19
  if (text.empty() || text.size() > kDigitsMax || !std::all_of(text.begin(), text.end(), is_digit)) return std::nullopt;
  std::uint64_t value = 0;
  for (char c : text) value = value * 10 + static_cast<std::uint64_t>(c - '0');
  if (value > (std::uint64_t{1} << 63) - 1) return std::nullopt;
  return value;
}

}  // namespace

bool is_token_char(char c) { return kTokenChars[static_cast<unsigned char>(c)]; }

bool is_token(std::string_view text) {
  bool good = !text.empty();
  for (const char c : text) good = good && kTokenChars[static_cast<unsigned char>(c)];
  return good;
}

bool is_value(std::string_view text) {
  // No way out in the middle: the compiler looks at sixteen at a time.
  bool bad = false;
  for (const char c : text) bad |= !is_value_char(c);
  return !bad;
}

bool same_text(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

RequestHeadParser::Progress RequestHeadParser::refuse(unsigned status, std::string_view reason) {
  refusal_ = {status, reason};
  return progress_ = Progress::refused;
}

RequestHeadParser::Progress RequestHeadParser::advance(std::string_view bytes) {
  const auto window = bytes.substr(0, limits_.bytes_max);
  // A TLS handshake on a plain port is answered at once: docker tries TLS first and falls back on seeing HTTP.
  if (!window.empty() && progress_ == Progress::more && scanned_ == 0 && !is_token_char(window.front())) {
    if (window.front() == 0x16) return refuse(400, "this port speaks plain HTTP, and the client began a TLS handshake");
    return refuse(400, "the request does not begin with a method");
  }
  while (progress_ == Progress::more) {
    const auto feed = window.find('\n', scanned_);
    if (feed == window.npos) {
      scanned_ = window.size();
      if (window.size() < limits_.bytes_max) break;
      return request_line_seen_ ? refuse(431, "the request header is too large") : refuse(414, "the request line is too long");
    }
    const auto begin = line_begin_;
    if (feed == begin || window[feed - 1] != '\r') return refuse(400, "a line does not end in CR LF");
    scanned_ = line_begin_ = feed + 1;
    const auto end = feed - 1;
    if (!request_line_seen_) {
      request_line(bytes, begin, end);
    } else if (begin == end) {
      finish();
    } else {
      field_line(bytes, begin, end);
    }
  }
  return progress_;
}

RequestHeadParser::Progress RequestHeadParser::request_line(std::string_view bytes, std::size_t begin, std::size_t end) {
  request_line_seen_ = true;
  const auto line = bytes.substr(begin, end - begin);
  const auto space = line.find(' ');
  if (space == line.npos || !is_token(line.substr(0, space))) return refuse(400, "the request does not begin with a method");
  method_ = {static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(space)};
  const auto second = line.find(' ', space + 1);
  if (second == line.npos) return refuse(400, "the request line names no protocol version");
  const auto target = line.substr(space + 1, second - space - 1);
  const auto version = line.substr(second + 1);
  if (!target.starts_with('/')) return refuse(400, "the request target is not in origin form (/path?query)");
  if (!std::all_of(target.begin(), target.end(), is_target_char)) {
    return refuse(400, "the request target holds a character that must be percent-encoded");
  }
  target_ = {static_cast<std::uint32_t>(begin + space + 1), static_cast<std::uint32_t>(target.size())};
  if (version == "HTTP/1.0") {
    http_1_0_ = close_ = true;
  } else if (version != "HTTP/1.1") {
    const bool well_formed = version.size() == 8 && version.starts_with("HTTP/") && is_digit(version[5]) &&
                             version[6] == '.' && is_digit(version[7]);
    return well_formed ? refuse(505, "berth speaks HTTP/1.1") : refuse(400, "the protocol version is malformed");
  }
  return progress_;
}

RequestHeadParser::Progress RequestHeadParser::field_line(std::string_view bytes, std::size_t begin, std::size_t end) {
  const auto line = bytes.substr(begin, end - begin);
  if (is_space(line.front())) return refuse(400, "a header field is folded over several lines");
  const auto colon = line.find(':');
  if (colon == line.npos) return refuse(400, "a header line has no colon");
  const auto name = line.substr(0, colon);
  // This refuses a space before the colon too: some readers drop it, others drop the field.
  if (!is_token(name)) return refuse(400, "a header field name holds a character that is not allowed there");
  const auto raw = line.substr(colon + 1);
  if (!is_value(raw)) {
    return refuse(400, "a header field value holds a character that is not allowed there");
  }
  if (fields_.size() == limits_.fields_max) return refuse(431, "the request has too many header fields");
  const auto value = trim(raw);
  const auto at = [&bytes](std::string_view part) {
    return Span{static_cast<std::uint32_t>(part.data() - bytes.data()), static_cast<std::uint32_t>(part.size())};
  };
  if (fields_.empty()) fields_.reserve(16);
  fields_.push_back({at(name), at(value)});
  return note(name, value);
}

/// The fields that decide where this request ends and what becomes of the connection.
RequestHeadParser::Progress RequestHeadParser::note(std::string_view name, std::string_view value) {
  if (same_text(name, "Host")) {
    if (std::exchange(host_, true)) return refuse(400, "the request has more than one Host");
    if (!is_host(value)) return refuse(400, "the Host is malformed");
  } else if (same_text(name, "Content-Length")) {
    if (content_length_) return refuse(400, "the request has more than one Content-Length");
    if (chunked_) return refuse(400, "the request has both Content-Length and Transfer-Encoding");
    content_length_ = parse_length(value);
    if (!content_length_) return refuse(400, "the Content-Length is malformed");
  } else if (same_text(name, "Transfer-Encoding")) {
    if (chunked_) return refuse(400, "the request has more than one Transfer-Encoding");
    if (content_length_) return refuse(400, "the request has both Content-Length and Transfer-Encoding");
    if (http_1_0_) return refuse(400, "HTTP/1.0 has no Transfer-Encoding");
    if (!same_text(value, "chunked")) return refuse(400, "the only Transfer-Encoding taken is chunked");
    chunked_ = true;
  } else if (same_text(name, "Expect")) {
    if (!same_text(value, "100-continue")) return refuse(417, "the only expectation that can be met is 100-continue");
    expects_continue_ = true;
  } else if (same_text(name, "Connection")) {
    return connection_options(value);
  }
  return progress_;
}

RequestHeadParser::Progress RequestHeadParser::connection_options(std::string_view value) {
  for (;;) {
    const auto comma = value.find(',');
    const auto option = trim(value.substr(0, comma));
    // RFC 9110 §5.6.1 lets a recipient meet empty list members.
    if (!option.empty() && !is_token(option)) return refuse(400, "the Connection field is malformed");
    if (same_text(option, "close")) close_ = true;
    if (comma == value.npos) return progress_;
    value.remove_prefix(comma + 1);
  }
}

RequestHeadParser::Progress RequestHeadParser::finish() {
  if (!host_ && !http_1_0_) return refuse(400, "the request has no Host");
  // RFC 9110 §10.1.1: the expectation of an HTTP/1.0 client, or of one that sends no body, is ignored.
  const bool has_body = chunked_ || content_length_.value_or(0) > 0;
  expects_continue_ = expects_continue_ && !http_1_0_ && has_body;
  return progress_ = Progress::done;
}

RequestLine RequestHeadParser::line(std::string_view bytes) const {
  return {std::string(bytes.substr(method_.begin, method_.size)), std::string(bytes.substr(target_.begin, target_.size))};
}

RequestHead RequestHeadParser::head(std::string_view bytes) const {
  const auto text = [&bytes](Span span) { return bytes.substr(span.begin, span.size); };
  RequestHead head;
  head.method = text(method_);
  head.target = text(target_);
  head.fields.reserve(fields_.size());
  for (const auto& field : fields_) head.fields.emplace_back(text(field.name), text(field.value));
  head.content_length = content_length_;
  head.chunked = chunked_;
  head.http_1_0 = http_1_0_;
  head.close = close_;
  head.expects_continue = expects_continue_;
  return head;
}

}  // namespace berth::server
