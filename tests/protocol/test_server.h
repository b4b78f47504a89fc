// The whole server as a transcript meets it: sockets, api and registry, over an index in memory and a temporary folder.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

namespace berth::test {

class TestServer {
 public:
  /// Each option is "name value". Errors: request_invalid for one that does not exist.
  ///
  ///   deletion off                 anonymous_mount off          sparse_indexes on      accept_artifact_manifest on
  ///   blob_bytes_max N             page_entries_max N           referrers_bytes_max N  manifest_bytes_max N
  ///   ranges_max N                 uploads_open_max N           upload_ttl_s N         descriptors_max N
  ///   collector_interval_ms N
  ///   header_timeout_s N           idle_timeout_s N             rate_window_s N        header_bytes_max N
  ///   loopback off                 allowed_host NAME            started off            disk full
  static Result<std::unique_ptr<TestServer>> start(const std::vector<std::vector<std::string>>& options, bool tls);

  virtual ~TestServer() = default;
  virtual std::uint16_t port() const = 0;
  /// Moves the server's clock, wall and steady.
  virtual void advance(std::chrono::milliseconds by) = 0;
  /// Makes the disk full, or gives it room again.
  virtual void set_disk_full(bool full) = 0;
  /// Health answers that it is being stopped.
  virtual void set_draining(bool draining) = 0;
};

}  // namespace berth::test
