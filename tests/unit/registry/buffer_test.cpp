#include "registry/buffer.h"

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace berth::registry {
namespace {

constexpr std::size_t kLarge = 1000;
constexpr std::size_t kSmall = 100;
/// Room for two large buffers beside what is for small ones alone, which is one of them.
constexpr std::size_t kTwoLarge = 2150;

/// What a waiter got, in the order of getting it.
struct Ledger {
  std::vector<std::string> served;
  std::vector<Buffer> held;
};

asio::awaitable<void> wait_for(BufferPool& pool, std::size_t bytes, std::string name, Ledger& ledger) {
  auto buffer = co_await pool.acquire(bytes);
  if (!buffer) {
    ledger.served.push_back(name + " " + std::string(to_string(buffer.error().code)));
    co_return;
  }
  ledger.served.push_back(std::move(name));
  ledger.held.push_back(*std::move(buffer));
}

}  // namespace

TEST_CASE("buffers have the size that is expected and give their share back") {
  BufferPool pool(10 * kLarge, kLarge, kSmall);
  {
    Buffer small = pool.acquire_now(kSmall);
    Buffer large = pool.acquire_now(kSmall + 1);
    CHECK(small);
    CHECK(small.space().size() == kSmall);
    CHECK(large.space().size() == kLarge);
    CHECK(small.bytes().empty());
    CHECK(pool.in_use_bytes() == kLarge + kSmall);
    std::ranges::fill(small.space(), std::byte{7});
    small.set_size(3);
    CHECK(small.bytes().size() == 3);

    Buffer moved = std::move(small);
    CHECK_FALSE(small);
    CHECK(small.size() == 0);
    CHECK(moved.size() == 3);
    CHECK(moved.bytes()[2] == std::byte{7});
    CHECK(pool.in_use_bytes() == kLarge + kSmall);
    moved = std::move(large);
    CHECK(pool.in_use_bytes() == kLarge);
    moved = Buffer();
    CHECK(pool.in_use_bytes() == 0);
  }
  CHECK(pool.in_use_bytes() == 0);
}

TEST_CASE("acquire_now may exceed the budget") {
  BufferPool pool(kLarge, kLarge, kSmall);
  const Buffer first = pool.acquire_now(kLarge);
  const Buffer second = pool.acquire_now(kLarge);
  CHECK(pool.in_use_bytes() == 2 * kLarge);
}

TEST_CASE("who waits is served in order of arrival, and nobody overtakes") {
  BufferPool pool(kTwoLarge, kLarge, kSmall);
  asio::io_context context(1);
  Ledger ledger;
  std::vector<Buffer> first;
  first.push_back(pool.acquire_now(kLarge));
  first.push_back(pool.acquire_now(kLarge));
  first.push_back(pool.acquire_now(kSmall));
  for (const char* name : {"a", "b", "c"}) {
    asio::co_spawn(context, wait_for(pool, kLarge, name, ledger), asio::detached);
  }
  for (const char* name : {"small", "second small"}) {
    asio::co_spawn(context, wait_for(pool, 1, name, ledger), asio::detached);
  }
  context.poll();
  CHECK(ledger.served.empty());
  CHECK(pool.waiting() == 5);

  first.erase(first.begin());
  context.poll();
  CHECK(ledger.served == std::vector<std::string>{"a"});
  CHECK(pool.in_use_bytes() == 2 * kLarge + kSmall);
  first.erase(first.begin());
  context.poll();
  CHECK(ledger.served == std::vector<std::string>{"a", "b"});
  ledger.held.clear();
  context.poll();
  CHECK(ledger.served == std::vector<std::string>{"a", "b", "c", "small", "second small"});
  CHECK(pool.in_use_bytes() == kLarge + 3 * kSmall);
  ledger.held.clear();
  first.clear();
  CHECK(pool.in_use_bytes() == 0);
  CHECK(pool.waiting() == 0);
}

TEST_CASE("while large buffers take all they may, a small one is there at once") {
  BufferPool pool(16 * kLarge, kLarge, kSmall);
  asio::io_context context(1);
  Ledger ledger;
  for (int i = 0; i < 20; ++i) asio::co_spawn(context, wait_for(pool, kLarge, "large", ledger), asio::detached);
  context.poll();
  CHECK(ledger.served.size() == 15);
  for (int i = 0; i < 12; ++i) asio::co_spawn(context, wait_for(pool, 1, "small", ledger), asio::detached);
  context.poll();
  CHECK(ledger.served.size() == 25);
  CHECK(ledger.served.back() == "small");
  CHECK(pool.waiting() == 7);
  // What is not theirs alone goes to the large ones that wait, whatever stands in the other line.
  ledger.held.erase(ledger.held.begin());
  context.poll();
  CHECK(ledger.served.size() == 26);
  CHECK(ledger.served.back() == "large");
  ledger.held.erase(ledger.held.begin() + 14);  // a small one
  context.poll();
  CHECK(ledger.served.size() == 27);
  CHECK(ledger.served.back() == "small");
}

TEST_CASE("small buffers that keep coming do not starve a large one") {
  BufferPool pool(kTwoLarge, kLarge, kSmall);
  asio::io_context context(1);
  Ledger ledger;
  std::vector<Buffer> small;
  for (std::size_t used = 0; used + kSmall <= kTwoLarge; used += kSmall) small.push_back(pool.acquire_now(kSmall));
  asio::co_spawn(context, wait_for(pool, kLarge, "large", ledger), asio::detached);
  context.poll();
  for (int i = 0; i < 11; ++i) {
    asio::co_spawn(context, wait_for(pool, 1, "small", ledger), asio::detached);
    small.pop_back();
    context.poll();
  }
  CHECK(!ledger.served.empty());
  CHECK(ledger.served.front() == "large");
}

TEST_CASE("a wait ends when whoever it is for gives up") {
  BufferPool pool(kTwoLarge, kLarge, kSmall);
  asio::io_context context(1);
  const Buffer first = pool.acquire_now(kLarge);
  const Buffer second = pool.acquire_now(kLarge);
  asio::cancellation_signal given_up;
  std::string answer;
  const auto wait = [](BufferPool& from, asio::cancellation_slot slot, std::string& told) -> asio::awaitable<void> {
    const auto buffer = co_await from.acquire(kLarge, slot);
    told = buffer ? "a buffer" : std::string(to_string(buffer.error().code));
  };
  asio::co_spawn(context, wait(pool, given_up.slot(), answer), asio::detached);
  context.poll();
  CHECK(answer.empty());
  CHECK(pool.waiting() == 1);
  given_up.emit(asio::cancellation_type::terminal);
  context.poll();
  CHECK(answer == "aborted");
  CHECK(pool.waiting() == 0);
  given_up.emit(asio::cancellation_type::terminal);  // nobody listens any more
  CHECK(pool.in_use_bytes() == 2 * kLarge);
}

TEST_CASE("a budget below one buffer lets one out at a time") {
  BufferPool pool(1, kLarge, kSmall);
  asio::io_context context(1);
  Ledger ledger;
  asio::co_spawn(context, wait_for(pool, kLarge, "a", ledger), asio::detached);
  asio::co_spawn(context, wait_for(pool, kLarge, "b", ledger), asio::detached);
  context.poll();
  CHECK(ledger.served == std::vector<std::string>{"a"});
  ledger.held.clear();
  context.poll();
  CHECK(ledger.served == std::vector<std::string>{"a", "b"});
}

TEST_CASE("a cancelled wait leaves the line and lets the one behind pass") {
  BufferPool pool(2 * kLarge, kLarge, kSmall);
  asio::io_context context(1);
  Ledger ledger;
  Buffer first = pool.acquire_now(kLarge);
  Buffer almost = pool.acquire_now(kLarge);
  asio::cancellation_signal signal;
  asio::co_spawn(context, wait_for(pool, kLarge, "large", ledger),
                 asio::bind_cancellation_slot(signal.slot(), asio::detached));
  asio::co_spawn(context, wait_for(pool, 1, "small", ledger), asio::detached);
  Buffer filler = pool.acquire_now(1);  // beyond the budget, so that a large one does not fit when one is back
  almost = Buffer();
  context.poll();
  CHECK(ledger.served.empty());
  CHECK(pool.waiting() == 2);
  signal.emit(asio::cancellation_type::terminal);
  context.poll();
  CHECK(ledger.served == std::vector<std::string>{"large aborted", "small"});
  CHECK(pool.in_use_bytes() == kLarge + 2 * kSmall);
}

TEST_CASE("a context destroyed with waiters in it loses nothing of the budget") {
  BufferPool pool(kTwoLarge, kLarge, kSmall);
  Ledger other;
  asio::io_context survivor(1);
  std::vector<Buffer> first;
  {
    Ledger ledger;
    asio::io_context context(1);
    first.push_back(pool.acquire_now(kLarge));
    first.push_back(pool.acquire_now(kLarge));
    for (int i = 0; i < 3; ++i) asio::co_spawn(context, wait_for(pool, kLarge, "gone", ledger), asio::detached);
    context.poll();
    REQUIRE(pool.waiting() == 3);
    asio::co_spawn(survivor, wait_for(pool, kLarge, "survivor", other), asio::detached);
    survivor.poll();
    REQUIRE(pool.waiting() == 4);
    first.pop_back();  // granted to the first, whose wake-up is posted and never runs
    CHECK(pool.waiting() == 3);
    CHECK(pool.in_use_bytes() == 2 * kLarge);
  }
  survivor.poll();
  CHECK(other.served == std::vector<std::string>{"survivor"});
  CHECK(pool.waiting() == 0);
  CHECK(pool.in_use_bytes() == 2 * kLarge);
  first.clear();
  other.held.clear();
  CHECK(pool.in_use_bytes() == 0);
}

TEST_CASE("buffers and waiters may outlive the pool") {
  asio::io_context context(1);
  Ledger ledger;
  Buffer first;
  {
    BufferPool pool(kLarge, kLarge, kSmall);
    first = pool.acquire_now(kLarge);
    asio::co_spawn(context, wait_for(pool, kLarge, "late", ledger), asio::detached);
    context.poll();
  }
  first = Buffer();
  context.poll();
  CHECK(ledger.served == std::vector<std::string>{"late"});
  CHECK(ledger.held.front().space().size() == kLarge);
}

namespace {

asio::awaitable<void> work(BufferPool& pool, std::uint32_t seed, std::atomic<std::size_t>& most, std::size_t& done) {
  std::mt19937 random(seed);
  for (int turn = 0; turn < 200; ++turn) {
    auto buffer = co_await pool.acquire(random() % 3 == 0 ? kLarge : kSmall);
    if (!buffer) co_return;
    const std::size_t used = pool.in_use_bytes();
    std::size_t before = most.load();
    while (used > before && !most.compare_exchange_weak(before, used)) {
    }
    buffer->space().front() = std::byte{1};
    co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
    if (random() % 4 == 0) {
      // Give it back from another thread, as a disk pool does.
      std::thread([held = *std::move(buffer)] {}).join();
    }
  }
  ++done;
}

}  // namespace

TEST_CASE("threads share the budget, never exceed it, and all get their turn") {
  constexpr std::size_t kThreads = 3;
  constexpr std::size_t kWorkers = 4;
  const std::uint32_t seed = Catch::rngSeed() != 0 ? Catch::rngSeed() : std::random_device{}();
  INFO("seed " << seed);
  BufferPool pool(3 * kLarge, kLarge, kSmall);
  std::atomic<std::size_t> most{0};
  std::vector<std::size_t> done(kThreads, 0);
  std::vector<std::thread> threads;
  for (std::size_t thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      asio::io_context context(1);
      for (std::size_t worker = 0; worker < kWorkers; ++worker) {
        const auto own = static_cast<std::uint32_t>(seed + thread * kWorkers + worker);
        asio::co_spawn(context, work(pool, own, most, done[thread]), asio::detached);
      }
      context.run();
    });
  }
  for (auto& thread : threads) thread.join();
  for (const std::size_t count : done) CHECK(count == kWorkers);
  CHECK(most <= 3 * kLarge);
  CHECK(most > 2 * kLarge);
  CHECK(pool.in_use_bytes() == 0);
  CHECK(pool.waiting() == 0);
}

TEST_CASE("contexts that end under load lose nothing of the budget") {
  const std::uint32_t seed = std::random_device{}();
  INFO("seed " << seed);
  BufferPool pool(2 * kLarge, kLarge, kSmall);
  std::vector<std::thread> threads;
  for (std::uint32_t thread = 0; thread < 2; ++thread) {
    threads.emplace_back([&pool, seed, thread] {
      std::mt19937 random(seed + thread);
      std::atomic<std::size_t> most{0};
      std::size_t done = 0;
      for (int round = 0; round < 30; ++round) {
        asio::io_context context(1);
        for (int worker = 0; worker < 5; ++worker) {
          asio::co_spawn(context, work(pool, static_cast<std::uint32_t>(random()), most, done), asio::detached);
        }
        context.run_for(std::chrono::microseconds(random() % 2000));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(pool.in_use_bytes() == 0);
  CHECK(pool.waiting() == 0);
}

}  // namespace berth::registry
