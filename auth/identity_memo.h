// Who showed this a moment ago: clients repeat their credential with every request, and the answer is the same until
// something changes.
//
// Kept is what came out of a credential that was good, under a digest of the header with a key of this process alone;
// never the header, and nothing of a credential that was refused. What is kept is an answer only while everything it was
// made of stands still: the identities' version (every change of an account, group, secret or key moves it before the
// change is acknowledged), the settings' generation, and time (Validity). Nothing is kept for longer than a second, so
// that what counts uses of a credential goes on doing so.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/auth_metrics.h"
#include "auth/principal.h"
#include "auth/validity.h"
#include "base/env.h"
#include "base/siphash.h"

namespace berth::auth {

/// Thread-safe. Threads have places of their own.
class IdentityMemo {
 public:
  static constexpr std::chrono::milliseconds kKeptFor{1000};
  /// Longer headers are rare, and what they make a principal of may be large.
  static constexpr std::size_t kHeaderSizeMax = 4096;

  explicit IdentityMemo(Entropy& entropy);
  IdentityMemo(const IdentityMemo&) = delete;

  /// What somebody shows. Views.
  struct Shown {
    std::string_view authorization;  ///< the whole value of the header
    std::string_view host;           ///< as in the Host header: tokens are for one of them
    bool secure = false;
  };
  /// When it is asked or was answered. To file, take it before the look that finds the answer.
  struct Moment {
    std::uint64_t identities = 0;  ///< Identities::version()
    std::uint64_t settings = 0;    ///< PolicyHolder::generation()
    WallTime wall;
    SteadyTime steady;
  };
  struct Known {
    std::shared_ptr<const Principal> principal;
    AuthMethod method{};  ///< for the metrics
  };

  std::optional<Known> find(const Shown& shown, const Moment& now);
  void keep(const Shown& shown, const Moment& asked, Validity validity, Known known);

 private:
  struct Entry {
    SipDigest digest;
    std::string host;
    bool secure = false;
    std::uint64_t identities = 0;
    std::uint64_t settings = 0;
    Validity validity;
    Known known;  ///< no principal: free
  };
  /// Each with its own lock; a thread keeps to one. An entry has one slot: two credentials that share it push each
  /// other out, which costs them the way that others take. Slots are made for the first entry.
  struct alignas(64) Place {
    std::mutex mutex;
    std::vector<Entry> slots;
  };
  static constexpr std::size_t kSlots = 512;

  SipKey key_{};
  std::array<Place, 16> places_;
};

}  // namespace berth::auth
