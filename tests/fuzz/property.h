// What a fuzz target says when a property does not hold.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string_view>

/// Ends the process, which the fuzzer reports with the input that led here. `what` is the property that should hold.
inline void require(bool holds, std::string_view what) {
  if (holds) return;
  std::fprintf(stderr, "property does not hold: %.*s\n", static_cast<int>(what.size()), what.data());
  std::abort();
}
