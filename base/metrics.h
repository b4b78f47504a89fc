// What the process counts, for Prometheus. One set a process, like the log: a family is an object at namespace scope in
// the file that counts, and nothing is handed through constructors.
//
//   metrics::Counter& mounts = metrics::Family<metrics::Counter>("blob_mounts_total", "Blobs mounted …").with();
//   …
//   mounts.add();
//
// Names are `berth_` and what the family says: base units (seconds, bytes), `_total` on counters and only there. Values
// of labels come from small sets of the source code, never from a client's text: a series is kept until the process
// ends. Make every series that can be known when the process starts, so that the first scrape has it at 0 and the first
// event is seen as a change. Thread-safe.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace berth::metrics {

using LabelNames = std::initializer_list<std::string_view>;
using LabelValues = std::initializer_list<std::string_view>;

/// Upper bounds in seconds: requests (0.5 ms to 30 s), whole exchanges and jobs (5 ms to an hour), and what happens
/// inside (10 µs to 1 s).
inline constexpr std::array kAnswerBuckets = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                              0.1,    0.25,  0.5,    1.0,   2.5,  10.0,  30.0};
inline constexpr std::array kExchangeBuckets = {0.005, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0, 120.0, 600.0, 3600.0};
inline constexpr std::array kShortBuckets = {0.00001, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025,
                                             0.005,   0.01,    0.025,  0.05,    0.1,    0.25,  1.0};

namespace detail {
inline constinit std::atomic<bool> counting{true};

inline constexpr std::size_t kShards = 8;
inline constexpr std::size_t kCacheLine = 64;

unsigned next_shard() noexcept;
/// The shard of the calling thread; threads take them in turn.
inline unsigned shard() noexcept {
  static constinit thread_local unsigned chosen = 0;  // 0: not yet
  if (chosen == 0) [[unlikely]]
    chosen = next_shard() + 1;
  return chosen - 1;
}
}  // namespace detail

/// Whether anything is counted. To be said before the first thread starts.
inline void set_counting(bool on) noexcept { detail::counting.store(on, std::memory_order_relaxed); }
inline bool counting() noexcept { return detail::counting.load(std::memory_order_relaxed); }

/// Only grows. A relaxed add to one of eight cells picked by thread, so that I/O threads share no cache line.
class Counter {
 public:
  void add(std::uint64_t n = 1) noexcept {
    if (counting()) cells_[detail::shard()].n.fetch_add(n, std::memory_order_relaxed);
  }
  std::uint64_t value() const noexcept;

 private:
  struct alignas(detail::kCacheLine) Cell {
    std::atomic<std::uint64_t> n{0};
  };
  std::array<Cell, detail::kShards> cells_;
};

/// Goes up and down.
class Gauge {
 public:
  void add(std::int64_t n) noexcept {
    if (counting()) value_.fetch_add(n, std::memory_order_relaxed);
  }
  void set(std::int64_t value) noexcept { value_.store(value, std::memory_order_relaxed); }
  std::int64_t value() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> value_{0};
};

/// How often each range of values was seen, and their sum. Cells by thread, as in Counter.
class Histogram {
 public:
  /// `bounds`: upper bounds in rising order, which must outlive the process; what is above the last one is counted too.
  explicit Histogram(std::span<const double> bounds);

  void observe(std::chrono::steady_clock::duration lasted) noexcept {
    observe(std::chrono::duration<double>(lasted).count());
  }
  void observe(double value) noexcept {
    if (!counting()) return;
    std::size_t bucket = 0;
    while (bucket < bounds_.size() && value > bounds_[bucket]) ++bucket;
    const auto shard = detail::shard();
    word(shard, 1 + bucket).fetch_add(1, std::memory_order_relaxed);
    auto& total = word(shard, 0);
    auto sum = total.load(std::memory_order_relaxed);
    while (!total.compare_exchange_weak(sum, std::bit_cast<std::uint64_t>(std::bit_cast<double>(sum) + value),
                                        std::memory_order_relaxed)) {
    }
  }

  std::span<const double> bounds() const noexcept { return bounds_; }
  std::vector<std::uint64_t> buckets() const;  ///< one count a bound, and one more for what is above them
  std::uint64_t count() const noexcept;
  double sum() const noexcept;

 private:
  static constexpr std::size_t kWordsALine = detail::kCacheLine / sizeof(std::uint64_t);
  struct alignas(detail::kCacheLine) Line {
    std::array<std::atomic<std::uint64_t>, kWordsALine> words{};
  };
  /// Word 0 of a shard is the sum (the bits of a double), the buckets follow.
  std::atomic<std::uint64_t>& word(unsigned shard, std::size_t i) const noexcept {
    return lines_[shard * lines_a_shard_ + i / kWordsALine].words[i % kWordsALine];
  }

  std::span<const double> bounds_;
  std::size_t lines_a_shard_;
  std::unique_ptr<Line[]> lines_;
};

