#include "base/metrics.h"

#include <catch2/catch.hpp>
#include <future>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace berth {
namespace {

/// The lines of a scrape that belong to a family, comments included.
std::string lines_of(std::string_view name) {
  std::istringstream all(metrics::scrape_text());
  std::string out;
  for (std::string line; std::getline(all, line);) {
    if (line.find("berth_" + std::string(name)) != std::string::npos) out += line + "\n";
  }
  return out;
}

enum class Colour { red, green };
std::string_view to_string(Colour colour) { return colour == Colour::red ? "red" : "green"; }

}  // namespace

TEST_CASE("a series is there at 0 from when it is known") {
  const metrics::Family<metrics::Counter> plain("test_plain_total", "Nothing yet.");
  const metrics::Family<metrics::Counter> coloured("test_coloured_total", "Things.", {"colour"});
  const metrics::EnumFamily<metrics::Gauge, Colour, 2> level("test_level", "Level.", "colour", to_string);
  coloured.with({"red"});
  CHECK(
      lines_of("test_plain_total") ==
      "# HELP berth_test_plain_total Nothing yet.\n# TYPE berth_test_plain_total counter\nberth_test_plain_total 0\n");
  CHECK(lines_of("test_coloured_total").ends_with("berth_test_coloured_total{colour=\"red\"} 0\n"));
  CHECK(lines_of("test_level").ends_with("berth_test_level{colour=\"green\"} 0\nberth_test_level{colour=\"red\"} 0\n"));
  level[Colour::green].set(-4);
  level[Colour::green].add(1);
  CHECK(lines_of("test_level").find("berth_test_level{colour=\"green\"} -3\n") != std::string::npos);
}

