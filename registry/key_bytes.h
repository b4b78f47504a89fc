// Building keys and taking them apart; see keys.h for the form. Used by the files that know key bytes alone.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "oci/digest.h"
#include "registry/keys.h"
#include "storage/kv/kv.h"

namespace berth::registry {

/// Builds a key from its first byte on.
class KeyWriter {
 public:
  explicit KeyWriter(std::uint8_t prefix) { u8(prefix); }
  KeyWriter& u8(std::uint8_t value) {
    key_.push_back(static_cast<char>(value));
    return *this;
  }
  template <class Enum>
  KeyWriter& kind(Enum value) {
    return u8(static_cast<std::uint8_t>(value));
  }
  KeyWriter& u64(std::uint64_t value) {
    kv::append_u64(key_, value);
    return *this;
  }
  KeyWriter& uptime(Uptime value) { return u64(static_cast<std::uint64_t>(value.count())); }
  KeyWriter& digest(const oci::Digest& value) {
    value.append_key(key_);
    return *this;
  }
  /// A string that something follows.
  KeyWriter& text(std::string_view value) {
    key_.append(value);
    key_.push_back('\0');
    return *this;
  }
  /// A string at the end.
  KeyWriter& last(std::string_view value) {
    key_.append(value);
    return *this;
  }
  std::string done() { return std::move(key_); }
  operator std::string() { return done(); }  // NOLINT: the last step of every encode()

 private:
  std::string key_;
};

/// Takes a key apart. The first thing that does not fit makes everything after it empty; end() tells.
class KeyReader {
 public:
  KeyReader(std::string_view key, std::uint8_t prefix) : rest_(key) { failed_ = u8() != prefix; }
  std::uint8_t u8() {
    const std::string_view byte = take(1);
    return byte.empty() ? std::uint8_t{0} : static_cast<std::uint8_t>(byte[0]);
  }
  template <class Enum>
  Enum kind(Enum largest) {
    const std::uint8_t value = u8();
    if (value == 0 || value > static_cast<std::uint8_t>(largest)) failed_ = true;
    return static_cast<Enum>(value);
  }
  std::uint64_t u64() {
    const std::string_view bytes = take(8);
    return bytes.empty() ? 0 : kv::read_u64(bytes);
  }
  Uptime uptime() {
    const std::uint64_t value = u64();
    if (value > static_cast<std::uint64_t>(Uptime::max().count())) failed_ = true;
    return failed_ ? Uptime{0} : Uptime{static_cast<Uptime::rep>(value)};
  }
  oci::Digest digest() {
    if (rest_.empty()) failed_ = true;
    if (failed_) return {};
    const auto algorithm = static_cast<oci::Algorithm>(rest_[0]);
    if (algorithm != oci::Algorithm::sha256 && algorithm != oci::Algorithm::sha512) failed_ = true;
    if (failed_) return {};
    const std::string_view bytes = take(oci::Digest::key_size(algorithm));
    if (failed_) return {};
    Result<oci::Digest> digest = oci::Digest::decode_key(bytes);
    if (!digest) failed_ = true;
    return digest.value_or({});
  }
  std::string text() {
    const std::size_t end = rest_.find('\0');
    if (end == std::string_view::npos) failed_ = true;
    if (failed_) return {};
    std::string value(rest_.substr(0, end));
    rest_.remove_prefix(end + 1);
    return value;
  }
  std::string last() {
    if (rest_.find('\0') != std::string_view::npos) failed_ = true;
    return std::string(std::exchange(rest_, {}));
  }
  /// What kind of thing stands at the end decides how long the rest is.
  bool at_end() const { return rest_.empty(); }
  std::string_view rest() const { return rest_; }
  std::string bytes(std::size_t size) { return std::string(take(size)); }
  void fail() { failed_ = true; }

  template <class Key>
  Result<Key> end(Key key) const {
    if (failed_ || !rest_.empty()) return make_error(ErrorCode::corrupt, "the index holds a damaged key");
    return key;
  }

 private:
  std::string_view take(std::size_t size) {
    if (rest_.size() < size) failed_ = true;
    if (failed_) return {};
    const std::string_view bytes = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return bytes;
  }
  std::string_view rest_;
  bool failed_ = false;
};

}  // namespace berth::registry
