// The format is LevelDB's (its doc/log_format.md) and has not changed since: blocks of 32 KiB; in them fragments of
// crc32c (masked, 4 bytes) | length (2) | type (1) | payload, all little-endian. A record is one FULL fragment or
// FIRST, MIDDLE…, LAST. A block's last bytes are padding when no header fits. A record's payload is a write batch: the
// sequence number of its first write (8), the number of writes (4), the writes.
#include "storage/kv/wal_check.h"

#include <rocksdb/env.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/crc.hpp>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace berth::kv {
namespace {

constexpr std::size_t kBlockBytes = 32 << 10;
constexpr std::size_t kHeaderBytes = 7;
constexpr std::size_t kBatchHeaderBytes = 12;

enum FragmentType : std::uint8_t { kZero = 0, kFull = 1, kFirst = 2, kMiddle = 3, kLast = 4 };

std::uint64_t read_little_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

std::uint32_t masked_crc32c(std::string_view bytes) {
  boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> crc;
  crc.process_bytes(bytes.data(), bytes.size());
  const std::uint32_t value = crc.checksum();
  return ((value >> 15) | (value << 17)) + 0xa282ead8;
}

/// What one log holds.
struct Survey {
  std::uint64_t size = 0;
  std::uint64_t records = 0;
  /// Where the first thing that is not a whole record begins, when there is one; zeros up to the end are not a thing.
  std::optional<std::uint64_t> damage_at;
  std::string damage;                ///< what is wrong there
  bool record_after_damage = false;  ///< a record begins behind it
  std::string sequence_gap;          ///< two whole records that do not follow each other
};

class Surveyor {
 public:
  explicit Surveyor(Survey& survey) : survey_(survey) {}

  /// `block` is whole but for the last one of the file.
  void block(std::string_view block) {
    std::size_t at = 0;
    while (at + kHeaderBytes <= block.size()) {
      const std::string_view header = block.substr(at, kHeaderBytes);
      const auto length = static_cast<std::size_t>(read_little_endian(header.substr(4, 2)));
      const auto type = static_cast<std::uint8_t>(header[6]);
      const std::uint64_t offset = survey_.size + at;
      if (type == kZero && length == 0) {
        zeros(block.substr(at), offset);
        break;
      }
      const auto payload = checked_payload(block.substr(at));
      if (!payload) {
        const bool is_short = at + kHeaderBytes + length > block.size();
        damaged(offset, is_short ? "a record is cut short" : "a checksum does not match");
        search(block.substr(at));  // its length cannot be trusted, so where the next one begins is not known
        break;
      }
      fragment(type, *payload, offset);
      at += kHeaderBytes + length;
    }
    const bool is_last = block.size() < kBlockBytes;
    if (is_last && at < block.size() && at + kHeaderBytes > block.size()) {
      damaged(survey_.size + at, "a header is cut short");
    }
    survey_.size += block.size();
  }

  void end() {
    if (in_record_) damaged(record_at_, "a record has no end");
  }

 private:
  /// What the fragment at the beginning of `bytes` holds, when it is whole.
  static std::optional<std::string_view> checked_payload(std::string_view bytes) {
    const auto length = static_cast<std::size_t>(read_little_endian(bytes.substr(4, 2)));
    if (kHeaderBytes + length > bytes.size()) return std::nullopt;
    const std::string_view checked = bytes.substr(6, 1 + length);
    if (read_little_endian(bytes.substr(0, 4)) != masked_crc32c(checked)) return std::nullopt;
    return checked.substr(1);
  }

  void zeros(std::string_view rest, std::uint64_t offset) {
    if (in_record_) damaged(record_at_, "the middle of a record is missing");
    if (!zeros_at_) zeros_at_ = offset;
    if (rest.find_first_not_of('\0') == std::string_view::npos) return;
    damaged(offset, "bytes that are no record");
    search(rest);
  }

  /// Looks for the beginning of a whole record at every byte of a damaged block. It must continue the sequence, so that
  /// a value which happens to hold such bytes is not taken for one.
  void search(std::string_view bytes) {
    constexpr std::uint64_t kSequencesMax = 1 << 20;  // more than the rest of a block and the record cut with it hold
    if (searches_left_-- <= 0) return;
    for (std::size_t at = 1; at + kHeaderBytes + kBatchHeaderBytes <= bytes.size(); ++at) {
      const auto type = static_cast<std::uint8_t>(bytes[at + 6]);
      if (type != kFull && type != kFirst) continue;
      const auto payload = checked_payload(bytes.substr(at));
      if (!payload || payload->size() < kBatchHeaderBytes) continue;
      const std::uint64_t sequence = read_little_endian(payload->substr(0, 8));
      if (next_sequence_ && (sequence < *next_sequence_ || sequence > *next_sequence_ + kSequencesMax)) continue;
      survey_.record_after_damage = true;
      return;
    }
  }

  void damaged(std::uint64_t offset, const char* what) {
    if (in_record_) offset = record_at_;
    in_record_ = false;
    if (survey_.damage_at) return;
    survey_.damage_at = offset;
    survey_.damage = what;
  }

