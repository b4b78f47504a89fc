#include <openssl/evp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <thread>

#include "base/bytes.h"
#include "oci/digest.h"
#include "tests/bench/load/load.h"

namespace load {
namespace {

using HashState = std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)>;

/// Blobs that differ in their last bytes alone, so that a new one costs its sender no hash of the whole.
class Blobs {
 public:
  explicit Blobs(std::size_t size) : front_(size, '\0'), state_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    std::mt19937_64 random(std::random_device{}());
    for (std::size_t at = 0; at + 8 <= front_.size(); at += 8) {
      const std::uint64_t word = random();
      std::memcpy(front_.data() + at, &word, 8);
    }
    EVP_DigestInit_ex(state_.get(), EVP_sha256(), nullptr);
    EVP_DigestUpdate(state_.get(), front_.data(), front_.size());
  }
  const std::string& front() const { return front_; }
  std::string digest(const std::string& back) const {
    const HashState copy(EVP_MD_CTX_new(), EVP_MD_CTX_free);
    EVP_MD_CTX_copy_ex(copy.get(), state_.get());
    EVP_DigestUpdate(copy.get(), back.data(), back.size());
    unsigned char raw[EVP_MAX_MD_SIZE];
    EVP_DigestFinal_ex(copy.get(), raw, nullptr);
    const std::string_view text(reinterpret_cast<const char*>(raw), 32);
    return berth::oci::Digest::from_raw(berth::oci::Algorithm::sha256, berth::as_bytes(text)).to_string();
  }

 private:
  std::string front_;
  HashState state_;
};

/// The milliseconds of GETs, one each 2 ms.
std::vector<double> steady_gets(Connection& connection, const std::string& path, double seconds) {
  std::vector<double> latencies;
  const auto begin = Clock::now();
  for (auto next = begin; seconds_since(begin) < seconds; next += std::chrono::milliseconds(2)) {
    std::this_thread::sleep_until(next);
    const auto started = Clock::now();
    expect(connection.send("GET", path, "", ""), 200, path);
    latencies.push_back(seconds_since(started) * 1000);
  }
  return latencies;
}

/// How many milliseconds too late a thread wakes that does nothing but sleep 2 ms at a time: what the machine itself adds
/// to each wait for a core, whoever serves.
std::vector<double> wait_for_core(const std::atomic<bool>& over) {
  prctl(PR_SET_TIMERSLACK, 1);
  std::vector<double> late;
  for (auto next = Clock::now(); !over;) {
    next = std::max(next + std::chrono::milliseconds(2), Clock::now());
    std::this_thread::sleep_until(next);
    late.push_back(seconds_since(next) * 1000);
  }
  return late;
}

double mib(std::size_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

}  // namespace

void streams(const Streams& options) {
  constexpr int kPullers = 2;
  constexpr int kPushers = 2;
  const Blobs blobs(options.push_bytes);
  Connection small(options.port, "Accept: application/vnd.oci.image.manifest.v1+json\r\n");
  steady_gets(small, options.small_path, 0.2);
  auto idle = steady_gets(small, options.small_path, options.seconds);

  std::atomic<bool> over{false};
  std::atomic<std::size_t> pushes{0};
  std::atomic<std::size_t> moved[kPullers + kPushers] = {};
  std::thread all([&] {
    run_clients(kPullers + kPushers, [&](int n) {
      // Elsewhere these clients have machines of their own: here they get what the server and the small GETs leave.
      setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), 10);
      Connection connection(options.port, "");
      const Progress progress = [&](std::size_t bytes) {
        moved[n] += bytes;
        return !over;
      };
      const auto once = [&] {
        if (n < kPullers) return connection.pull(options.large_path, progress);
        const std::string back = std::to_string(n) + " " + std::to_string(Clock::now().time_since_epoch().count());
        const std::string digest = blobs.digest(back);
        const bool plain = options.push_to.starts_with('/');
        const std::string path = plain ? options.push_to + "/" + digest.substr(7)
                                       : begin_upload(connection, options.push_to) + "digest=" + digest;
        const bool whole = connection.put(path, blobs.front(), back, progress);
        pushes += whole;
        return whole;
      };
      while (!over && once()) continue;
    });
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  std::size_t before[kPullers + kPushers];
  for (int n = 0; n < kPullers + kPushers; ++n) before[n] = moved[n];
  std::vector<double> core;
  std::thread sleeper([&] { core = wait_for_core(over); });
  const auto begin = Clock::now();
  auto busy = steady_gets(small, options.small_path, options.seconds);
  const double took = seconds_since(begin);
  std::size_t done[kPullers + kPushers];
  for (int n = 0; n < kPullers + kPushers; ++n) done[n] = moved[n] - before[n];
  over = true;
  sleeper.join();
  all.join();

  const double pulled = mib(done[0] + done[1]) / took, pushed = mib(done[2] + done[3]) / took;
  const auto share = [](std::size_t a, std::size_t b) {
    return std::max(a, b) == 0 ? 0.0 : static_cast<double>(std::min(a, b)) / static_cast<double>(std::max(a, b));
  };
  std::printf(
      "{\"idle_p50_ms\": %.4f, \"idle_p99_ms\": %.4f, \"busy_p50_ms\": %.4f, \"busy_p99_ms\": %.4f, \"core_p99_ms\": %.4f, "
      "\"pulled_mib_s\": %.1f, \"pushed_mib_s\": %.1f, \"pull_share\": %.3f, \"push_share\": %.3f, \"pushes\": %zu}\n",
      percentile(idle, 0.5), percentile(idle, 0.99), percentile(busy, 0.5), percentile(busy, 0.99), percentile(core, 0.99), pulled,
      pushed, share(done[0], done[1]), share(done[2], done[3]), pushes.load());
}

}  // namespace load
