#include "base/log.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <csignal>
#include <cstdio>
#include <new>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "base/log_line.h"
#include "base/log_queue.h"

namespace berth {
namespace {

using namespace std::chrono_literals;

/// A pipe that stands for standard error. Ends the log before it closes.
class Pipe {
 public:
  Pipe() { REQUIRE(::pipe2(ends_.data(), O_CLOEXEC) == 0); }
  ~Pipe() {
    log::shutdown();
    close_writer();
    close_reader();
  }
  int writer() const { return ends_[1]; }
  void close_reader() {
    if (ends_[0] >= 0) ::close(ends_[0]);
    ends_[0] = -1;
  }
  void close_writer() {
    if (ends_[1] >= 0) ::close(ends_[1]);
    ends_[1] = -1;
  }
  /// What arrives until the writer's end is closed.
  std::string read_all() {
    std::string text;
    std::array<char, 4096> part{};
    while (true) {
      const ssize_t size = ::read(ends_[0], part.data(), part.size());
      if (size <= 0) return text;
      text.append(part.data(), static_cast<std::size_t>(size));
    }
  }

 private:
  std::array<int, 2> ends_{-1, -1};
};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::size_t at = 0;
  for (std::size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n', at)) {
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  CHECK(at == text.size());  // nothing without an end
  return lines;
}

}  // namespace

TEST_CASE("a log line as text and as JSON") {
  using log::Level;
  const std::string agent = "a b";
  const std::string evil = "x\n\"\x1b\xff=";
  const log::Field fields[] = {{"repository", "team/app"},
                               {"count", 3},
                               {"offset", ~std::uint64_t{0}},
                               {"delta", -5LL},
                               {"seconds", 0.25},
                               {"whole", true},
                               {"took_ms", 12034us},
                               {"left_ms", -5us},
                               {"agent", agent},
                               {"empty", ""},
                               {"evil", evil},
                               {"none", 0.0 / 0.0}};
  CHECK(log::render(log::Format::text, "NOW", Level::info, "pushed", fields) ==
        "NOW info    pushed repository=team/app count=3 offset=18446744073709551615 delta=-5 seconds=0.25 whole=true "
        "took_ms=12.034 left_ms=-0.005 agent=\"a b\" empty=\"\" evil=\"x\\n\\\"\\u001b\xef\xbf\xbd=\" none=null");
  const std::string json = log::render(log::Format::json, "NOW", Level::warning, "pushed", fields);
  CHECK(json.starts_with(R"({"time":"NOW","level":"warning","msg":"pushed","repository":"team/app","count":3,)"));
  const auto parsed = nlohmann::json::parse(json);
  CHECK(parsed["offset"] == ~std::uint64_t{0});
  CHECK(parsed["delta"] == -5);
  CHECK(parsed["seconds"] == 0.25);
  CHECK(parsed["whole"] == true);
  CHECK(parsed["took_ms"] == 12.034);
  CHECK(parsed["evil"] == "x\n\"\x1b\xef\xbf\xbd=");
  CHECK(parsed["none"].is_null());
}

TEST_CASE("nobody breaks out of a log line") {
  const std::string evil =
      "first\n2026 info second\r\xc2\x9b"
      "31m\xff\xe2\x80\xa8";
  for (const log::Format format : {log::Format::text, log::Format::json}) {
    const log::Field fields[] = {{"value", evil}};
    const std::string line = log::render(format, "NOW", log::Level::error, evil, fields);
    CHECK(line.find_first_of("\n\r\x1b") == std::string::npos);
    CHECK(line.find("\xc2\x9b") == std::string::npos);
    CHECK(line.find('\xff') == std::string::npos);
  }
  // Letters of other scripts are fine as they are.
  CHECK(log::render(log::Format::text, "NOW", log::Level::error, "caf\xc3\xa9 100%", {}) ==
        "NOW error   caf\xc3\xa9 100%");
}

TEST_CASE("levels and formats by name") {
  for (const char* name : {"trace", "debug", "info", "warning", "error"}) {
    CHECK(to_string(log::parse_level(name).value()) == name);
  }
  CHECK(log::parse_format("auto").value() == log::Format::automatic);
  CHECK(log::parse_format("text").value() == log::Format::text);
  CHECK(log::parse_format("json").value() == log::Format::json);
  for (const char* name : {"", "warn", "INFO", "verbose"}) {
    CHECK(log::parse_level(name).failed_with(ErrorCode::request_invalid));
    CHECK(log::parse_format(name).failed_with(ErrorCode::request_invalid));
  }
}

TEST_CASE("the log writes what its level asks for, and the level changes while it runs") {
  Pipe pipe;
  log::setup(log::Level::info, log::Format::automatic, pipe.writer());
  log::debug("one");
  log::info("two {} %s", {{"n", 2}});
  log::set_level(log::Level::debug);
  CHECK(log::enabled(log::Level::debug));
  log::debug("three");
  log::set_level(log::Level::error);
  CHECK_FALSE(log::enabled(log::Level::warning));
  log::warning("four");
  log::error("five");
  CHECK(log::flush(5s));
  log::shutdown();
  pipe.close_writer();

  const auto lines = lines_of(pipe.read_all());
  REQUIRE(lines.size() == 3);
  const char* const messages[] = {"two {} %s", "three", "five"};
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const auto line = nlohmann::json::parse(lines[i]);  // a pipe is no terminal: JSON
    CHECK(line["msg"] == messages[i]);
    CHECK(line["time"].get<std::string>().size() == std::string_view("2026-11-21T10:00:00.123Z").size());
  }
}

