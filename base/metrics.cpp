#include "base/metrics.h"

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <cassert>
#include <limits>
#include <map>
#include <mutex>
#include <sstream>
#include <type_traits>

namespace berth::metrics {

namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

constexpr std::size_t kMostSeries = 2000;
constexpr std::string_view kOther = "_other";

std::string full_name(std::string_view name) {
  return name.starts_with("process_") ? std::string(name) : "berth_" + std::string(name);
}

/// What the registry of families sees of each.
class AnyFamily {
 public:
  virtual ~AnyFamily() = default;
  virtual MetricFamily collect() const = 0;
};

/// Families are found again by name, and never destroyed: threads may count until the very end of the process.
struct Families {
  std::mutex mutex;
  std::map<std::string, std::unique_ptr<AnyFamily>, std::less<>> by_name;
};

Families& families() {
  static auto* const only = new Families;
  return *only;
}

void put(const Counter& counter, ClientMetric& out) { out.counter.value = static_cast<double>(counter.value()); }
void put(const Gauge& gauge, ClientMetric& out) { out.gauge.value = static_cast<double>(gauge.value()); }
void put(const Histogram& histogram, ClientMetric& out) {
  const auto buckets = histogram.buckets();
  const auto bounds = histogram.bounds();
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < buckets.size(); ++i) {
    count += buckets[i];
    out.histogram.bucket.push_back({count, i < bounds.size() ? bounds[i] : std::numeric_limits<double>::infinity()});
  }
  out.histogram.sample_count = count;  // not read once more: a scrape must agree with itself
  out.histogram.sample_sum = histogram.sum();
}

template <class Metric>
constexpr MetricType kType = std::is_same_v<Metric, Counter> ? MetricType::Counter
                             : std::is_same_v<Metric, Gauge> ? MetricType::Gauge
                                                             : MetricType::Histogram;

}  // namespace

unsigned detail::next_shard() noexcept {
  static std::atomic<unsigned> next{0};
  return next.fetch_add(1, std::memory_order_relaxed) % kShards;
}

std::uint64_t Counter::value() const noexcept {
  std::uint64_t sum = 0;
  for (const auto& cell : cells_) sum += cell.n.load(std::memory_order_relaxed);
  return sum;
}

Histogram::Histogram(std::span<const double> bounds)
    : bounds_(bounds),
      lines_a_shard_((bounds.size() + 2 + kWordsALine - 1) / kWordsALine),
      lines_(std::make_unique<Line[]>(lines_a_shard_ * detail::kShards)) {
  assert(std::is_sorted(bounds.begin(), bounds.end()));
}

std::vector<std::uint64_t> Histogram::buckets() const {
  std::vector<std::uint64_t> out(bounds_.size() + 1);
  for (unsigned shard = 0; shard < detail::kShards; ++shard) {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] += word(shard, 1 + i).load(std::memory_order_relaxed);
  }
  return out;
}

std::uint64_t Histogram::count() const noexcept {
  std::uint64_t count = 0;
  for (unsigned shard = 0; shard < detail::kShards; ++shard) {
    for (std::size_t i = 0; i <= bounds_.size(); ++i) count += word(shard, 1 + i).load(std::memory_order_relaxed);
  }
  return count;
}

double Histogram::sum() const noexcept {
  double sum = 0;
  for (unsigned shard = 0; shard < detail::kShards; ++shard) {
    sum += std::bit_cast<double>(word(shard, 0).load(std::memory_order_relaxed));
  }
  return sum;
}

template <class Metric>
struct Family<Metric>::Data final : AnyFamily {
  Data(std::string_view name_, std::string_view help_, std::span<const double> bounds_, LabelNames labels_)
      : name(full_name(name_)), help(help_), bounds(bounds_), labels(labels_.begin(), labels_.end()) {
    assert(name.ends_with("_total") == (kType<Metric> == MetricType::Counter));
  }

  Metric& with(std::span<const std::string_view> values) {
    assert(values.size() == labels.size());
    std::vector<std::string> key(values.begin(), values.end());
    const std::lock_guard lock(mutex);
    if (series.size() >= kMostSeries && !series.contains(key)) key.assign(labels.size(), std::string(kOther));
    auto& place = series[std::move(key)];
    if (!place) {
      if constexpr (std::is_same_v<Metric, Histogram>) {
        place = std::make_unique<Metric>(bounds);
      } else {
        place = std::make_unique<Metric>();
      }
    }
    return *place;
  }

  MetricFamily collect() const override {
    MetricFamily out{name, help, kType<Metric>, {}};
    const std::lock_guard lock(mutex);
    out.metric.reserve(series.size());
    for (const auto& [values, metric] : series) {
      auto& one = out.metric.emplace_back();
      for (std::size_t i = 0; i < labels.size(); ++i) one.label.push_back({labels[i], values[i]});
      put(*metric, one);
    }
    return out;
  }

