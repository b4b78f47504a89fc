// The page of /metrics, made by a thread of its own however many ask for it.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "api/http.h"
#include "base/completion.h"
#include "base/task.h"

namespace berth::api {

/// Thread-safe. One page is made at a time; whoever asks meanwhile shares the next one.
class MetricsPage {
 public:
  using Text = std::shared_ptr<const std::string>;

  /// In the Prometheus text format, compressed if so wished. Errors: internal.
  Task<Text> get(bool gzip);

 private:
  struct Waiting {
    std::shared_ptr<Completion<Text>> completion;
    bool gzip;
  };
  void ask(Waiting waiting);
  void make_pages();

  std::mutex mutex_;
  std::vector<Waiting> waiting_;
  bool making_ = false;
  std::optional<Pool> pool_;  ///< from the first time on; last, so that it ends first
};

/// Does the client take a gzip-coded answer (RFC 9110 §12.5.3)?
bool accepts_gzip(const Headers& headers);

/// As one gzip member. Errors: internal.
Result<std::string> gzip(std::string_view text);

}  // namespace berth::api
