#include "storage/kv/overlay.h"

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <iterator>

namespace berth::kv {
namespace {

/// Empty = erased. Node-based, so that the undo log and scans may keep iterators while keys are added.
using Pending = std::map<std::string, std::optional<std::string>, std::less<>>;

/// What a pending write costs beside its bytes: the map's node, its share of the batch and of the log's framing.
constexpr std::size_t kWriteOverheadBytes = 96;

std::string encode_counter(std::int64_t value) {
  const auto raw = static_cast<std::uint64_t>(value);
  std::string bytes(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) bytes[i] = static_cast<char>(raw >> (8 * i));
  return bytes;
}

/// The base's entries and the pending ones as one ordered sequence; a pending entry hides the base's of the same key.
/// Keys that are written while the scan runs are seen when they lie ahead and had a pending neighbour; a command that
/// reads first and writes then never notices.
class MergedCursor final : public Cursor {
 public:
  MergedCursor(std::unique_ptr<Cursor> base, const Pending& pending, const KeyRange& range, Direction direction)
      : base_(std::move(base)), direction_(direction) {
    first_ = pending.lower_bound(range.begin);
    last_ = range.end.empty() ? pending.end() : pending.lower_bound(range.end);
    at_ = direction_ == Direction::forward || first_ == last_ ? first_ : std::prev(last_);
    pending_left_ = first_ != last_;
    settle();
  }

  bool valid() const override { return source_ != Source::none; }
  std::string_view key() const override { return source_ == Source::base ? base_->key() : at_->first; }
  std::string_view value() const override { return source_ == Source::base ? base_->value() : *at_->second; }
  void next() override {
    if (source_ == Source::base) base_->next();
    if (source_ == Source::pending) advance_pending();
    settle();
  }
  Result<void> status() const override { return base_->status(); }

 private:
  enum class Source { none, base, pending };

  void advance_pending() {
    if (direction_ == Direction::forward) {
      ++at_;
      pending_left_ = at_ != last_;
    } else {
      pending_left_ = at_ != first_;
      if (pending_left_) --at_;
    }
  }

  void settle() {
    for (;;) {
      if (!base_->valid() && !base_ended_) {
        // An error ends the scan at once: pending entries that follow would hide that something is missing.
        if (!base_->status().has_value()) {
          source_ = Source::none;
          return;
        }
        base_ended_ = true;
      }
      if (!pending_left_) {
        source_ = base_ended_ ? Source::none : Source::base;
        return;
      }
      if (!base_ended_) {
        int order = std::string_view(at_->first).compare(base_->key());
        if (direction_ == Direction::backward) order = -order;
        if (order > 0) {
          source_ = Source::base;
          return;
        }
        if (order == 0) {  // hidden; look again, since that step may end or fail the base
          base_->next();
          continue;
        }
      }
      if (at_->second) {
        source_ = Source::pending;
        return;
      }
      advance_pending();
    }
  }

  std::unique_ptr<Cursor> base_;
  Direction direction_;
  Pending::const_iterator first_;
  Pending::const_iterator last_;
  Pending::const_iterator at_;  ///< the next pending entry to show, while pending_left_
  bool pending_left_ = false;
  bool base_ended_ = false;
  Source source_ = Source::none;
};

}  // namespace

struct Overlay::State {
  State(const Reader& reader, std::size_t family_count) : base(reader), families(family_count) {}

  struct Undo {
    Family family;
    Pending::iterator entry;
    bool existed;
    std::optional<std::string> previous;
  };
  struct LogEntry {
    Family family;
    std::string bytes;
  };

  void set(Family family, std::string key, std::optional<std::string> value) {
    // Room first: once the entry is in the map, noting how to undo it must not fail.
    if (undo.size() == undo.capacity()) undo.reserve(std::max<std::size_t>(16, undo.size() * 2));
    const std::size_t value_size = value ? value->size() : 0;
    auto [entry, inserted] = families[family].try_emplace(std::move(key));
    if (inserted) bytes += entry->first.size() + kWriteOverheadBytes;
    bytes += value_size;
    bytes -= entry->second ? entry->second->size() : 0;
    std::swap(entry->second, value);
    if (savepoint_set) undo.push_back({family, entry, !inserted, std::move(value)});
  }

  const Reader& base;
  std::vector<Pending> families;
  std::vector<LogEntry> log_entries;
  std::vector<std::string> touched;
  std::size_t bytes = 0;