TEST_CASE("lines of many threads stay whole, and the end writes them all") {
  constexpr int kThreads = 4;
  constexpr int kLines = 200;
  Pipe pipe;
  std::string written;
  std::thread reader([&] { written = pipe.read_all(); });
  log::setup(log::Level::info, log::Format::json, pipe.writer());
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([thread] {
      for (int line = 0; line < kLines; ++line) log::info(std::string(500, 'x'), {{"thread", thread}, {"line", line}});
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(log::dropped() == 0);
  log::shutdown();
  pipe.close_writer();
  reader.join();
  const auto lines = lines_of(written);
  CHECK(lines.size() == kThreads * kLines);
  std::array<int, kThreads> next{};
  for (const auto& line : lines) {
    const auto parsed = nlohmann::json::parse(line);
    CHECK(parsed["line"] == next[parsed["thread"].get<std::size_t>()]++);
  }
}

TEST_CASE("lines of several threads are written in the order in which they happened") {
  // A warning is written at once: there are as many batches as can be, and a line of one thread falls between them
  // while the next thread's is on its way.
  const auto level = GENERATE(log::Level::info, log::Level::warning);
  Pipe pipe;
  std::string written;
  std::thread reader([&] { written = pipe.read_all(); });
  log::setup(log::Level::info, log::Format::json, pipe.writer());
  constexpr int kLines = 20'000;
  std::atomic<int> next{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 2; ++thread) {
    threads.emplace_back([thread, level, &next] {
      for (int line = thread; line < kLines; line += 2) {
        while (next.load() != line) std::this_thread::yield();
        log::event(level, "line", {{"number", line}});
        next.store(line + 1);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  log::shutdown();
  pipe.close_writer();
  reader.join();
  int expected = 0;
  int wrong = 0;
  for (const auto& line : lines_of(written)) wrong += nlohmann::json::parse(line)["number"] == expected++ ? 0 : 1;
  CHECK(expected == kLines);
  CHECK(wrong == 0);
}

/// What the log writes while `work` runs, without the times that lines begin with.
template <class Work>
std::vector<std::string> logged(log::Format format, Work work) {
  Pipe pipe;
  std::string written;
  std::thread reader([&] { written = pipe.read_all(); });
  log::setup(log::Level::info, format, pipe.writer());
  work();
  log::shutdown();
  pipe.close_writer();
  reader.join();
  auto lines = lines_of(written);
  for (std::string& line : lines) line.erase(0, line.find(format == log::Format::json ? "\"level\"" : "info"));
  return lines;
}

TEST_CASE("a line made field by field says what the same fields of an event say") {
  const std::string evil = "x y\n\"\x1b\xff=";
  const log::Field fields[] = {{"path", evil},   {"id", "a-1"},     {"none", ""},     {"bytes", ~std::uint64_t{0}},
                               {"status", 200U}, {"took_ms", -5us}, {"whole", false}, {"long_ms", 2s}};
  for (const log::Format format : {log::Format::text, log::Format::json}) {
    const auto lines = logged(format, [&] {
      log::event(log::Level::info, "request", fields);
      log::Line line(log::Level::info, "request", log::line_max("request", fields));
      line.add<"path">(evil);
      line.add_word<"id">("a-1");
      line.add<"none">("");
      line.add<"bytes">(~std::uint64_t{0});
      line.add<"status">(200U);
      line.add<"took_ms">(-5us);
      line.add<"whole">(false);
      line.add<"long_ms">(2s);
    });
    REQUIRE(lines.size() == 2);
    CHECK(lines[0] == lines[1]);
  }
}

TEST_CASE("a field that has no room is left out, and its line stays whole") {
  for (const std::size_t room : {0U, 1U, 12U, 40U, 50U, 60U, 200U}) {
    const auto lines = logged(log::Format::json, [&] {
      log::Line line(log::Level::info, "request", log::line_max("request", {}) + room);
      line.add<"path">("/v2/");
      line.add<"essay">(std::string(1000, 'x'));
      line.add({"essay", std::string(1000, 'x')});
      line.add_word<"word">("w");
      line.add<"n">(7U);
    });
    REQUIRE(lines.size() == 1);
    const auto parsed = nlohmann::json::parse("{" + lines[0]);
    CHECK(parsed["msg"] == "request");
    CHECK_FALSE(parsed.contains("essay"));
    if (room == 200) CHECK(parsed["n"] == 7);
  }
}

TEST_CASE("a line is never longer than it was made for, whatever is added") {
  for (const log::Format format : {log::Format::text, log::Format::json}) {
    const std::size_t size_max = log::line_max("request", {}) + 100;
    const auto lines = logged(format, [&] {
      log::Line line(log::Level::info, "request", size_max);
      for (int i = 0; i < 1000; ++i) {
        line.add_word<"word">("w");
        line.add<"text">("\x01");
        line.add<"n">(~std::uint64_t{0});
        line.add<"flag">(true);
        line.add<"took_ms">(-5us);
        line.add({"field", -1});
      }
    });
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].size() <= size_max);
    if (format == log::Format::json) CHECK(nlohmann::json::accept("{" + lines[0]));
  }
}

TEST_CASE("an essay is written whole") {
  const std::string essay(200'000, 'x');
  const auto lines = logged(log::Format::json, [&] {
    log::info("before");
    log::info("essay", {{"text", essay}});
    log::info("after");
  });
  REQUIRE(lines.size() == 3);
  CHECK(nlohmann::json::parse("{" + lines[1])["text"] == essay);
}

TEST_CASE("a line after the end of the log is for standard error, and the next log does not have it") {
  Pipe first;
  log::setup(log::Level::warning, log::Format::json, first.writer());
  log::shutdown();
  log::warning("between two logs");  // seen among the test's own output
  Pipe second;
  log::setup(log::Level::info, log::Format::json, second.writer());
  log::info("in the second");
  log::shutdown();
  first.close_writer();
  second.close_writer();
  CHECK(first.read_all().empty());
  const auto lines = lines_of(second.read_all());
  REQUIRE(lines.size() == 1);
  CHECK(nlohmann::json::parse(lines[0])["msg"] == "in the second");
}

TEST_CASE("a log that nobody reads drops its oldest lines, counts them, and stops no one") {
  constexpr int kLines = 20000;
  Pipe pipe;
  log::setup(log::Level::info, log::Format::text, pipe.writer());
  for (int line = 0; line < kLines; ++line) log::info("line", {{"number", line}, {"padding", std::string(100, 'x')}});
  CHECK(log::dropped() > kLines / 2);
  CHECK_FALSE(log::flush(20ms));

  std::string written;
  std::thread reader([&] { written = pipe.read_all(); });
  CHECK(log::flush(10s));
  const std::uint64_t dropped = log::dropped();
  log::shutdown();
  pipe.close_writer();
  reader.join();
  const auto lines = lines_of(written);
  std::uint64_t reported = 0;
  std::size_t events = 0;
  for (const auto& line : lines) {
    const auto at = line.find("log lines were lost lines=");
    if (at == std::string::npos) {
      ++events;
    } else {
      reported += std::stoull(line.substr(line.rfind('=') + 1));
    }
  }
  CHECK(reported == dropped);
  CHECK(events + dropped == kLines);
  CHECK(lines.back().find("number=19999") != std::string::npos);  // the newest survive
}

TEST_CASE("the end of a log that nobody reads comes all the same") {
  Pipe pipe;
  log::setup(log::Level::info, log::Format::text, pipe.writer());
  for (int line = 0; line < 3000; ++line) log::info(std::string(200, 'x'));
  const auto before = std::chrono::steady_clock::now();
  log::shutdown();
  CHECK(std::chrono::steady_clock::now() - before < 4s);
}

/// A file that takes no more than this process may write to one: as on a full disk, some of what comes last still fits.
class FullFile {
 public:
  FullFile() : file_(std::tmpfile()), signal_(::signal(SIGXFSZ, SIG_IGN)) {
    REQUIRE(file_ != nullptr);
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &limit_) == 0);
  }
  ~FullFile() {
    log::shutdown();
    have_room();
    ::signal(SIGXFSZ, signal_);
    std::fclose(file_);
  }
  int descriptor() const { return ::fileno(file_); }
  void fill_at(rlim_t bytes) { set({bytes, limit_.rlim_max}); }
  void have_room() { set(limit_); }
  std::string content() const {
    std::string text(1 << 20, '\0');
    const ssize_t size = ::pread(descriptor(), text.data(), text.size(), 0);
    REQUIRE(size >= 0);
    text.resize(static_cast<std::size_t>(size));
    return text;
  }

 private:
  static void set(const rlimit& limit) { REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0); }
  std::FILE* const file_;
  void (*const signal_)(int);
  rlimit limit_{};
};

TEST_CASE("lines that a full disk does not take are counted, and no line is glued to a torn one") {
  constexpr int kLines = 100;
  FullFile file;
  log::setup(log::Level::info, log::Format::json, file.descriptor());
  log::info("before");
  REQUIRE(log::flush(5s));
  const std::size_t before = file.content().size();
  file.fill_at(before + 1000);
  for (int line = 0; line < kLines; ++line) log::info("line", {{"number", line}});
  CHECK(log::flush(5s));
  const std::uint64_t dropped = log::dropped();
  CHECK(file.content().size() == before + 1000);
  log::info("nothing fits");
  CHECK(log::flush(5s));
  CHECK(log::dropped() == dropped + 1);
  file.have_room();
  log::info("after");
  log::shutdown();

  std::uint64_t whole = 0;
  std::uint64_t torn = 0;
  std::uint64_t reported = 0;
  bool after = false;
  for (const std::string& line : lines_of(file.content())) {
    if (!nlohmann::json::accept(line)) {
      ++torn;
      continue;
    }
    const auto parsed = nlohmann::json::parse(line);
    if (parsed["msg"] == "line") ++whole;
    if (parsed["msg"] == "log lines were lost") reported += parsed["lines"].get<std::uint64_t>();
    if (parsed["msg"] == "after") after = true;
  }
  CHECK(after);
  CHECK(torn == 1);
  CHECK(whole > 0);
  CHECK(whole + dropped == kLines);
  CHECK(reported == dropped + 1);
}

TEST_CASE("a moment without memory costs the lines of that moment, and they are counted") {
  FullFile file;
  std::atomic<int> asked{0};
  log::setup(log::Level::info, log::Format::json, file.descriptor());
  log::start_queue(file.descriptor(), [&asked](std::uint64_t lost) {
    if (++asked == 1) throw std::bad_alloc();
    return "lost " + std::to_string(lost);
  });
  file.fill_at(0);
  log::info("no room");
  CHECK(log::flush(5s));
  file.have_room();
  log::info("no memory");
  CHECK(log::flush(5s));
  CHECK(log::dropped() == 2);
  log::info("after");
  log::shutdown();
  const auto lines = lines_of(file.content());
  REQUIRE(lines.size() == 2);
  CHECK(lines[0] == "lost 2");
  CHECK(nlohmann::json::parse(lines[1])["msg"] == "after");
}

TEST_CASE("a log whose reader is gone goes on") {
  const auto former = ::signal(SIGPIPE, SIG_IGN);  // as the server does
  {
    Pipe pipe;
    log::setup(log::Level::info, log::Format::text, pipe.writer());
    pipe.close_reader();
    for (int line = 0; line < 100; ++line) log::info("line");
    CHECK(log::flush(5s));
  }
  ::signal(SIGPIPE, former);
}

}  // namespace berth
