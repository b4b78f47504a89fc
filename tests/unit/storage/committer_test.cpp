#include "storage/kv/committer.h"

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>
#include <deque>
#include <functional>
#include <new>
#include <stdexcept>

#include "storage/kv/memory_kv.h"

namespace berth::kv {
namespace {

constexpr Family kFacts = 0;
constexpr Family kLog = 1;

Schema test_schema() { return {{"facts", Access::point}, {"log", Access::log}}; }

/// A command made of a function, so that a test reads top down.
struct Step {
  using Outcome = std::string;
  std::function<Result<std::string>(Transaction&)> body;
  Result<std::string> apply(Transaction& transaction) const { return body(transaction); }
};

Step put_step(std::string key, std::string value) {
  return {[=](Transaction& transaction) -> Result<std::string> {
    transaction.put(kFacts, key, value);
    transaction.append(kLog, key + "=" + value);
    transaction.touch(key);
    return "put " + key;
  }};
}

/// The in-memory engine with a record of what happened, writes that can be held or failed, and caches that are cold
/// until a read with Tier::any has warmed the key.
class ProbeStore final : public Store {
 public:
  Result<std::shared_ptr<const View>> view() override {
    BERTH_TRY(auto inner, inner_->view());
    return std::shared_ptr<const View>(std::make_shared<ProbeView>(*this, std::move(inner)));
  }
  Result<void> write(std::span<const Write> writes) override {
    {
      std::unique_lock lock(mutex_);
      ++entered;
      changed_.notify_all();
      changed_.wait(lock, [this] { return !held_; });
    }
    if (fail_writes) return make_error(ErrorCode::io_error, "the test's disk is gone");
    ++write_count;
    write_sizes.push_back(writes.size());
    note("write");
    return inner_->write(writes);
  }
  Result<std::uint64_t> last_log_number(Family log) override { return inner_->last_log_number(log); }
  const Schema& schema() const override { return inner_->schema(); }
  Result<void> flush() override { return {}; }

  void hold_writes() {
    const std::lock_guard lock(mutex_);
    held_ = true;
  }
  void release_writes() {
    const std::lock_guard lock(mutex_);
    held_ = false;
    changed_.notify_all();
  }
  void await_write(int number) {
    std::unique_lock lock(mutex_);
    REQUIRE(changed_.wait_for(lock, std::chrono::seconds(20), [&] { return entered >= number; }));
  }
  void note(std::string event) {
    const std::lock_guard lock(mutex_);
    events_.push_back(std::move(event));
  }
  std::vector<std::string> events() {
    const std::lock_guard lock(mutex_);
    return events_;
  }

  std::atomic<bool> fail_writes{false};
  std::atomic<bool> cold{false};
  std::atomic<int> write_count{0};
  std::atomic<int> cold_reads{0};
  std::atomic<int> waiting_reads{0};
  std::vector<std::size_t> write_sizes;
  int entered = 0;

 private:
  class ProbeView final : public View {
   public:
    ProbeView(ProbeStore& store, std::shared_ptr<const View> inner)
        : inner_(std::move(inner)), cache_only_(store, *inner_, Tier::cache_only), any_(store, *inner_, Tier::any) {}
    std::uint64_t version() const override { return inner_->version(); }
    const Reader& reader(Tier tier) const override { return tier == Tier::any ? any_ : cache_only_; }

   private:
    class ProbeReader final : public Reader {
     public:
      ProbeReader(ProbeStore& store, const View& view, Tier tier) : store_(store), view_(view), tier_(tier) {}
      Result<std::optional<std::string>> get(Family family, std::string_view key) const override {
        if (store_.cold && tier_ == Tier::cache_only) {
          const std::lock_guard lock(store_.mutex_);
          if (!store_.warm_.contains(std::string(key))) {
            ++store_.cold_reads;
            return make_error(ErrorCode::would_block, "cold");
          }
        }
        if (tier_ == Tier::any) {
          ++store_.waiting_reads;
          const std::lock_guard lock(store_.mutex_);
          store_.warm_[std::string(key)] = true;
        }
        return view_.reader(tier_).get(family, key);
      }
      Result<std::vector<std::optional<std::string>>> multi_get(Family family,
                                                                std::span<const std::string> keys) const override {
        return view_.reader(tier_).multi_get(family, keys);
      }
      Result<std::unique_ptr<Cursor>> scan(Family family, KeyRange range, Direction direction) const override {
        return view_.reader(tier_).scan(family, std::move(range), direction);
      }