TEST_CASE("what threads count together adds up") {
  auto& counter = metrics::Family<metrics::Counter>("test_threads_total", "Threads.").with();
  auto& histogram =
      metrics::Family<metrics::Histogram>("test_threads_seconds", "Threads.", metrics::kShortBuckets).with();
  std::vector<std::future<void>> threads;
  for (int i = 0; i < 20; ++i) {  // more threads than shards
    threads.push_back(std::async(std::launch::async, [&] {
      for (int n = 0; n < 1000; ++n) {
        counter.add(2);
        histogram.observe(0.5);
      }
    }));
  }
  for (auto& thread : threads) thread.get();
  CHECK(counter.value() == 40'000);
  CHECK(histogram.count() == 20'000);
  CHECK(histogram.sum() == 10'000.0);
}

TEST_CASE("a histogram counts a value where it is no more than the bound") {
  static constexpr std::array kBounds = {0.25, 0.5, 1.0};
  auto& histogram = metrics::Family<metrics::Histogram>("test_sizes_seconds", "Sizes.", kBounds, {"kind"}).with({"a"});
  for (const double value : {0.0, 0.25, 0.26, 1.0, 1.5}) histogram.observe(value);
  histogram.observe(std::chrono::milliseconds(500));
  CHECK(histogram.buckets() == std::vector<std::uint64_t>{2, 2, 1, 1});
  CHECK(lines_of("test_sizes_seconds") ==
        "# HELP berth_test_sizes_seconds Sizes.\n"
        "# TYPE berth_test_sizes_seconds histogram\n"
        "berth_test_sizes_seconds_count{kind=\"a\"} 6\n"
        "berth_test_sizes_seconds_sum{kind=\"a\"} 3.51\n"
        "berth_test_sizes_seconds_bucket{kind=\"a\",le=\"0.25\"} 2\n"
        "berth_test_sizes_seconds_bucket{kind=\"a\",le=\"0.5\"} 4\n"
        "berth_test_sizes_seconds_bucket{kind=\"a\",le=\"1\"} 5\n"
        "berth_test_sizes_seconds_bucket{kind=\"a\",le=\"+Inf\"} 6\n");
}

TEST_CASE("two families of one name are one") {
  metrics::Family<metrics::Counter>("test_same_total", "Same.", {"a"}).with({"x"}).add();
  metrics::Family<metrics::Counter>("test_same_total", "Same.", {"a"}).with({"x"}).add();
  CHECK(metrics::Family<metrics::Counter>("test_same_total", "Same.", {"a"}).with({"x"}).value() == 2);
}

TEST_CASE("a family has no more than so many series") {
  const metrics::Family<metrics::Counter> many("test_many_total", "Many.", {"n"});
  for (int i = 0; i < 2500; ++i) many.with({std::to_string(i)}).add();
  CHECK(many.with({"_other"}).value() == 500);
  CHECK(many.with({"7"}).value() == 1);
  std::istringstream text(lines_of("test_many_total"));
  int lines = 0;
  for (std::string line; std::getline(text, line);) ++lines;
  CHECK(lines == 2 + 2001);
}

TEST_CASE("values of labels are escaped") {
  metrics::Family<metrics::Gauge>("test_escaped", "Escaped.", {"v"}).with({"a\"b\\c\nd"});
  CHECK(lines_of("test_escaped").find("{v=\"a\\\"b\\\\c\\nd\"} 0\n") != std::string::npos);
}

TEST_CASE("sources are read at each scrape until they are gone") {
  int reads = 0;
  auto first = metrics::add_source([&](metrics::Sink& sink) {
    sink.gauge("test_read_bytes", "Read.", {{"from", "first"}}, ++reads);
    sink.counter("process_test_total", "No prefix.", {}, 3);
  });
  auto second = metrics::add_source([](metrics::Sink& sink) {
    sink.gauge("test_read_bytes", "Read.", {{"from", "second"}}, 0.5);
    const metrics::Quantile quantiles[] = {{0.5, 1.25}, {0.99, 7}};
    sink.summary("test_read_seconds", "Summed.", {}, quantiles, 9, 11.5);
  });
  CHECK(lines_of("test_read_bytes")
            .ends_with("berth_test_read_bytes{from=\"first\"} 1\n"
                       "berth_test_read_bytes{from=\"second\"} 0.5\n"));
  CHECK(metrics::scrape_text().find("\nprocess_test_total 3\n") != std::string::npos);
  CHECK(lines_of("test_read_seconds") ==
        "# HELP berth_test_read_seconds Summed.\n"
        "# TYPE berth_test_read_seconds summary\n"
        "berth_test_read_seconds_count 9\n"
        "berth_test_read_seconds_sum 11.5\n"
        "berth_test_read_seconds{quantile=\"0.5\"} 1.25\n"
        "berth_test_read_seconds{quantile=\"0.99\"} 7\n");
  first = {};
  CHECK(lines_of("test_read_bytes").ends_with("gauge\nberth_test_read_bytes{from=\"second\"} 0.5\n"));
  CHECK(reads == 3);
  second = {};
  CHECK(lines_of("test_read").empty());
}

TEST_CASE("a source waits for the scrape that reads it before it is gone") {
  std::promise<void> reading;
  std::promise<void> go_on;
  std::atomic<bool> gone{false};
  bool gone_while_reading = true;
  auto source = metrics::add_source([&](metrics::Sink&) {
    reading.set_value();
    go_on.get_future().wait();
    gone_while_reading = gone;
  });
  auto scrape = std::async(std::launch::async, [] { metrics::scrape_text(); });
  reading.get_future().wait();
  auto removal = std::async(std::launch::async, [&] {
    source.reset();
    gone = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  go_on.set_value();
  removal.get();
  scrape.get();
  CHECK_FALSE(gone_while_reading);
}

TEST_CASE("what is not to be counted is not") {
  metrics::Counter counter;
  metrics::Gauge gauge;
  metrics::Histogram histogram(metrics::kShortBuckets);
  metrics::set_counting(false);
  counter.add();
  gauge.add(2);
  histogram.observe(0.5);
  metrics::set_counting(true);
  CHECK(counter.value() == 0);
  CHECK(gauge.value() == 0);
  CHECK(histogram.count() == 0);
  counter.add();
  CHECK(counter.value() == 1);
}

}  // namespace berth
