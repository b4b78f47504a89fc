#include "registry/records.h"

#include <algorithm>
#include <charconv>

#include "registry/fields.h"

namespace berth::registry {

namespace fields {

template <>
inline constexpr std::uint64_t kLast<RepositoryState> = 2;
template <>
inline constexpr std::uint64_t kLast<ObjectState> = 2;
template <>
inline constexpr std::uint64_t kLast<LinkState> = 2;
template <>
inline constexpr std::uint64_t kLast<ManifestState> = 2;
template <>
inline constexpr std::uint64_t kLast<oci::ManifestKind> = 3;
template <>
inline constexpr std::uint64_t kLast<oci::EdgeKind> = 4;
template <>
inline constexpr std::uint64_t kLast<TagChange> = 3;
template <>
inline constexpr std::uint64_t kLast<CommandKind> = 40;

void append_varint(std::string& out, std::uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

std::optional<std::uint64_t> take_varint(std::string_view& in) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < in.size() && i < 10; ++i) {
    const auto byte = static_cast<std::uint8_t>(in[i]);
    if (i == 9 && byte > 1) return {};  // more than 64 bits
    value |= static_cast<std::uint64_t>(byte & 0x7f) << (7 * i);
    if ((byte & 0x80) != 0) continue;
    if (byte == 0 && i > 0) return {};  // one value has one form
    in.remove_prefix(i + 1);
    return value;
  }
  return {};
}

void append_sized(std::string& out, std::string_view bytes) {
  append_varint(out, bytes.size());
  out.append(bytes);
}

std::optional<std::string_view> take_sized(std::string_view& in) {
  const std::optional<std::uint64_t> size = take_varint(in);
  if (!size || *size > in.size()) return {};
  const std::string_view bytes = in.substr(0, *size);
  in.remove_prefix(*size);
  return bytes;
}

}  // namespace fields

