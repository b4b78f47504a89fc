// The two sources of chance, injected so that tests and the simulation decide both.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace berth {

/// What people see: milliseconds since 1970, UTC. It may jump; nothing is ever deleted because of it.
using WallTime = std::chrono::sys_time<std::chrono::milliseconds>;
/// Time this process has run: never jumps.
using SteadyTime = std::chrono::steady_clock::time_point;

/// "2026-11-21T10:00:00.123Z"
std::string format_rfc3339(WallTime time);

/// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual WallTime wall() const = 0;
  virtual SteadyTime steady() const = 0;
};

/// Thread-safe. Cryptographically strong in production, seeded in tests.
class Entropy {
 public:
  virtual ~Entropy() = default;
  virtual void fill(std::span<std::byte> out) = 0;
};

class SystemClock final : public Clock {
 public:
  WallTime wall() const override;
  SteadyTime steady() const override;
};

class SystemEntropy final : public Entropy {
 public:
  void fill(std::span<std::byte> out) override;
};

/// A random (version 4) UUID in lower-case text: 36 characters of [0-9a-f-].
std::string make_uuid(Entropy& entropy);

}  // namespace berth
