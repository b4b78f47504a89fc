#include "server/response_writer.h"

#include <fcntl.h>
#include <spdlog/fmt/fmt.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <boost/asio/deferred.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/http/status.hpp>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <memory>
#include <span>

#include "server/request_head.h"

namespace berth::server {
namespace {

/// How much of a slice is looked at before it is sent.
constexpr std::uint64_t kWarmBytes = 2 << 20;
/// How far the kernel is asked to read ahead of a cold slice.
constexpr std::uint64_t kReadAheadBytes = 4 << 20;
/// Pages are looked at in this distance: files are read and evicted in runs, and each look costs a system call.
constexpr std::uint64_t kProbeDistance = 512 << 10;
/// A slice that was warm this long ago may have been evicted: a slow reader is probed again.
constexpr auto kWarmFor = std::chrono::seconds(2);
constexpr std::size_t kGatherMax = 16;

std::string_view memory_of(const api::BodyPart& part) {
  if (const auto* text = std::get_if<std::string>(&part)) return *text;
  const auto& slice = std::get<api::MemorySlice>(part);
  return std::string_view(*slice.bytes).substr(slice.range.begin, slice.range.size());
}

bool page_is_warm(int file, std::uint64_t offset) {
  char byte = 0;
  iovec piece{&byte, 1};
  // The end of a file that shrank counts as warm: sendfile will say so itself. A file system that cannot answer
  // without waiting counts as cold.
  return ::preadv2(file, &piece, 1, static_cast<off_t>(offset), RWF_NOWAIT) >= 0;
}

bool is_warm(int file, std::uint64_t begin, std::uint64_t end) {
  for (auto offset = begin; offset < end; offset += kProbeDistance) {
    if (!page_is_warm(file, offset)) return false;
  }
  return page_is_warm(file, end - 1);
}

/// Brings the bytes into the page cache. Blocks.
Result<void> read_through(const storage::OpenBlob& file, std::uint64_t begin, std::uint64_t end) {
  // Advice only: reading below does the work either way.
  (void)::posix_fadvise(file.fd.get(), static_cast<off_t>(begin), static_cast<off_t>(end - begin + kReadAheadBytes),
                        POSIX_FADV_WILLNEED);
  constexpr std::size_t kScratchBytes = 256 << 10;
  const auto scratch = std::make_unique_for_overwrite<std::byte[]>(kScratchBytes);
  while (begin < end) {
    const std::span piece(scratch.get(), std::min<std::uint64_t>(kScratchBytes, end - begin));
    BERTH_TRY(const std::size_t bytes, file.files->read_at(file.fd.get(), piece, begin));
    if (bytes == 0) break;  // Shorter than it was: sendfile will meet the same end.
    begin += bytes;
  }
  return {};
}

}  // namespace

bool ResponseWriter::at_file() const {
  return head_.empty() && part_ < parts_ && std::holds_alternative<api::FileSlice>((*body_)[part_]);
}

asio::awaitable<ResponseWriter::End> ResponseWriter::write(std::string_view head,
                                                           const std::vector<api::BodyPart>* body) {
  head_ = head;
  body_ = body;
  parts_ = body == nullptr ? 0 : body->size();
  wire_.begin_rate();
  while (!at_end()) {
    auto end = End::complete;
    if (at_file()) {
      end = co_await send_slice(std::get<api::FileSlice>((*body_)[part_]));
      ++part_;
      offset_ = 0;
    } else {
      end = co_await write_memory();
    }
    if (end != End::complete) co_return end;
  }
  co_return End::complete;
}

/// Everything up to the next file.
asio::awaitable<ResponseWriter::End> ResponseWriter::write_memory() {
  while (!at_end() && !at_file()) {
    std::array<iovec, kGatherMax> pieces;
    std::size_t count = 0;
    const auto add = [&](std::string_view text) {
      if (!text.empty()) pieces[count++] = {const_cast<char*>(text.data()), text.size()};
    };
    add(head_);
    auto next = part_;
    for (auto skip = offset_; next < parts_ && count < kGatherMax; ++next, skip = 0) {
      if (std::holds_alternative<api::FileSlice>((*body_)[next])) break;
      add(memory_of((*body_)[next]).substr(skip));
    }
    if (count == 0) {  // Only empty parts were left.
      part_ = next;
      offset_ = 0;
      continue;
    }
    const auto io = wire_.write(std::span(pieces).first(count), next < parts_);
    if (io.outcome == Wire::Outcome::moved) {
      advance(io.bytes);
      if (ends_turn(io.bytes)) co_await asio::post(asio::deferred);
    } else if (io.outcome != Wire::Outcome::blocked || !co_await wire_.wait_writable()) {
      co_return End::peer_gone;
    }
  }
  co_return End::complete;
}

/// `bytes` more were sent.
bool ResponseWriter::ends_turn(std::uint64_t bytes) {
  turn_ += bytes;
  if (turn_ < wire_.turn_bytes()) return false;
  turn_ = 0;
  return true;
}

void ResponseWriter::advance(std::size_t bytes) {
  const auto of_head = std::min(bytes, head_.size());
  head_.remove_prefix(of_head);
  bytes -= of_head;
  body_bytes_ += bytes;
  while (bytes > 0) {
    const auto left = memory_of((*body_)[part_]).size() - offset_;
    const auto here = std::min<std::uint64_t>(left, bytes);
    offset_ += here;
    bytes -= here;
    if (here == left) {
      ++part_;
      offset_ = 0;
    }
  }
}

asio::awaitable<ResponseWriter::End> ResponseWriter::send_slice(const api::FileSlice& slice) {
  const int file = slice.file->fd.get();
  auto offset = slice.range.begin;
  const auto end = slice.range.end;
  // What is encrypted is read by this thread: it is not to meet the disk between two probes.
  const std::uint64_t warm_bytes = wire_.encrypted() ? wire_.turn_bytes() : kWarmBytes;
  std::uint64_t warm_until = offset;
  SteadyTime warm_since{};
  while (offset < end) {
    const auto now = std::chrono::steady_clock::now();
    if (offset == warm_until || now - warm_since > kWarmFor) {
      warm_until = std::min(end, offset + warm_bytes);
      if (!is_warm(file, offset, warm_until) && !co_await warm_up(slice, offset, warm_until)) co_return End::unreadable;
      warm_since = std::chrono::steady_clock::now();
    }
    const auto io = wire_.send_file(file, offset, std::min(warm_until - offset, wire_.turn_bytes() - turn_));
    switch (io.outcome) {
      case Wire::Outcome::moved:
        offset += io.bytes;
        body_bytes_ += io.bytes;
        if (ends_turn(io.bytes)) co_await asio::post(asio::deferred);
        break;
      case Wire::Outcome::blocked:
        if (!co_await wire_.wait_writable()) co_return End::peer_gone;
        turn_ = 0;
        break;
      case Wire::Outcome::ended:
        failure_ = fmt::format("it ends at byte {} where {} were promised", offset, end);
        co_return End::unreadable;
      case Wire::Outcome::unreadable:
        failure_ = fmt::format("at byte {}: {}", offset, std::strerror(errno));
        // Once more by the way that counts errors; what it says does not matter.
        (void)co_await warm_up(slice, offset, warm_until);
        co_return End::unreadable;
      case Wire::Outcome::broken:
        co_return End::peer_gone;
    }
  }
  co_return End::complete;
}

asio::awaitable<bool> ResponseWriter::warm_up(const api::FileSlice& slice, std::uint64_t begin, std::uint64_t end) {
  const auto since = std::chrono::steady_clock::now();
  // The job owns the file: this coroutine may be gone when it runs.
  auto job = [file = slice.file, begin, end] { return read_through(*file, begin, end); };
  const Result<void> read = co_await offload(disk_pool_, std::move(job));
  disk_wait_ += std::chrono::steady_clock::now() - since;
  if (!read && failure_.empty()) {
    failure_ = fmt::format("between bytes {} and {}: {}", begin, end, read.error().log_detail);
  }
  co_return read.has_value();
}

std::string format_response_head(const api::Response& response, std::string_view date, bool close) {
  std::string out;
  out.reserve(512);
  const auto reason = boost::beast::http::obsolete_reason(static_cast<boost::beast::http::status>(response.status));
  out.append("HTTP/1.1 ").append(fmt::format_int(response.status).c_str()).append(" ");
  out.append(reason.data(), reason.size()).append("\r\n");
  for (const auto& [name, value] : response.headers.items()) {
    if (!is_token(name) || !is_value(value)) return {};
    out.append(name).append(": ").append(value).append("\r\n");
  }
  out.append("Date: ").append(date).append("\r\n");
  if (response.status != 204 && response.status != 304) {
    out.append("Content-Length: ").append(fmt::format_int(response.body_size()).c_str()).append("\r\n");
  }
  if (close) out.append("Connection: close\r\n");
  out.append("\r\n");
  return out;
}

std::string_view DateText::now() {
  const std::time_t second = std::time(nullptr);
  if (second != second_) {
    static constexpr std::array<std::string_view, 7> kDays{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static constexpr std::array<std::string_view, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                              "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    std::tm tm{};
    ::gmtime_r(&second, &tm);
    text_ =
        fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays[static_cast<std::size_t>(tm.tm_wday)], tm.tm_mday,
                    kMonths[static_cast<std::size_t>(tm.tm_mon)], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
    second_ = second;
  }
  return text_;
}

}  // namespace berth::server