     private:
      ProbeStore& store_;
      const View& view_;
      Tier tier_;
    };
    std::shared_ptr<const View> inner_;
    ProbeReader cache_only_;
    ProbeReader any_;
  };

  std::unique_ptr<Store> inner_ = make_memory_store(test_schema());
  std::mutex mutex_;
  std::condition_variable changed_;
  bool held_ = false;
  std::map<std::string, bool> warm_;
  std::vector<std::string> events_;
};

/// A store with a committer over it, in the order they must end.
struct Rig {
  explicit Rig(CommitterOptions options = {})
      : committer(
            store, pool, options,
            [this](std::span<const std::string> touched, std::uint64_t version) {
              std::string event = "on_commit " + std::to_string(version);
              for (const std::string& key : touched) event += " " + key;
              const auto shown = committer.view();
              event += shown->version() < version ? ", not published" : ", already published";
              store.note(event);
            },
            [this](const Error& error) {
              store.note("fatal: " + error.message);
              ++fatal_count;
            }) {
    const Result<void> started = committer.start();
    REQUIRE(started.has_value());
  }
  std::optional<std::string> read(std::string_view key) {
    auto found = committer.view()->reader(Tier::any).get(kFacts, key);
    REQUIRE(found.has_value());
    return *found;
  }
  std::vector<std::string> log_entries() {
    std::vector<std::string> entries;
    const auto view = committer.view();
    auto cursor = view->reader(Tier::any).scan(kLog, {});
    REQUIRE(cursor.has_value());
    std::uint64_t number = 0;
    for (; (*cursor)->valid(); (*cursor)->next()) {
      CHECK(read_u64((*cursor)->key()) == ++number);
      entries.emplace_back((*cursor)->value());
    }
    return entries;
  }

  ProbeStore store;
  Pool pool{"disk", 2};
  std::atomic<int> fatal_count{0};
  Committer committer;
};

/// Submits from its own thread and keeps the answer.
class Submitter {
 public:
  Submitter(Committer& committer, Step step)
      : thread_([this, &committer, step = std::move(step)] { answer_ = committer.run(step); }) {}
  ~Submitter() { join(); }
  Result<std::string>& answer() { return join(), answer_; }

