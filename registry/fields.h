// Reading and writing the fields of a record; see records.h for the form. Used by records.cpp and
// identities/records.cpp alone.
//
// A record's fields are listed once, as calls `fields(number, member)`, in ascending order of their numbers.
// FieldWriter writes them, FieldReader fills them in. Both are the same for the caller, so the two directions cannot
// drift apart.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/env.h"
#include "oci/digest.h"
#include "registry/keys.h"

namespace berth::registry::fields {

/// The largest enumerator of an enum that reaches the disk; they start at 1.
template <class Enum>
inline constexpr std::uint64_t kLast = 0;

void append_varint(std::string& out, std::uint64_t value);
/// Takes a varint from the front. Empty when there is none, or when it is longer than it need be.
std::optional<std::uint64_t> take_varint(std::string_view& in);
/// Varint length, then the bytes.
void append_sized(std::string& out, std::string_view bytes);
std::optional<std::string_view> take_sized(std::string_view& in);

/// Small numbers stay small whatever their sign.
inline std::uint64_t zigzag(std::int64_t value) {
  return (static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63);
}
inline std::int64_t unzigzag(std::uint64_t value) {
  return static_cast<std::int64_t>(value >> 1) ^ -static_cast<std::int64_t>(value & 1);
}

class FieldWriter {
 public:
  explicit FieldWriter(std::string& out) : out_(out) {}

  void operator()(std::uint64_t number, std::uint64_t value) {
    if (value == 0) return;
    std::string payload;
    append_varint(payload, value);
    field(number, payload);
  }
  template <class Enum>
    requires std::is_enum_v<Enum>
  void operator()(std::uint64_t number, Enum value) {
    (*this)(number, static_cast<std::uint64_t>(value));
  }
  void operator()(std::uint64_t number, WallTime value) { (*this)(number, zigzag(value.time_since_epoch().count())); }
  void operator()(std::uint64_t number, Uptime value) { (*this)(number, static_cast<std::uint64_t>(value.count())); }
  void operator()(std::uint64_t number, const std::string& value) {
    if (!value.empty()) field(number, value);
  }
  void operator()(std::uint64_t number, const oci::Digest& value) { field(number, value.key()); }
  void operator()(std::uint64_t number, const std::optional<oci::Digest>& value) {
    if (value) field(number, value->key());
  }
  void operator()(std::uint64_t number, bool value) { (*this)(number, static_cast<std::uint64_t>(value)); }
  /// Each with its length.
  void operator()(std::uint64_t number, const std::vector<std::string>& values) {
    std::string payload;
    for (const std::string& value : values) append_sized(payload, value);
    if (!payload.empty()) field(number, payload);
  }
  void operator()(std::uint64_t number, const std::vector<std::uint64_t>& values) {
    std::string payload;
    for (const std::uint64_t value : values) append_varint(payload, value);
    if (!payload.empty()) field(number, payload);
  }
  /// Parts that have fields of their own: each the length of its fields, then these. `list` is theirs.
  template <class Part, class List>
  void parts(std::uint64_t number, const std::vector<Part>& values, List list) {
    std::string payload;
    for (const Part& value : values) {
      std::string part;
      FieldWriter writer(part);
      list(value, writer);
      append_sized(payload, part + value.unknown);
    }
    if (!payload.empty()) field(number, payload);
  }

 private:
  void field(std::uint64_t number, std::string_view payload) {
    append_varint(out_, number);
    append_sized(out_, payload);
  }
  std::string& out_;
};

class FieldReader {
 public:
  /// `in` stands behind the version byte.
  explicit FieldReader(std::string_view in) : rest_(in) { advance(); }

