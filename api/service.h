// Builds the api: routes, pipeline, handlers, over a registry.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "api/http.h"
#include "base/env.h"
#include "registry/registry.h"

namespace berth::registry {
class Identities;
}
namespace berth::trace {
class Tracer;
}
namespace berth::auth {
class AccessControl;
class TokenService;
}  // namespace berth::auth

namespace berth::api {

class AccountTools;
class Switches;

/// A certificate that a listener shows.
struct LoadedCertificate {
  std::string listener;  ///< its address
  std::string file;
  std::vector<std::string> names;
  std::string subject;
  std::string issuer;
  std::string key;
  std::string fingerprint;
  WallTime not_before{};
  WallTime not_after{};
  WallTime loaded_at{};
  std::string problem;  ///< why what the files hold now is not in use; empty: it is
};

/// How far the process is in its life; written by server/, read by the health routes. Thread-safe.
struct Lifecycle {
  std::atomic<bool> started{false};   ///< /startupz: the store is open
  std::atomic<bool> draining{false};  ///< /readyz turns false
  std::atomic<std::int64_t> loop_heartbeat_ms{0};  ///< steady milliseconds of the slowest I/O thread's last tick; /livez
};

struct ServiceOptions {
  std::size_t page_entries_max = 1000;
  std::size_t catalog_page_default = 100;
  std::size_t referrers_bytes_max = 3 << 20;
  std::size_t ranges_max = 1024;
  std::size_t manifest_bytes_max = 4 << 20;
  std::size_t manifest_bodies_bytes_max = 64 << 20;  ///< all manifests on their way in, together; beyond it 503
  std::size_t form_bodies_bytes_max = 16 << 20;  ///< the same of forms beyond 8 KiB each, which anybody may send
  std::size_t tags_per_push_max = 100;
  std::uint64_t blob_bytes_max = 0;        ///< 0 = no limit; as the registry's, to refuse before a body is read
  std::vector<std::string> allowed_hosts;  ///< besides loopback names, on listeners that trust this machine
  std::string version = {};                ///< of berth
  std::function<std::vector<LoadedCertificate>()> certificates = {};  ///< of now; thread-safe. Empty: there are none
  Switches* switches = nullptr;  ///< outlives the service; null in tests of what does not need it
  const trace::Tracer* tracer = nullptr;  ///< likewise; null: requests have no spans
};

/// What stands behind the routes; all outlive the service. Null in tests of what does not need it: without `access`
/// everybody may do everything.
struct Backends {
  registry::Registry& registry;
  registry::Identities* identities = nullptr;
  auth::AccessControl* access = nullptr;
  auth::TokenService* tokens = nullptr;
  AccountTools* accounts = nullptr;
};

/// Everything is const after construction but for the backends, which are attached once, when they are open: until then
/// the health routes answer and all else is 503.
class Service : public Handler {
 public:
  virtual void attach(const Backends& backends) = 0;
};

std::unique_ptr<Service> make_service(ServiceOptions options, const Lifecycle& lifecycle, const Clock& clock,
                                      Entropy& entropy);

}  // namespace berth::api
