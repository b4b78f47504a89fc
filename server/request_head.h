// The head of an HTTP/1.x request, read strictly: what two implementations could read differently is refused.
//
// How it operates: advance() looks only at the lines that became complete since the last call, so the verdict depends
// on the bytes and never on how they were cut into packets, and an offending line is refused as soon as it ends. A
// refused head ends the connection: nobody can say where the next request would begin.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace berth::server {

struct HeadLimits {
  std::size_t bytes_max = 32 << 10;  ///< from the first byte of the method to the empty line, both included
  std::size_t fields_max = 100;
};

/// Why a head was refused: the status to answer with and a sentence for the client.
struct HeadRefusal {
  unsigned status = 400;
  std::string_view reason;
};

/// What a head says. All views point into the bytes it was read from.
struct RequestHead {
  std::string_view method;  ///< a token; compares with case
  std::string_view target;  ///< origin form: begins with '/', printable ASCII
  std::vector<std::pair<std::string_view, std::string_view>> fields;  ///< in order, values trimmed
  std::optional<std::uint64_t> content_length;
  bool chunked = false;           ///< Transfer-Encoding: chunked; never together with content_length
  bool http_1_0 = false;
  bool close = false;             ///< the client wants the connection closed, or speaks HTTP/1.0
  bool expects_continue = false;  ///< only where there is a body to wait for
};

/// What of a request line could be read; empty where nothing could.
struct RequestLine {
  std::string method;
  std::string target;
};

class RequestHeadParser {
 public:
  explicit RequestHeadParser(HeadLimits limits = {}) : limits_(limits) {}

  enum class Progress { more, done, refused };
  /// `bytes` begins with the same bytes as in the last call and may hold more of them, also bytes after the head.
  Progress advance(std::string_view bytes);

  /// After refused.
  const HeadRefusal& refusal() const { return refusal_; }
  /// At any time. `bytes` as given to the last advance().
  RequestLine line(std::string_view bytes) const;
  /// After done: the bytes that the head takes, its empty line included.
  std::size_t size() const { return scanned_; }
  /// After done. `bytes` as given to the last advance().
  RequestHead head(std::string_view bytes) const;

 private:
  struct Span {
    std::uint32_t begin = 0;
    std::uint32_t size = 0;
  };
  struct Field {
    Span name;
    Span value;
  };

  Progress refuse(unsigned status, std::string_view reason);
  Progress request_line(std::string_view bytes, std::size_t begin, std::size_t end);
  Progress field_line(std::string_view bytes, std::size_t begin, std::size_t end);
  Progress note(std::string_view name, std::string_view value);
  Progress connection_options(std::string_view value);
  Progress finish();

  HeadLimits limits_;
  HeadRefusal refusal_;
  Progress progress_ = Progress::more;
  std::size_t line_begin_ = 0;
  std::size_t scanned_ = 0;
  Span method_;
  Span target_;
  std::vector<Field> fields_;
  std::optional<std::uint64_t> content_length_;
  bool request_line_seen_ = false;
  bool http_1_0_ = false;
  bool host_ = false;
  bool chunked_ = false;
  bool close_ = false;
  bool expects_continue_ = false;
};

/// A character of a token (RFC 9110 §5.6.2).
bool is_token_char(char c);
/// A character that a field value may hold: a tab, a space or visible ASCII.
inline bool is_value_char(char c) { return c == '\t' || (c >= 0x20 && c < 0x7f); }
/// Is it a token: one such character or more?
bool is_token(std::string_view text);
/// Is it a field value, or empty?
bool is_value(std::string_view text);
/// Compares without case, ASCII.
bool same_text(std::string_view a, std::string_view b);

}  // namespace berth::server