  void fragment(std::uint8_t type, std::string_view payload, std::uint64_t offset) {
    if (type == kFull || type == kFirst) {
      if (in_record_) damaged(record_at_, "a record has no end");
      if (zeros_at_) damaged(*zeros_at_, "zeros in place of records");
      if (survey_.damage_at) survey_.record_after_damage = true;
      record_at_ = offset;
      in_record_ = type == kFirst;
      head_ = payload.substr(0, kBatchHeaderBytes);
    } else if (type == kMiddle || type == kLast) {
      if (!in_record_) return damaged(zeros_at_.value_or(offset), "the beginning of a record is missing");
      if (head_.size() < kBatchHeaderBytes) head_ += payload.substr(0, kBatchHeaderBytes - head_.size());
      in_record_ = type == kMiddle;
    } else {
      return damaged(offset, "a fragment of an unknown type");
    }
    if (!in_record_) record();
  }

  void record() {
    ++survey_.records;
    if (head_.size() < kBatchHeaderBytes) return damaged(record_at_, "a record that is no batch of writes");
    const std::string_view head = head_;
    const std::uint64_t sequence = read_little_endian(head.substr(0, 8));
    if (next_sequence_ && sequence != *next_sequence_ && survey_.sequence_gap.empty()) {
      survey_.sequence_gap = "sequence number " + std::to_string(sequence) + " where " +
                             std::to_string(*next_sequence_) + " was expected, at byte " + std::to_string(record_at_);
    }
    next_sequence_ = sequence + read_little_endian(head.substr(8, 4));
  }

  Survey& survey_;
  bool in_record_ = false;
  std::uint64_t record_at_ = 0;
  std::string head_;  ///< the first bytes of the record at hand
  std::optional<std::uint64_t> next_sequence_;
  std::optional<std::uint64_t> zeros_at_;
  int searches_left_ = 64;  ///< each costs some milliseconds; what follows damage begins in the same block or the next
};

Error wal_error(const std::string& path, const std::string& detail) {
  return make_error(ErrorCode::corrupt, "acknowledged changes in the index are damaged", path + ": " + detail);
}

Error io_error(const rocksdb::Status& status) {
  return make_error(ErrorCode::io_error, "the index could not be read or written", "open: " + status.ToString());
}

Result<Survey> survey_file(rocksdb::Env& env, const std::string& path) {
  std::unique_ptr<rocksdb::SequentialFile> file;
  if (const auto status = env.NewSequentialFile(path, &file, rocksdb::EnvOptions()); !status.ok()) {
    return io_error(status);
  }
  Survey survey;
  Surveyor surveyor(survey);
  std::vector<char> buffer(32 * kBlockBytes);
  for (bool at_end = false; !at_end;) {
    std::size_t filled = 0;
    while (filled < buffer.size() && !at_end) {
      rocksdb::Slice read;
      const auto status = file->Read(buffer.size() - filled, &read, buffer.data() + filled);
      if (!status.ok()) return io_error(status);
      if (read.data() != buffer.data() + filled) std::copy_n(read.data(), read.size(), buffer.data() + filled);
      filled += read.size();
      at_end = read.empty();
    }
    const std::string_view bytes(buffer.data(), filled);
    for (std::size_t at = 0; at < bytes.size(); at += kBlockBytes) surveyor.block(bytes.substr(at, kBlockBytes));
  }
  surveyor.end();
  return survey;
}

Result<void> cut(rocksdb::Env& env, const std::string& path, std::uint64_t size) {
  std::unique_ptr<rocksdb::WritableFile> file;
  auto status = env.ReopenWritableFile(path, &file, rocksdb::EnvOptions());
  if (status.ok()) status = file->Truncate(size);
  // Durable before anything is written after it: a later reader takes what follows a torn record for damage.
  if (status.ok()) status = file->Fsync();
  if (status.ok()) status = file->Close();
  if (!status.ok()) return io_error(status);
  return {};
}

}  // namespace

Result<void> check_wals(rocksdb::Env& env, const std::string& directory) {
  std::vector<std::string> files;
  if (const auto status = env.GetChildren(directory, &files); !status.ok()) return io_error(status);
  std::vector<std::pair<std::uint64_t, std::string>> wals;  // by number, which is their order in time
  for (const std::string& file : files) {
    const std::string_view number = std::string_view(file).substr(0, file.find('.'));
    const bool digits =
        !number.empty() && number.size() < 19 && number.find_first_not_of("0123456789") == std::string_view::npos;
    if (digits && file.substr(number.size()) == ".log") wals.emplace_back(std::stoull(std::string(number)), file);
  }
  std::sort(wals.begin(), wals.end());

  // From the newest back: damage may be cut off only while no whole record has been seen behind it.
  bool record_behind = false;
  for (auto wal = wals.rbegin(); wal != wals.rend(); ++wal) {
    const std::string path = directory + "/" + wal->second;
    BERTH_TRY(const Survey survey, survey_file(env, path));
    if (survey.damage_at) {
      const std::string detail = survey.damage + " at byte " + std::to_string(*survey.damage_at);
      if (record_behind || survey.record_after_damage) return wal_error(path, detail);
      BERTH_CHECK(cut(env, path, *survey.damage_at));
      spdlog::warn("{}: {} of {}: the last change was never acknowledged and is dropped", path, detail, survey.size);
    }
    if (!survey.sequence_gap.empty()) return wal_error(path, survey.sequence_gap);
    record_behind = record_behind || survey.records > 0;
  }
  return {};
}

}  // namespace berth::kv