namespace {

// One list of fields for each record: numbers are on disk, never change or reuse one, and new ones go at the end with a
// number above all others. `Self` is const when the list is used for writing.

template <class Self, class Fields>
  requires std::is_same_v<std::remove_const_t<Self>, FormatRecord>
void list(Self& r, Fields& f) {
  f(1, r.major);
  f(2, r.minor);
}

template <class Self, class Fields>
  requires std::is_same_v<std::remove_const_t<Self>, CounterRecord>
void list(Self& r, Fields& f) {
  f(1, r.value);
}

template <class Self, class Fields>
  requires std::is_same_v<std::remove_const_t<Self>, UptimeRecord>
void list(Self& r, Fields& f) {
  f(1, r.uptime);
}

template <class Self, class Fields>
  requires std::is_same_v<std::remove_const_t<Self>, LogStartRecord>
void list(Self& r, Fields& f) {
  f(1, r.number);
}

template <class Self, class Fields>
  requires std::is_same_v<std::remove_const_t<Self>, RepositoryBinding>
void list(Self& r, Fields& f) {
  f(1, r.repository);
}

template <class Self, class Fields>
  requires std::is_same_v<std::remove_const_t<Self>, RepositoryRecord>
void list(Self& r, Fields& f) {
  f(1, r.name_space);
  f(2, r.name);
  f(3, r.state);
  f(4, r.created_at);
  f(5, r.created_by);
  f(6, r.deleted_at);
  f(7, r.deleted_by);
  f(8, r.due);
}

template <class Self, class Fields>
  requires std::is_same_v<std::remove_const_t<Self>, ObjectRecord>
void list(Self& r, Fields& f) {
  f(1, r.size);
  f(2, r.state);
  f(3, r.holders);
  f(4, r.holders_xor);
  f(5, r.media_type);
}

template <class Self, class Fields>
  requires std::is_same_v<std::remove_const_t<Self>, PlaceRecord>
void list(Self& r, Fields& f) {
  f(1, r.file);
}

template <class Self, class Fields>
  requires std::is_same_v<std::remove_const_t<Self>, LinkRecord>
void list(Self& r, Fields& f) {
  f(1, r.state);
  f(2, r.size);
  f(3, r.linked_at);
  f(4, r.linked_by);
  f(5, r.due);
}

template <class Self, class Fields>
  requires std::is_same_v<std::remove_const_t<Self>, EmptyRecord>
void list(Self&, Fields&) {}

template <class Self, class Fields>
  requires std::is_same_v<std::remove_const_t<Self>, ManifestRecord>
void list(Self& r, Fields& f) {
  f(1, r.state);
  f(2, r.kind);
  f(3, r.media_type);
  f(4, r.size);
  f(5, r.content_size);
  f(6, r.artifact_type);
  f(7, r.subject);
  f(8, r.referrer_sequence);
  f(9, r.platforms);
  f(10, r.pushed_at);
  f(11, r.pushed_by);
  f(12, r.generation);
  f(13, r.deleted_at);
  f(14, r.deleted_by);
  f(15, r.due);
}

template <class Self, class Fields>
  requires std::is_same_v<std::remove_const_t<Self>, EdgeRecord>
void list(Self& r, Fields& f) {
  f(1, r.kind);
}

template <class Self, class Fields>
  requires std::is_same_v<std::remove_const_t<Self>, ReferrerRecord>
void list(Self& r, Fields& f) {
  f(1, r.artifact_type);
  f(2, r.descriptor);
}

template <class Self, class Fields>
  requires std::is_same_v<std::remove_const_t<Self>, TagRecord>
void list(Self& r, Fields& f) {
  f(1, r.digest);
  f(2, r.generation);
  f(3, r.version);
  f(4, r.updated_at);
  f(5, r.updated_by);
  f(6, r.size);
}

template <class Self, class Fields>
  requires std::is_same_v<std::remove_const_t<Self>, LeftoverRecord>
void list(Self& r, Fields& f) {
  f(1, r.generation);
  f(2, r.deleted_at);
  f(3, r.deleted_by);
}

template <class Self, class Fields>
  requires std::is_same_v<std::remove_const_t<Self>, TagLogRecord>
void list(Self& r, Fields& f) {
  f(1, r.from);
  f(2, r.to);
  f(3, r.actor);
  f(4, r.when);
  f(5, r.reason);
}

template <class Self, class Fields>
  requires std::is_same_v<std::remove_const_t<Self>, UsageRecord>
void list(Self& r, Fields& f) {
  f(1, r.logical_bytes);
  f(2, r.unique_bytes);
  f(3, r.manifests);
  f(4, r.tags);
  f(5, r.held);
}

template <class Self, class Fields>
  requires std::is_same_v<std::remove_const_t<Self>, ProjectUsageRecord>
void list(Self& r, Fields& f) {
  f(1, r.logical_bytes);
  f(2, r.manifests);
  f(3, r.tags);
}

template <class Self, class Fields>
  requires std::is_same_v<std::remove_const_t<Self>, PullsRecord>
void list(Self& r, Fields& f) {
  f(1, r.pulls);
  f(2, r.last_pull);
}

/// The writes of a change are one field: a concatenation of family, key, and 0 for erased or 1 and the value.
std::string encode_writes(const std::vector<ChangeRecord::Write>& writes) {
  std::string out;
  for (const ChangeRecord::Write& write : writes) {
    out.push_back(static_cast<char>(write.family));
    fields::append_sized(out, write.key);
    out.push_back(write.value ? '\1' : '\0');
    if (write.value) fields::append_sized(out, *write.value);
  }
  return out;
}

bool decode_writes(std::string_view in, std::vector<ChangeRecord::Write>& writes) {
  while (!in.empty()) {
    ChangeRecord::Write write;
    write.family = static_cast<kv::Family>(in[0]);
    in.remove_prefix(1);
    const std::optional<std::string_view> key = fields::take_sized(in);
    if (!key || in.empty() || static_cast<std::uint8_t>(in[0]) > 1) return false;
    write.key = *key;
    const bool has_value = in[0] == '\1';
    in.remove_prefix(1);
    if (has_value) {
      const std::optional<std::string_view> value = fields::take_sized(in);
      if (!value) return false;
      write.value = *value;
    }
    const bool in_order = writes.empty() || writes.back().family < write.family ||
                          (writes.back().family == write.family && writes.back().key < write.key);
    if (!in_order) return false;
    writes.push_back(std::move(write));
  }
  return true;
}

template <class Self, class Fields>
  requires std::is_same_v<std::remove_const_t<Self>, ChangeRecord>
void list(Self& r, Fields& f, std::conditional_t<std::is_const_v<Self>, const std::string, std::string>& writes) {
  f(1, r.command);
  f(2, r.actor);
  f(3, r.when);
  f(4, r.request_id);
  f(5, writes);
}

}  // namespace

template <class Record>
std::string encode(const Record& record) {
  return fields::encode_record(record, [](const Record& r, auto& f) { list(r, f); });
}

template <class Record>
Result<Record> decode(std::string_view bytes) {
  return fields::decode_record<Record>(bytes, [](Record& r, auto& f) { list(r, f); });
}

template <>
std::string encode(const ChangeRecord& record) {
  std::string out(1, fields::kRecordVersion);
  fields::FieldWriter writer(out);
  const std::string writes = encode_writes(record.writes);
  list(record, writer, writes);
  return out += record.unknown;
}

