// What `berth doctor` found, and what there is to do about it.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace berth::cli {

enum class Verdict : std::uint8_t { ok, warning, problem };

struct Finding {
  std::string check;  ///< "certificates.expiry"; stable, for scripts
  Verdict verdict = Verdict::ok;
  std::string what;
  std::string remedy;  ///< what to do; empty when all is well
};

class Findings {
 public:
  void ok(std::string check, std::string what) { all_.push_back({std::move(check), Verdict::ok, std::move(what), {}}); }
  void warning(std::string check, std::string what, std::string remedy) {
    all_.push_back({std::move(check), Verdict::warning, std::move(what), std::move(remedy)});
  }
  void problem(std::string check, std::string what, std::string remedy) {
    all_.push_back({std::move(check), Verdict::problem, std::move(what), std::move(remedy)});
  }
  const std::vector<Finding>& all() const { return all_; }

 private:
  std::vector<Finding> all_;
};

}  // namespace berth::cli
