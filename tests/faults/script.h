// One fixed history of a registry: pushes of every kind, mounts, an overwritten tag, deletes, a collection. And what may
// be true after it, whichever of its steps failed.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tests/faults/world.h"

namespace berth::faults {

/// `blob <repository> <name>`, `manifest <repository> <name>` or `tag <repository> <tag>` → what it may be: the name of
/// its content, or empty for absent.
using Possible = std::map<std::string, std::set<std::string>>;

enum class StepEnd : std::uint8_t { done, failed, unknown };

/// How many steps the script has.
std::size_t step_count();
std::string_view step_name(std::size_t step);

/// Runs every step, failed ones too far gone included. Before and after each one `note` hears of it: acknowledged means
/// that `note` was told `done`. Dies on an answer that no client should get (an internal error, a wrong read).
void run_script(World& world, const std::function<void(std::size_t step)>& begin,
                const std::function<void(std::size_t step, StepEnd end)>& end);

/// Follows the script from outside, by what was noted.
class Expectation {
 public:
  Expectation();
  void apply(std::size_t step, StepEnd end);
  const Possible& possible() const { return possible_; }

 private:
  Possible possible_;
};

/// One sentence for everything that is not as it may be: content that reads differ from `possible`, rules of the index
/// that do not hold, places without their bytes. The world must be free of faults by now.
std::vector<std::string> check_world(World& world, const Possible& possible);

/// Lets everything pass that time lets pass, then: one sentence for each file that no record names and each staging
/// file that is left.
std::vector<std::string> check_nothing_left(World& world, const std::string& directory);

}  // namespace berth::faults