template <>
Result<ChangeRecord> decode(std::string_view bytes) {
  if (bytes.empty() || bytes[0] != fields::kRecordVersion) return fields::damaged();
  ChangeRecord record;
  std::string writes;
  fields::FieldReader reader(bytes.substr(1));
  list(record, reader, writes);
  if (!reader.finish(record.unknown) || !decode_writes(writes, record.writes)) return fields::damaged();
  return record;
}

Result<std::string_view> artifact_type_of(std::string_view bytes) {
  if (bytes.empty() || bytes[0] != fields::kRecordVersion) return fields::damaged();
  fields::FieldReader reader(bytes.substr(1));
  std::string_view type;
  reader(1, type);  // as list() has it
  if (reader.failed()) return fields::damaged();
  return type;
}

#define BERTH_RECORD(Record)                  \
  template std::string encode(const Record&); \
  template Result<Record> decode(std::string_view)
BERTH_RECORD(FormatRecord);
BERTH_RECORD(CounterRecord);
BERTH_RECORD(UptimeRecord);
BERTH_RECORD(LogStartRecord);
BERTH_RECORD(RepositoryBinding);
BERTH_RECORD(RepositoryRecord);
BERTH_RECORD(ObjectRecord);
BERTH_RECORD(PlaceRecord);
BERTH_RECORD(LinkRecord);
BERTH_RECORD(EmptyRecord);
BERTH_RECORD(ManifestRecord);
BERTH_RECORD(EdgeRecord);
BERTH_RECORD(ReferrerRecord);
BERTH_RECORD(TagRecord);
BERTH_RECORD(LeftoverRecord);
BERTH_RECORD(TagLogRecord);
BERTH_RECORD(UsageRecord);
BERTH_RECORD(ProjectUsageRecord);
BERTH_RECORD(PullsRecord);
#undef BERTH_RECORD

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_identifier_char(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.';
}
/// One or more identifiers with dots between them, none empty.
bool are_identifiers(std::string_view text) {
  return !text.empty() && text.front() != '.' && text.back() != '.' && text.find("..") == std::string_view::npos &&
         std::ranges::all_of(text, is_identifier_char);
}

/// A number as semver has it: digits, no leading zero. Empty when it is none or does not fit.
std::optional<std::uint64_t> semver_number(std::string_view text) {
  if (text.empty() || (text.size() > 1 && text[0] == '0') || !std::ranges::all_of(text, is_digit)) return {};
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{}) return {};
  return value;
}

/// Cuts off and returns what stands before the first `separator`; the whole when there is none.
std::string_view cut(std::string_view& text, char separator) {
  const std::size_t at = text.find(separator);
  const std::string_view head = text.substr(0, at);
  text = at == std::string_view::npos ? std::string_view{} : text.substr(at + 1);
  return head;
}

/// semver.org 2.0.0 §11: numbers by value; a release after its pre-releases; pre-release identifiers one by one,
/// numeric ones first and by value, others by bytes, fewer before more. Build metadata does not count.
std::string semver_sort_key(std::string_view tag) {
  if (tag.starts_with('v')) tag.remove_prefix(1);
  const bool has_build = tag.find('_') != std::string_view::npos;
  const std::string_view version = cut(tag, '_');
  if (has_build && !are_identifiers(tag)) return {};
  const std::size_t dash = version.find('-');
  std::string_view core = version.substr(0, dash);
  std::string key;
  for (int i = 0; i < 3; ++i) {
    if (i == 2 && core.find('.') != std::string_view::npos) return {};
    const std::optional<std::uint64_t> number = semver_number(cut(core, '.'));
    if (!number) return {};
    kv::append_u64(key, *number);
  }
  if (dash == std::string_view::npos) return key += '\1';

  key.push_back('\0');
  std::string_view rest = version.substr(dash + 1);
  if (!are_identifiers(rest)) return {};
  while (!rest.empty()) {
    const std::string_view identifier = cut(rest, '.');
    if (std::ranges::all_of(identifier, is_digit)) {
      const std::optional<std::uint64_t> number = semver_number(identifier);
      if (!number) return {};
      key.push_back('\1');
      kv::append_u64(key, *number);
    } else {
      key.push_back('\2');
      key.append(identifier);
      key.push_back('\0');
    }
  }
  key.push_back('\0');
  return key;
}

}  // namespace

std::string tag_sort_key(TagOrder order, std::string_view tag, const TagRecord& record) {
  std::string key;
  switch (order) {
    case TagOrder::time: {
      const auto when = record.updated_at.time_since_epoch().count();
      kv::append_u64(key, when < 0 ? 0 : static_cast<std::uint64_t>(when));
      return key;
    }
    case TagOrder::size:
      kv::append_u64(key, record.size);
      return key;
    case TagOrder::semver:
      return semver_sort_key(tag);
  }
  return key;
}

}  // namespace berth::registry