 private:
  void join() {
    if (thread_.joinable()) thread_.join();
  }
  Result<std::string> answer_;
  std::thread thread_;
};

}  // namespace

TEST_CASE("a change is durable, then announced, then published, then answered") {
  Rig rig;
  auto answer = rig.committer.run(put_step("a", "1"));
  REQUIRE(answer.has_value());
  CHECK(*answer == "put a");
  rig.store.note("answered");
  CHECK(rig.store.events() == std::vector<std::string>{"write", "on_commit 1 a, not published", "answered"});
  CHECK(rig.read("a") == "1");
  CHECK(rig.log_entries() == std::vector<std::string>{"a=1"});
}

TEST_CASE("submit completes on the executor of the coroutine that called it") {
  Rig rig;
  asio::io_context context;
  std::vector<std::string> answers;
  std::thread::id resumed_on;
  struct Flow {
    static asio::awaitable<void> run(Committer& committer, std::vector<std::string>& answers,
                                     std::thread::id& resumed_on) {
      for (const char* key : {"a", "b"}) {
        Step step = put_step(key, "1");
        auto answer = co_await committer.submit(std::move(step));
        answers.push_back(answer ? *answer : answer.error().message);
        resumed_on = std::this_thread::get_id();
        // The state that the answer speaks of is there for whoever was answered.
        auto seen = committer.view()->reader(Tier::any).get(kFacts, key);
        answers.push_back(seen && *seen ? **seen : "missing");
      }
    }
  };
  std::exception_ptr thrown;
  asio::co_spawn(context, Flow::run(rig.committer, answers, resumed_on), [&](std::exception_ptr e) { thrown = e; });
  context.run();
  CHECK(!thrown);
  CHECK(answers == std::vector<std::string>{"put a", "1", "put b", "1"});
  CHECK(resumed_on == std::this_thread::get_id());
}

TEST_CASE("a refusal leaves no trace, also in the middle of a batch") {
  Rig rig;
  rig.store.hold_writes();
  Submitter blocker(rig.committer, put_step("first", "1"));
  rig.store.await_write(1);
  Submitter good(rig.committer, put_step("good", "1"));
  Submitter refused(rig.committer, {[](Transaction& transaction) -> Result<std::string> {
                      transaction.put(kFacts, "bad", "1");
                      transaction.erase(kFacts, "good");
                      transaction.append(kLog, "bad");
                      transaction.touch("bad");
                      return make_error(ErrorCode::denied, "no");
                    }});
  rig.store.release_writes();
  CHECK(good.answer().has_value());
  CHECK(refused.answer().failed_with(ErrorCode::denied));
  CHECK(blocker.answer().has_value());
  CHECK(rig.read("good") == "1");
  CHECK(rig.read("bad") == std::nullopt);
  CHECK(rig.log_entries() == std::vector<std::string>{"first=1", "good=1"});
  for (const std::string& event : rig.store.events()) CHECK(event.find("bad") == std::string::npos);
}

TEST_CASE("refusals alone write nothing and publish nothing") {
  Rig rig;
  const auto before = rig.committer.view()->version();
  auto answer = rig.committer.run(Step{[](Transaction& transaction) -> Result<std::string> {
    transaction.put(kFacts, "x", "1");
    return make_error(ErrorCode::tag_invalid, "no");
  }});
  CHECK(answer.failed_with(ErrorCode::tag_invalid));
  CHECK(rig.store.write_count == 0);
  CHECK(rig.committer.view()->version() == before);
  CHECK(rig.store.events().empty());
}

TEST_CASE("commands of one batch see each other in the order of arrival, and share a write") {
  Rig rig;
  rig.store.hold_writes();
  Submitter blocker(rig.committer, put_step("first", "1"));
  rig.store.await_write(1);
  constexpr int kCount = 40;
  std::deque<Submitter> submitters;
  for (int i = 0; i < kCount; ++i) {
    submitters.emplace_back(rig.committer, Step{[](Transaction& transaction) -> Result<std::string> {
                              BERTH_TRY(const auto before, transaction.get(kFacts, "counter"));
                              BERTH_CHECK(transaction.add(kFacts, "counter", 1));
                              return std::to_string(read_counter(before));
                            }});
  }
  // They queue while the first write is held; a few may come later, so the count is a bound.
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  rig.store.release_writes();
  std::vector<bool> seen(kCount);
  for (Submitter& submitter : submitters) {
    REQUIRE(submitter.answer().has_value());
    const auto before = static_cast<std::size_t>(std::stoi(*submitter.answer()));
    REQUIRE(before < seen.size());
    CHECK(!seen[before]);
    seen[before] = true;
  }
  CHECK(read_counter(rig.read("counter")) == kCount);
  CHECK(rig.store.write_count < kCount / 2);
}

TEST_CASE("a batch is cut by its bytes and by its count") {
  struct Row {
    const char* name;
    CommitterOptions options;
    std::size_t writes_at_least;
  };
  const Row row = GENERATE(values<Row>({
      {"by bytes: ten values of 1000 bytes, 2500 a batch", {512, 2500, 100}, 3},
      {"by count: ten commands, four a batch", {4, 1 << 20, 100}, 3},
  }));
  INFO(row.name);
  Rig rig(row.options);
  rig.store.hold_writes();
  Submitter blocker(rig.committer, put_step("first", "1"));
  rig.store.await_write(1);
  std::deque<Submitter> submitters;
  for (int i = 0; i < 10; ++i) {
    submitters.emplace_back(rig.committer, put_step("key" + std::to_string(i), std::string(1000, 'x')));
  }
  rig.store.release_writes();
  for (Submitter& submitter : submitters) CHECK(submitter.answer().has_value());
  CHECK(static_cast<std::size_t>(rig.store.write_count) >= 1 + row.writes_at_least);
  for (int i = 0; i < 10; ++i) CHECK(rig.read("key" + std::to_string(i)).has_value());
}

TEST_CASE("a command whose reads are cold is warmed on the pool and does not hold up the others") {
  Rig rig;
  rig.store.cold = true;
  std::atomic<int> applied{0};
  auto answer = rig.committer.run(Step{[&](Transaction& transaction) -> Result<std::string> {
    ++applied;
    transaction.put(kFacts, "early", "must be rolled back and written once");
    transaction.append(kLog, "cold");
    BERTH_TRY(const auto found, transaction.get(kFacts, "k"));
    return found ? "found" : "absent";
  }});
  REQUIRE(answer.has_value());
  CHECK(*answer == "absent");
  CHECK(applied == 3);  // cold, warming, and in its turn
  CHECK(rig.store.cold_reads == 1);
  CHECK(rig.store.waiting_reads >= 1);
  CHECK(rig.log_entries() == std::vector<std::string>{"cold"});
}

TEST_CASE("a failed write tells everybody, publishes nothing and is reported once") {
  Rig rig;
  REQUIRE(rig.committer.run(put_step("kept", "1")).has_value());
  rig.store.hold_writes();
  rig.store.fail_writes = true;
  Submitter one(rig.committer, put_step("a", "1"));
  rig.store.await_write(2);
  Submitter two(rig.committer, put_step("b", "1"));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  rig.store.release_writes();
  CHECK(one.answer().failed_with(ErrorCode::unavailable));
  CHECK(two.answer().failed_with(ErrorCode::unavailable));
  CHECK(rig.committer.run(put_step("c", "1")).failed_with(ErrorCode::unavailable));
  CHECK(rig.committer.view()->version() == 1);
  CHECK(rig.read("a") == std::nullopt);
  rig.committer.stop();
  CHECK(rig.fatal_count == 1);
  CHECK(rig.store.events() ==
        std::vector<std::string>{"write", "on_commit 1 kept, not published", "fatal: the test's disk is gone"});
}

TEST_CASE("a command that throws is refused alone") {
  Rig rig;
  const bool out_of_memory = GENERATE(true, false);
  auto answer = rig.committer.run(Step{[=](Transaction& transaction) -> Result<std::string> {
    transaction.put(kFacts, "bad", "1");
    if (out_of_memory) throw std::bad_alloc();
    throw std::runtime_error("broken");
  }});
  CHECK(answer.failed_with(ErrorCode::internal));
  CHECK(rig.read("bad") == std::nullopt);
  CHECK(rig.committer.run(put_step("good", "1")).has_value());
  CHECK(rig.fatal_count == 0);
}

TEST_CASE("the queue is bounded") {
  Rig rig(CommitterOptions{512, 1 << 20, 2});
  rig.store.hold_writes();
  Submitter blocker(rig.committer, put_step("first", "1"));
  rig.store.await_write(1);
  std::atomic<int> refused{0};
  {
    std::deque<std::thread> threads;
    for (int i = 0; i < 5; ++i) {
      threads.emplace_back([&] {
        if (rig.committer.run(put_step("more", "1")).failed_with(ErrorCode::unavailable)) ++refused;
      });
    }
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (refused < 3 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    rig.store.release_writes();
    for (std::thread& thread : threads) thread.join();
  }
  CHECK(refused == 3);
}

TEST_CASE("stop answers what is queued and refuses what comes later") {
  Rig rig;
  rig.store.cold = true;
  rig.store.hold_writes();
  Submitter blocker(rig.committer, put_step("first", "1"));
  rig.store.await_write(1);
  Submitter queued(rig.committer, {[](Transaction& transaction) -> Result<std::string> {
                     BERTH_TRY(const auto found, transaction.get(kFacts, "k"));
                     transaction.put(kFacts, "k", "1");
                     return found ? "found" : "absent";
                   }});
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  rig.store.release_writes();
  rig.committer.stop();
  CHECK(blocker.answer().has_value());
  CHECK(queued.answer().has_value());
  CHECK(rig.committer.run(put_step("late", "1")).failed_with(ErrorCode::unavailable));
  rig.committer.stop();
}

TEST_CASE("log numbers go on after a reopening") {
  auto store = make_memory_store(test_schema());
  for (int round = 1; round <= 3; ++round) {
    Pool pool("disk", 1);
    Committer committer(*store, pool, {}, {}, {});
    REQUIRE(committer.start().has_value());
    REQUIRE(committer.run(put_step("k", std::to_string(round))).has_value());
    auto last = store->last_log_number(kLog);
    REQUIRE(last.has_value());
    CHECK(*last == static_cast<std::uint64_t>(round));
  }
}

TEST_CASE("a thread's view moves with the version and can be let go") {
  ViewSource source;
  CHECK(source.current() == nullptr);
  auto store = make_memory_store(test_schema());
  std::weak_ptr<const View> old;
  {
    auto view = store->view();
    REQUIRE(view.has_value());
    old = *view;
    source.publish(*view);
  }
  CHECK(source.current()->version() == 0);
  const Write write{kFacts, "k", "v"};
  REQUIRE(store->write({&write, 1}).has_value());
  auto next = store->view();
  REQUIRE(next.has_value());
  source.publish(*next);
  CHECK(!old.expired());  // pinned by this thread's cache
  ViewSource::release_thread_cache();
  CHECK(old.expired());
  CHECK(source.current()->version() == 1);
  ViewSource other;
  other.publish(*next);
  CHECK(other.current()->version() == 1);
  ViewSource::release_thread_cache();
}

}  // namespace berth::kv