  bool savepoint_set = false;
  std::vector<Undo> undo;
  std::size_t log_entries_at_savepoint = 0;
  std::size_t touched_at_savepoint = 0;
  std::size_t bytes_at_savepoint = 0;
};

Overlay::Overlay(const Reader& base, std::size_t family_count) : state_(std::make_unique<State>(base, family_count)) {}
Overlay::~Overlay() = default;

Result<std::optional<std::string>> Overlay::get(Family family, std::string_view key) const {
  const Pending& pending = state_->families[family];
  if (const auto found = pending.find(key); found != pending.end()) return found->second;
  return state_->base.get(family, key);
}

Result<std::vector<std::optional<std::string>>> Overlay::multi_get(Family family,
                                                                   std::span<const std::string> keys) const {
  const Pending& pending = state_->families[family];
  if (pending.empty()) return state_->base.multi_get(family, keys);
  std::vector<std::optional<std::string>> answers(keys.size());
  std::vector<std::string> rest;
  std::vector<std::size_t> rest_positions;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (const auto found = pending.find(keys[i]); found != pending.end()) {
      answers[i] = found->second;
    } else {
      rest.push_back(keys[i]);
      rest_positions.push_back(i);
    }
  }
  if (rest.empty()) return answers;
  BERTH_TRY(auto from_base, state_->base.multi_get(family, rest));
  for (std::size_t i = 0; i < rest.size(); ++i) answers[rest_positions[i]] = std::move(from_base[i]);
  return answers;
}

Result<std::unique_ptr<Cursor>> Overlay::scan(Family family, KeyRange range, Direction direction) const {
  const Pending& pending = state_->families[family];
  const bool nothing_in_range = !range.end.empty() && range.end <= range.begin;
  if (pending.empty() || nothing_in_range) return state_->base.scan(family, std::move(range), direction);
  BERTH_TRY(auto base, state_->base.scan(family, range, direction));
  return std::unique_ptr<Cursor>(std::make_unique<MergedCursor>(std::move(base), pending, range, direction));
}

void Overlay::put(Family family, std::string key, std::string value) {
  state_->set(family, std::move(key), std::move(value));
}

void Overlay::erase(Family family, std::string key) { state_->set(family, std::move(key), std::nullopt); }

Result<void> Overlay::add(Family family, std::string key, std::int64_t delta) {
  BERTH_TRY(const auto stored, get(family, key));
  if (stored && stored->size() != 8) {
    return make_error(ErrorCode::corrupt, "a stored counter is damaged", "a counter that is not 8 bytes long");
  }
  std::int64_t sum = 0;
  if (__builtin_add_overflow(read_counter(stored), delta, &sum)) std::abort();
  put(family, std::move(key), encode_counter(sum));
  return {};
}

void Overlay::append(Family log, std::string entry) {
  const std::size_t cost = entry.size() + kWriteOverheadBytes;
  state_->log_entries.push_back({log, std::move(entry)});
  state_->bytes += cost;
}

void Overlay::touch(std::string key) { state_->touched.push_back(std::move(key)); }

void Overlay::set_savepoint() {
  State& state = *state_;
  state.savepoint_set = true;
  state.undo.clear();
  state.log_entries_at_savepoint = state.log_entries.size();
  state.touched_at_savepoint = state.touched.size();
  state.bytes_at_savepoint = state.bytes;
}

void Overlay::rollback() {
  State& state = *state_;
  if (!state.savepoint_set) std::abort();
  // Newest first, so that a key that was written twice ends with what it had at the savepoint.
  for (; !state.undo.empty(); state.undo.pop_back()) {
    State::Undo& step = state.undo.back();
    if (step.existed) {
      step.entry->second = std::move(step.previous);
    } else {
      state.families[step.family].erase(step.entry);
    }
  }
  const auto drop_from = [](auto& list, std::size_t size) {
    list.erase(list.begin() + static_cast<std::ptrdiff_t>(size), list.end());
  };
  drop_from(state.log_entries, state.log_entries_at_savepoint);
  drop_from(state.touched, state.touched_at_savepoint);
  state.bytes = state.bytes_at_savepoint;
}

bool Overlay::empty() const {
  const auto is_empty = [](const Pending& pending) { return pending.empty(); };
  return state_->log_entries.empty() && std::all_of(state_->families.begin(), state_->families.end(), is_empty);
}

std::size_t Overlay::size_bytes() const { return state_->bytes; }

Overlay::Batch Overlay::take(std::vector<std::uint64_t>& last_log_number_by_family) {
  State& state = *state_;
  std::size_t count = state.log_entries.size();
  for (const Pending& pending : state.families) count += pending.size();
  Batch batch;
  batch.writes.reserve(count);
  std::vector<std::string> log_keys(state.log_entries.size());
  for (std::string& key : log_keys) key.reserve(8);

  // Nothing below allocates, so a failure leaves overlay and numbers as they were.
  state.undo.clear();
  state.savepoint_set = false;
  for (std::size_t family = 0; family < state.families.size(); ++family) {
    Pending& pending = state.families[family];
    while (!pending.empty()) {
      auto node = pending.extract(pending.begin());
      batch.writes.push_back({static_cast<Family>(family), std::move(node.key()), std::move(node.mapped())});
    }
  }
  for (std::size_t i = 0; i < state.log_entries.size(); ++i) {
    State::LogEntry& entry = state.log_entries[i];
    append_u64(log_keys[i], ++last_log_number_by_family[entry.family]);
    batch.writes.push_back({entry.family, std::move(log_keys[i]), std::move(entry.bytes)});
  }
  state.log_entries.clear();
  batch.touched = std::exchange(state.touched, {});
  state.bytes = 0;
  return batch;
}

}  // namespace berth::kv
