#include "server/second_opinion.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <limits>

namespace berth::server {
namespace http = boost::beast::http;

namespace {

std::optional<std::string> compare(std::string_view bytes, const RequestHead& head) {
  http::request_parser<http::empty_body> parser;
  parser.header_limit(std::numeric_limits<std::uint32_t>::max());
  parser.body_limit(boost::none);
  boost::system::error_code error;
  const auto used = parser.put(boost::asio::buffer(bytes), error);
  if (error && error != http::error::need_more) return "refused: " + error.message();
  if (!parser.is_header_done() || used != bytes.size()) return "another end of the head";

  const auto& other = parser.get();
  const auto same = [](boost::beast::string_view a, std::string_view b) { return std::string_view(a.data(), a.size()) == b; };
  if (!same(other.method_string(), head.method)) return "another method";
  if (!same(other.target(), head.target)) return "another target";
  if ((other.version() == 10) != head.http_1_0) return "another version";
  // Beast keeps fields of one name together, so the order is compared name by name.
  std::size_t count = 0;
  for (const auto& field : other) {
    (void)field;
    ++count;
  }
  if (count != head.fields.size()) return "another number of fields";
  for (const auto& [name, value] : head.fields) {
    const auto [begin, end] = other.equal_range(boost::beast::string_view(name.data(), name.size()));
    bool found = false;
    for (auto field = begin; field != end; ++field) found = found || same(field->value(), value);
    if (!found) return "another value of " + std::string(name);
  }
  if (parser.chunked() != head.chunked) return "another transfer coding";
  const auto length = parser.content_length();
  if (length.has_value() != head.content_length.has_value() || (length && *length != *head.content_length)) {
    return "another length";
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> find_disagreement(std::string_view bytes, const RequestHead& head) {
  try {
    return compare(bytes, head);
  } catch (const std::exception& error) {
    return std::string("threw: ") + error.what();
  }
}

#if !defined(__OPTIMIZE__) || defined(BERTH_SANITIZED)
void check_second_opinion(std::string_view bytes, const RequestHead& head) {
  // Beast keeps a field's size in 16 bits and throws beyond; ours may be configured to take more.
  if (bytes.size() > std::numeric_limits<std::uint16_t>::max()) return;
  if (const auto disagreement = find_disagreement(bytes, head)) {
    std::fprintf(stderr, "berth: two readers of one request head disagree: %s\n", disagreement->c_str());
    std::abort();
  }
}
#endif

}  // namespace berth::server