  const std::string name;
  const std::string help;
  const std::span<const double> bounds;
  const std::vector<std::string> labels;
  mutable std::mutex mutex;
  std::map<std::vector<std::string>, std::unique_ptr<Metric>> series;
};

template <class Metric>
auto Family<Metric>::find_or_make(std::string_view name, std::string_view help, std::span<const double> bounds,
                                  LabelNames labels) -> Data* {
  const std::lock_guard lock(families().mutex);
  auto& place = families().by_name[full_name(name)];
  if (!place) {
    auto made = std::make_unique<Data>(name, help, bounds, labels);
    if (labels.size() == 0) made->with({});
    place = std::move(made);
  }
  auto* const data = dynamic_cast<Data*>(place.get());
  assert(data && "one name, one type");
  assert(std::equal(labels.begin(), labels.end(), data->labels.begin(), data->labels.end()));
  return data;
}

template <class Metric>
Metric& Family<Metric>::with(LabelValues values) const {
  return data_->with(std::span(values.begin(), values.size()));
}

template <class Metric>
Metric& Family<Metric>::with(std::span<const std::string_view> values) const {
  return data_->with(values);
}

template class Family<Counter>;
template class Family<Gauge>;
template class Family<Histogram>;

// ---- what is read at each scrape ----

struct Source::Entry {
  std::mutex mutex;
  std::function<void(Sink&)> read;  ///< empty once the source is gone
};

namespace {

struct Sources {
  std::mutex mutex;
  std::vector<std::shared_ptr<void>> entries;  ///< Source::Entry, in the order they came
};

Sources& sources() {
  static auto* const only = new Sources;
  return *only;
}

/// Gathers what sources give into families.
class Gathered final : public Sink {
 public:
  explicit Gathered(std::map<std::string, MetricFamily>& out) : out_(out) {}

  void gauge(std::string_view name, std::string_view help, Labels labels, double value) override {
    add(name, help, MetricType::Gauge, labels).gauge.value = value;
  }
  void counter(std::string_view name, std::string_view help, Labels labels, double value) override {
    add(name, help, MetricType::Counter, labels).counter.value = value;
  }
  void summary(std::string_view name, std::string_view help, Labels labels, std::span<const Quantile> quantiles,
               std::uint64_t count, double sum) override {
    auto& summary = add(name, help, MetricType::Summary, labels).summary;
    for (const auto& [quantile, value] : quantiles) summary.quantile.push_back({quantile, value});
    summary.sample_count = count;
    summary.sample_sum = sum;
  }

 private:
  ClientMetric& add(std::string_view name, std::string_view help, MetricType type, Labels labels) {
    auto full = full_name(name);
    auto& family = out_[full];
    if (family.name.empty()) {
      family.name = std::move(full);
      family.help = help;
      family.type = type;
    }
    assert(family.type == type && "one name, one type");
    auto& one = family.metric.emplace_back();
    for (const auto& [key, value] : labels) one.label.push_back({std::string(key), std::string(value)});
    return one;
  }

  std::map<std::string, MetricFamily>& out_;
};

}  // namespace

Source& Source::operator=(Source&& other) noexcept {
  if (this != &other) {
    reset();
    entry_ = std::move(other.entry_);
  }
  return *this;
}

void Source::reset() noexcept {
  if (!entry_) return;
  {
    const std::lock_guard lock(sources().mutex);
    std::erase(sources().entries, std::static_pointer_cast<void>(entry_));
  }
  const std::lock_guard lock(entry_->mutex);
  entry_->read = nullptr;
  // The lock's owner goes with the frame, the entry after it.
}

Source add_source(std::function<void(Sink&)> read) {
  auto entry = std::make_shared<Source::Entry>();
  entry->read = std::move(read);
  const std::lock_guard lock(sources().mutex);
  sources().entries.push_back(entry);
  return Source(std::move(entry));
}

/// All families and sources of the process, by name.
struct Exposition final : prometheus::Collectable {
  std::vector<MetricFamily> Collect() const override {
    std::map<std::string, MetricFamily> all;
    std::vector<std::shared_ptr<void>> entries;
    {
      const std::lock_guard lock(sources().mutex);
      entries = sources().entries;
    }
    Gathered sink(all);
    for (const auto& any : entries) {
      auto& entry = *static_cast<Source::Entry*>(any.get());
      const std::lock_guard lock(entry.mutex);
      if (entry.read) entry.read(sink);
    }
    {
      const std::lock_guard lock(families().mutex);
      for (const auto& [name, family] : families().by_name) {
        [[maybe_unused]] const auto added = all.emplace(name, family->collect()).second;
        assert(added && "a name is kept here or read from a source");
      }
    }
    std::vector<MetricFamily> out;
    out.reserve(all.size());
    for (auto& [name, family] : all) {
      if (!family.metric.empty()) out.push_back(std::move(family));
    }
    return out;
  }
};

std::string scrape_text() {
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, Exposition().Collect());
  return std::move(out).str();
}

}  // namespace berth::metrics
