// From settings to the options of each part, and what stands between the sockets and the api.
#pragma once

#include <cstddef>
#include <vector>

#include "api/http.h"
#include "api/service.h"
#include "config/settings.h"
#include "registry/registry.h"
#include "server/server.h"
#include "storage/ballast.h"

namespace berth::server {

ServerOptions server_options(const config::Settings& settings);
ServerLimits server_limits(const config::Settings& settings);
api::ServiceOptions service_options(const config::Settings& settings);
registry::RegistryOptions registry_options(const config::Settings& settings);
storage::BallastOptions ballast_options(const config::Settings& settings);

/// Of the descriptors that the process may have, so that connections never take what the index needs to go on.
struct FileShares {
  std::size_t index_max = 0;
  std::size_t connections_max = 0;  ///< a third as many files are open that some of them pull or push
};
FileShares share_files(std::size_t files_max);

struct ThreadCounts {
  std::size_t disk = 8;
  std::size_t write = 8;
  std::size_t cpu = 1;
};
ThreadCounts thread_counts(const config::Settings& settings, std::size_t cores);

/// Lets each listener serve what it is meant for. Thread-safe.
class ListenerGate final : public api::Handler {
 public:
  ListenerGate(api::Handler& next, const config::Settings& settings, Entropy& entropy);
  asio::awaitable<api::Response> handle(api::Request& request) override;
  void finished(const api::Request& request, const api::Response& response, const api::Outcome& outcome) override;

 private:
  struct Serves {
    bool registry = true;
    bool health = true;
    bool metrics = true;
    std::vector<std::string> hosts = {};  ///< that requests may name; empty: any
  };
  api::Handler& next_;
  Entropy& entropy_;
  std::vector<Serves> listeners_;
};

}  // namespace berth::server
