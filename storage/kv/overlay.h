// The one Transaction there is: pending writes in ordered maps over a Reader, for every engine alike.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "storage/kv/kv.h"

namespace berth::kv {

/// Gathers the writes of many commands over one base state. A command that refuses is rolled back to its savepoint
/// and leaves no trace. One thread; `base` outlives it. A cursor ends before rollback() and take(); what is written
/// while it runs may or may not be seen by it.
class Overlay final : public Transaction {
 public:
  Overlay(const Reader& base, std::size_t family_count);
  ~Overlay() override;

  Result<std::optional<std::string>> get(Family family, std::string_view key) const override;
  Result<std::vector<std::optional<std::string>>> multi_get(Family family,
                                                            std::span<const std::string> keys) const override;
  Result<std::unique_ptr<Cursor>> scan(Family family, KeyRange range, Direction direction) const override;
  void put(Family family, std::string key, std::string value) override;
  void erase(Family family, std::string key) override;
  Result<void> add(Family family, std::string key, std::int64_t delta) override;
  void append(Family log, std::string entry) override;
  void touch(std::string key) override;

  /// From here on, rollback() undoes everything back to this point. One level.
  void set_savepoint();
  void rollback();

  bool empty() const;
  /// Approximate bytes of pending keys and values.
  std::size_t size_bytes() const;
  /// Hands out everything and is empty after it. Log entries are numbered in the order of their append() from
  /// `last_log_number_by_family[family] + 1`, which is advanced; writes stand by family and key, log entries last.
  struct Batch {
    std::vector<Write> writes;
    std::vector<std::string> touched;
  };
  Batch take(std::vector<std::uint64_t>& last_log_number_by_family);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace berth::kv