/// The series of one name. A handle: what it counts belongs to the process. Two handles of one name are one family.
template <class Metric>
class Family {
 public:
  /// Without labels there is one series, and it exists from here on.
  Family(std::string_view name_without_prefix, std::string_view help, LabelNames labels = {})
    requires(!std::same_as<Metric, Histogram>)
      : data_(find_or_make(name_without_prefix, help, {}, labels)) {}
  /// `buckets` must outlive the process: one of the constants above, or a constant array.
  Family(std::string_view name_without_prefix, std::string_view help, std::span<const double> buckets,
         LabelNames labels = {})
    requires(std::same_as<Metric, Histogram>)
      : data_(find_or_make(name_without_prefix, help, buckets, labels)) {}

  /// Finds or makes the series of these values, as many as there are labels. Takes a lock: keep the reference where
  /// it matters, it stays valid until the process ends. A family has 2,000 series at most; what comes later is
  /// counted in one whose labels are all `_other`.
  Metric& with(LabelValues values = {}) const;
  Metric& with(std::span<const std::string_view> values) const;

 private:
  struct Data;
  static Data* find_or_make(std::string_view name, std::string_view help, std::span<const double> bounds,
                            LabelNames labels);
  Data* data_;
};

extern template class Family<Counter>;
extern template class Family<Gauge>;
extern template class Family<Histogram>;

/// A family with one label, whose values are the N enumerators of `Enum` (0 … N-1): all made here, reached without
/// lock.
template <class Metric, class Enum, std::size_t N>
class EnumFamily {
 public:
  using ToText = std::string_view (*)(Enum);

  EnumFamily(std::string_view name, std::string_view help, std::string_view label, ToText to_text)
    requires(!std::same_as<Metric, Histogram>)
      : EnumFamily(Family<Metric>(name, help, {label}), to_text) {}
  EnumFamily(std::string_view name, std::string_view help, std::span<const double> buckets, std::string_view label,
             ToText to_text)
    requires(std::same_as<Metric, Histogram>)
      : EnumFamily(Family<Metric>(name, help, buckets, {label}), to_text) {}

  Metric& operator[](Enum value) const noexcept { return *series_[static_cast<std::size_t>(value)]; }

 private:
  EnumFamily(const Family<Metric>& family, ToText to_text) {
    for (std::size_t i = 0; i < N; ++i) series_[i] = &family.with({to_text(static_cast<Enum>(i))});
  }
  std::array<Metric*, N> series_;
};

/// The same with two labels.
template <class Metric, class First, std::size_t N, class Second, std::size_t M>
class EnumGrid {
 public:
  EnumGrid(const Family<Metric>& family, std::string_view (*first)(First), std::string_view (*second)(Second)) {
    for (std::size_t i = 0; i < N; ++i) {
      for (std::size_t j = 0; j < M; ++j) {
        series_[i][j] = &family.with({first(static_cast<First>(i)), second(static_cast<Second>(j))});
      }
    }
  }
  Metric& operator()(First i, Second j) const noexcept {
    return *series_[static_cast<std::size_t>(i)][static_cast<std::size_t>(j)];
  }

 private:
  std::array<std::array<Metric*, M>, N> series_;
};

struct Label {
  std::string_view name;
  std::string_view value;
};
using Labels = std::initializer_list<Label>;

struct Quantile {
  double quantile;
  double value;
};

/// Where a source puts what it read. Names and labels as in Family, except that `process_…` gets no prefix: those names
/// are the same for every program. One name has one help and one type, whoever gives it.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual void gauge(std::string_view name, std::string_view help, Labels labels, double value) = 0;
  virtual void counter(std::string_view name, std::string_view help, Labels labels, double value) = 0;
  virtual void summary(std::string_view name, std::string_view help, Labels labels, std::span<const Quantile> quantiles,
                       std::uint64_t count, double sum) = 0;
};

/// Values that are read at each scrape rather than kept. Destroying it takes the function out and waits for a scrape
/// that is in it: not from within the function.
class [[nodiscard]] Source {
 public:
  Source() = default;
  Source(Source&&) noexcept = default;
  Source& operator=(Source&& other) noexcept;
  ~Source() { reset(); }
  void reset() noexcept;

 private:
  struct Entry;
  friend struct Exposition;
  friend Source add_source(std::function<void(Sink&)> read);
  explicit Source(std::shared_ptr<Entry> entry) : entry_(std::move(entry)) {}
  std::shared_ptr<Entry> entry_;
};

/// `read` is called at each scrape, on the scraper's pool thread. It may block for a moment, must be bounded, and
/// throws nothing.
Source add_source(std::function<void(Sink&)> read);

/// Everything, in the Prometheus text format 0.0.4. Milliseconds: not for an I/O thread.
std::string scrape_text();

}  // namespace berth::metrics