  void operator()(std::uint64_t number, std::uint64_t& value) {
    const std::optional<std::string_view> payload = take(number);
    if (payload) value = integer(*payload);
  }
  template <class Enum>
    requires std::is_enum_v<Enum>
  void operator()(std::uint64_t number, Enum& value) {
    std::uint64_t plain = 0;
    (*this)(number, plain);
    if (plain == 0 || plain > kLast<Enum>) failed_ = true;
    value = static_cast<Enum>(plain);
  }
  void operator()(std::uint64_t number, WallTime& value) {
    std::uint64_t plain = 0;
    (*this)(number, plain);
    value = WallTime(std::chrono::milliseconds(unzigzag(plain)));
  }
  void operator()(std::uint64_t number, Uptime& value) {
    std::uint64_t plain = 0;
    (*this)(number, plain);
    if (plain > static_cast<std::uint64_t>(Uptime::max().count())) failed_ = true;
    if (!failed_) value = Uptime(static_cast<Uptime::rep>(plain));
  }
  void operator()(std::uint64_t number, std::string& value) {
    std::string_view found;
    (*this)(number, found);
    if (!found.empty()) value = found;
  }
  /// Within what is read.
  void operator()(std::uint64_t number, std::string_view& value) {
    const std::optional<std::string_view> payload = take(number);
    if (!payload) return;
    if (payload->empty()) failed_ = true;
    value = *payload;
  }
  void operator()(std::uint64_t number, oci::Digest& value) {
    std::optional<oci::Digest> found;
    (*this)(number, found);
    if (!found) failed_ = true;
    value = found.value_or(oci::Digest{});
  }
  void operator()(std::uint64_t number, std::optional<oci::Digest>& value) {
    const std::optional<std::string_view> payload = take(number);
    if (!payload) return;
    Result<oci::Digest> digest = oci::Digest::decode_key(*payload);
    if (!digest) failed_ = true;
    if (!failed_) value = *digest;
  }
  void operator()(std::uint64_t number, bool& value) {
    std::uint64_t plain = 0;
    (*this)(number, plain);
    if (plain > 1) failed_ = true;
    value = plain == 1;
  }
  void operator()(std::uint64_t number, std::vector<std::string>& values) {
    std::optional<std::string_view> payload = take(number);
    if (!payload) return;
    if (payload->empty()) failed_ = true;
    while (!failed_ && !payload->empty()) {
      const std::optional<std::string_view> value = take_sized(*payload);
      if (!value) failed_ = true;
      if (value) values.emplace_back(*value);
    }
  }
  void operator()(std::uint64_t number, std::vector<std::uint64_t>& values) {
    std::optional<std::string_view> payload = take(number);
    if (!payload) return;
    if (payload->empty()) failed_ = true;
    while (!failed_ && !payload->empty()) {
      const std::optional<std::uint64_t> value = take_varint(*payload);
      if (!value) failed_ = true;
      if (value) values.push_back(*value);
    }
  }
  template <class Part, class List>
  void parts(std::uint64_t number, std::vector<Part>& values, List list) {
    std::optional<std::string_view> payload = take(number);
    if (!payload) return;
    if (payload->empty()) failed_ = true;
    while (!failed_ && !payload->empty()) {
      const std::optional<std::string_view> bytes = take_sized(*payload);
      Part part{};
      FieldReader reader(bytes.value_or(std::string_view{}));
      list(part, reader);
      if (!bytes || !reader.finish(part.unknown)) failed_ = true;
      if (!failed_) values.push_back(std::move(part));
    }
  }

  /// Was one of those that were read not well-formed?
  bool failed() const { return failed_; }
  /// Everything that is left has a higher number than any known field and is well-formed: kept as it is. False when the
  /// bytes are not a record.
  bool finish(std::string& unknown) {
    const std::string_view start = field_;
    while (!failed_ && number_) advance();
    if (failed_) return false;
    unknown = start;
    return true;
  }

 private:
  std::optional<std::string_view> take(std::uint64_t number) {
    if (failed_ || !number_) return {};
    if (*number_ < number) failed_ = true;  // a field that no version writes here
    if (failed_ || *number_ != number) return {};
    const std::string_view payload = payload_;
    advance();
    return payload;
  }
  std::uint64_t integer(std::string_view payload) {
    const std::optional<std::uint64_t> value = take_varint(payload);
    if (!value || *value == 0 || !payload.empty()) failed_ = true;
    return value.value_or(0);
  }
  /// Looks at the next field.
  void advance() {
    field_ = rest_;
    const std::uint64_t before = number_.value_or(0);
    number_.reset();
    if (rest_.empty()) return;
    const std::optional<std::uint64_t> number = take_varint(rest_);
    const std::optional<std::string_view> payload = take_sized(rest_);
    if (!number || !payload || *number <= before) {
      failed_ = true;
      return;
    }
    number_ = number;
    payload_ = *payload;
  }

  std::string_view rest_;                ///< behind the current field
  std::string_view field_;               ///< from the current field on
  std::optional<std::uint64_t> number_;  ///< of the current field; empty at the end
  std::string_view payload_;
  bool failed_ = false;
};

inline constexpr char kRecordVersion = 1;

inline Error damaged() { return make_error(ErrorCode::corrupt, "the index holds a damaged record"); }

/// `list` calls `fields(number, member)` for each field of the record.
template <class Record, class List>
std::string encode_record(const Record& record, List list) {
  std::string out(1, kRecordVersion);
  FieldWriter writer(out);
  list(record, writer);
  return out += record.unknown;
}
template <class Record, class List>
Result<Record> decode_record(std::string_view bytes, List list) {
  if (bytes.empty() || bytes[0] != kRecordVersion) return damaged();
  Record record{};
  FieldReader reader(bytes.substr(1));
  list(record, reader);
  if (!reader.finish(record.unknown)) return damaged();
  return record;
}

}  // namespace berth::registry::fields
