// The steps of a push or a change that somebody may ask about afterwards: each is a span of the request's trace and a
// part of what it waited for.
#pragma once

#include <chrono>
#include <string_view>

#include "base/span.h"
#include "base/waits.h"
#include "registry/actor.h"

namespace berth::registry {

struct StageName {
  std::string_view span;  ///< empty: too small and too many to be spans
  Waits::Duration Waits::* part;
};

inline constexpr StageName kWriteStage{{}, &Waits::write};
inline constexpr StageName kHashStage{"hash", &Waits::hash};
inline constexpr StageName kFileStage{"sync file", &Waits::file};
/// Of the wait for the committer.
inline constexpr StageName kCommitStage{"commit", &Waits::commit};

/// From its construction to end() or its own end, whichever comes first. One thread at a time.
class Stage {
 public:
  Stage(const Actor& actor, StageName name) : waits_(actor.waits), part_(name.part) {
    if (!name.span.empty()) span_ = trace::Span(actor.trace, name.span);
    if (waits_ != nullptr) begun_ = std::chrono::steady_clock::now();
  }
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;
  ~Stage() { end(); }

  void end() noexcept {
    span_.end();
    if (waits_ != nullptr) waits_->*part_ += std::chrono::steady_clock::now() - begun_;
    waits_ = nullptr;
  }

 private:
  trace::Span span_;
  Waits* waits_;  ///< null: nobody asks, or it has ended
  Waits::Duration Waits::* part_;
  std::chrono::steady_clock::time_point begun_{};
};

}  // namespace berth::registry
