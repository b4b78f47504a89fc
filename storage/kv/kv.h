// An ordered, transactional key-value store: the whole index lives behind this seam.
//
// Only what RocksDB, PostgreSQL-compatible SQL and an in-memory map can all give: get, multi-get, ordered scan, put,
// erase, counters, numbered logs, one atomic durable write, consistent views. It has never heard of manifests or tags.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::kv {

/// Index into the schema the store was opened with.
using Family = std::uint8_t;

/// How a family is used; an engine turns it into its own options.
enum class Access : std::uint8_t {
  point,  ///< looked up by whole key
  scan,   ///< read in key order
  large,  ///< values of up to a few hundred KiB, looked up by whole key
  queue,  ///< short-lived, read from its front
  log,    ///< appended and read in order, old entries dropped from the front
};
struct FamilySpec {
  std::string name;
  Access access = Access::point;
};
/// Position is the Family. Families may be appended in later versions, never removed or reordered.
using Schema = std::vector<FamilySpec>;

/// May a read wait for the disk? cache_only answers `would_block` when it would have to.
enum class Tier : std::uint8_t { cache_only, any };

/// Bytes-ordered keys in [begin, end); an empty end means the end of the family.
struct KeyRange {
  std::string begin;
  std::string end;
};
/// Every key that starts with `prefix`.
KeyRange prefix_range(std::string_view prefix);

enum class Direction : std::uint8_t { forward, backward };

/// A scan under way. Ends inside the job that began it: never keep one across a co_await. Not thread-safe.
class Cursor {
 public:
  virtual ~Cursor() = default;
  /// False at the end of the range and after an error: look at status() then.
  virtual bool valid() const = 0;
  virtual std::string_view key() const = 0;    ///< valid until next()
  virtual std::string_view value() const = 0;  ///< valid until next()
  virtual void next() = 0;
  virtual Result<void> status() const = 0;
};

/// Reads of one consistent state. Errors: io_error, corrupt, would_block.
class Reader {
 public:
  virtual ~Reader() = default;
  virtual Result<std::optional<std::string>> get(Family family, std::string_view key) const = 0;
  /// Answers in the order of `keys`.
  virtual Result<std::vector<std::optional<std::string>>> multi_get(Family family,
                                                                    std::span<const std::string> keys) const = 0;
  virtual Result<std::unique_ptr<Cursor>> scan(Family family, KeyRange range,
                                               Direction direction = Direction::forward) const = 0;
};

/// The state after one commit, held still. Thread-safe, const after construction.
class View {
 public:
  virtual ~View() = default;
  /// Grows with every commit of this process; starts anew when the store is opened.
  virtual std::uint64_t version() const = 0;
  virtual const Reader& reader(Tier tier) const = 0;
};

/// What a command writes through. Reads see its own writes and those of earlier commands of the batch.
/// Writes only reach memory: nothing here fails but reads. One thread.
class Transaction : public Reader {
 public:
  virtual void put(Family family, std::string key, std::string value) = 0;
  virtual void erase(Family family, std::string key) = 0;
  /// Adds to a signed 64-bit counter (absent = 0), stored little-endian. Wraps are a bug and abort.
  virtual Result<void> add(Family family, std::string key, std::int64_t delta) = 0;
  /// Adds an entry to a log family; the engine numbers it at commit (keys: u64 big-endian, consecutive from 1). The
  /// command cannot see the entry or its number.
  virtual void append(Family log, std::string entry) = 0;
  /// Names something that caches must forget once this is committed. Free form; see registry/answer_cache.
  virtual void touch(std::string key) = 0;
};

/// One write of a batch, in order.
struct Write {
  Family family = 0;
  std::string key;
  std::optional<std::string> value;  ///< empty = erase
};

/// An engine. Thread-safe but for write(), which has one caller (the committer).
class Store {
 public:
  virtual ~Store() = default;
  /// The state after the last write().
  virtual Result<std::shared_ptr<const View>> view() = 0;
  /// All or nothing, durable when it returns. An error means the outcome is unknown: the caller ends the process.
  virtual Result<void> write(std::span<const Write> writes) = 0;
  /// The number of the last entry of a log family; 0 when it has none. Whoever drops old entries leaves the last one,
  /// so that no number is given twice.
  virtual Result<std::uint64_t> last_log_number(Family log) = 0;
  virtual const Schema& schema() const = 0;
  /// Puts everything that is acknowledged where reopening is fastest. Called at an orderly stop.
  virtual Result<void> flush() = 0;
};

/// Big-endian, so that key order is number order.
void append_u64(std::string& key, std::uint64_t value);
std::uint64_t read_u64(std::string_view eight_bytes);
/// A stored counter; absent = 0. A value that is no counter is a bug and aborts: checksums guard the disk.
std::int64_t read_counter(const std::optional<std::string>& value);

}  // namespace berth::kv
