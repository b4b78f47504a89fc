#include "api/metrics_page.h"

#include <zlib.h>

#include <cctype>
#include <cstdlib>
#include <exception>
#include <utility>

#include "base/metrics.h"

namespace berth::api {
namespace {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool same_word(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return lower(x) == lower(y); });
}

/// "q=0", "q=0.0", …: not at all.
bool is_refused(std::string_view parameters) {
  const std::string_view weight = trimmed(parameters);
  if (weight.size() < 3 || !same_word(weight.substr(0, 2), "q=") || weight[2] != '0') return false;
  return weight.substr(3).find_first_not_of(".0") == std::string_view::npos;
}

Result<std::string> made_page() {
  try {
    return metrics::scrape_text();
  } catch (const std::exception& error) {  // out of memory, most likely
    return make_error(ErrorCode::internal, "the metrics could not be written down", error.what());
  }
}

Result<MetricsPage::Text> shared(Result<std::string> text) {
  if (!text) return std::move(text).error();
  return std::make_shared<const std::string>(*std::move(text));
}

}  // namespace

Task<MetricsPage::Text> MetricsPage::get(bool gzip) {
  auto start = [this, gzip](std::shared_ptr<Completion<Text>> completion) { ask({std::move(completion), gzip}); };
  co_return co_await completion_of<Text>(std::move(start));
}

void MetricsPage::ask(Waiting waiting) {
  const std::lock_guard lock(mutex_);
  waiting_.push_back(std::move(waiting));
  if (std::exchange(making_, true)) return;
  if (!pool_) pool_.emplace("scrape", 1);
  pool_->post([this] { make_pages(); });
}

void MetricsPage::make_pages() {
  for (;;) {
    std::vector<Waiting> served;
    {
      const std::lock_guard lock(mutex_);
      if (waiting_.empty()) {
        making_ = false;
        return;
      }
      served.swap(waiting_);
    }
    const auto plain = shared(made_page());
    std::optional<Result<Text>> compressed;
    for (const Waiting& one : served) {
      if (one.gzip && plain && !compressed) compressed = shared(gzip(**plain));
      one.completion->complete(one.gzip && compressed ? *compressed : plain);
    }
  }
}

bool accepts_gzip(const Headers& headers) {
  for (std::string_view list : headers.all("Accept-Encoding")) {
    while (!list.empty()) {
      const auto comma = list.find(',');
      const std::string_view item = list.substr(0, comma);
      list = comma == std::string_view::npos ? std::string_view{} : list.substr(comma + 1);
      const auto semicolon = item.find(';');
      if (!same_word(trimmed(item.substr(0, semicolon)), "gzip")) continue;
      return semicolon == std::string_view::npos || !is_refused(item.substr(semicolon + 1));
    }
  }
  return false;
}

Result<std::string> gzip(std::string_view text) {
  const auto failed = [] { return make_error(ErrorCode::internal, "the answer could not be compressed"); };
  z_stream stream{};
  // 16 more than the window's bits asks for gzip's frame. The fastest level: the text repeats itself so much that the
  // others gain little.
  if (::deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) return failed();
  std::string out(::deflateBound(&stream, static_cast<uLong>(text.size())), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int ended = ::deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  ::deflateEnd(&stream);
  if (ended != Z_STREAM_END) return failed();
  return out;
}

}  // namespace berth::api
