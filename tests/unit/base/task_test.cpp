#include "base/task.h"

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/this_coro.hpp>
#include <catch2/catch.hpp>
#include <future>
#include <memory>
#include <thread>

namespace berth {
namespace {

struct Seen {
  std::thread::id before;
  std::thread::id job;
  std::thread::id after;
  Result<int> answer;
};

asio::awaitable<void> hop(Pool& pool, Seen& seen) {
  seen.before = std::this_thread::get_id();
  auto job = [&seen]() -> Result<int> {
    seen.job = std::this_thread::get_id();
    return 7;
  };
  seen.answer = co_await offload(pool, std::move(job));
  seen.after = std::this_thread::get_id();
}

asio::awaitable<void> hop_with(Pool& pool, std::shared_ptr<int> owned, std::shared_ptr<std::atomic<int>> ran) {
  auto job = [owned, ran] {
    ran->fetch_add(1);
    return true;
  };
  co_await offload(pool, std::move(job));
}

}  // namespace

TEST_CASE("offload runs elsewhere and comes back") {
  Pool pool("test", 1);
  asio::io_context context(1);
  Seen seen;
  asio::co_spawn(context, hop(pool, seen), asio::detached);
  context.run();  // the job keeps it running
  CHECK(seen.answer.value() == 7);
  CHECK(seen.before == seen.after);
  CHECK(seen.before != seen.job);
  CHECK(pool.waiting() == 0);
}

TEST_CASE("a job owns what it touches when its caller's context is gone") {
  auto owned = std::make_shared<int>(1);
  auto ran = std::make_shared<std::atomic<int>>(0);
  {
    Pool pool("test", 1);
    std::atomic<bool> begun{false};
    std::atomic<bool> open{false};
    pool.post([&begun, &open] {
      begun = true;
      while (!open) std::this_thread::yield();
    });
    while (!begun) std::this_thread::yield();
    {
      asio::io_context context(1);
      asio::co_spawn(context, hop_with(pool, owned, ran), asio::detached);
      context.poll();
      CHECK(pool.waiting() == 1);
      open = true;
      pool.stop();  // what main does: pools end before the contexts that wait for them
    }
  }
  CHECK(*ran == 1);
  CHECK(owned.use_count() == 1);
}

TEST_CASE("a pool knows how many of its threads have a job, and how many jobs wait") {
  Pool pool("test", 1);
  std::promise<void> begun;
  std::promise<void> go_on;
  pool.post([&] {
    begun.set_value();
    go_on.get_future().wait();
  });
  pool.post([] {});
  begun.get_future().wait();
  CHECK(pool.threads() == 1);
  CHECK(pool.busy() == 1);
  CHECK(pool.waiting() == 1);
  go_on.set_value();
  pool.stop();
  CHECK(pool.busy() == 0);
  CHECK(pool.waiting() == 0);
}

}  // namespace berth
