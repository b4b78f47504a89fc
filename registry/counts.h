// What the registry counts for an operator: one function for each thing that is decided, called where it is decided.
//
// A push is a PUT of a manifest, a pull a GET of one. Most of their outcomes are known here; a request that is refused
// before it reaches the registry is counted by whoever refuses it, with type `unknown`: nobody has looked at what it is.
#pragma once

#include <chrono>
#include <cstdint>

#include "base/env.h"
#include "base/result.h"
#include "registry/manifest_type.h"

namespace berth::registry {
enum class ObjectKind : std::uint8_t;
}

namespace berth::registry::counts {

/// How a request ended, for whoever has to do something about it.
enum class Outcome : std::uint8_t {
  ok,
  client_error,  ///< the client's to mend, or the client went away
  denied,
  server_error,
};
inline constexpr std::size_t kOutcomes = 4;
Outcome outcome_of(ErrorCode code);
template <class T>
Outcome outcome_of(const Result<T>& result) {
  return result ? Outcome::ok : outcome_of(result.error().code);
}

void push(ManifestType type, Outcome outcome);
void pull(ManifestType type, Outcome outcome);

/// How an upload session ended.
enum class UploadEnd : std::uint8_t {
  ok,               ///< it became a blob
  aborted,          ///< its client gave it up, or sent it wrongly
  digest_mismatch,
  expired,          ///< nobody came back for it
  error,            ///< the server's fault
};
void upload(UploadEnd end);

enum class MountEnd : std::uint8_t {
  ok,
  miss,  ///< not possible: the client has to send the bytes
  error,
};
void mount(MountEnd end);

/// A blob of so many bytes was pushed or mounted though the store had it already.
void saved(std::uint64_t bytes);

/// The caches of answers: what was asked for, and was it there?
enum class Cache : std::uint8_t { manifest, blob };
void looked_up(Cache cache, bool hit);

/// What collection dropped from the index.
enum class Collected : std::uint8_t { blob, manifest, repository, upload };
void collected(Collected kind, std::uint64_t number);
/// Bytes that collection gave back: files it removed, and content of the index it dropped.
void freed(std::uint64_t bytes);
/// A pass of the collector. `ended` by the wall clock.
void collection(bool ok, std::chrono::steady_clock::duration lasted, WallTime ended);

/// Stored bytes failed a check.
void corrupt(ObjectKind kind);

}  // namespace berth::registry::counts
