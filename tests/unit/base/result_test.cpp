#include "base/result.h"

#include <catch2/catch.hpp>
#include <memory>
#include <set>
#include <string>

namespace berth {
namespace {

Result<int> half(int number) {
  if (number % 2 != 0) return make_error(ErrorCode::request_invalid, "odd", "detail");
  return number / 2;
}

Result<std::string> quarter(int number) {
  BERTH_TRY(const int first, half(number));
  BERTH_TRY(const int second, half(first));
  return std::to_string(second);
}

Result<void> check_quarter(int number) {
  BERTH_CHECK(quarter(number));
  return {};
}

}  // namespace

TEST_CASE("a result is a value or an error") {
  CHECK(half(4).value() == 2);
  CHECK(half(3).failed_with(ErrorCode::request_invalid));
  CHECK_FALSE(half(3).failed_with(ErrorCode::internal));
  CHECK_FALSE(half(4).failed_with(ErrorCode::request_invalid));
  CHECK(half(3).value_or(7) == 7);
  CHECK(Result<int>().failed_with(ErrorCode::internal));
  CHECK(Result<void>());
  Result<std::unique_ptr<int>> owner(std::make_unique<int>(5));
  CHECK(*std::move(owner).value() == 5);
}

TEST_CASE("errors travel up with all they carry") {
  CHECK(quarter(8).value() == "2");
  const auto failed = quarter(6);
  REQUIRE_FALSE(failed);
  CHECK(failed.error().message == "odd");
  CHECK(failed.error().log_detail == "detail");
  CHECK(check_quarter(8));
  CHECK(check_quarter(6).failed_with(ErrorCode::request_invalid));
}

TEST_CASE("every error code has a name of its own") {
  std::set<std::string_view> names;
  const auto last = static_cast<int>(ErrorCode::internal);
  for (int code = 0; code <= last; ++code) names.insert(to_string(static_cast<ErrorCode>(code)));
  CHECK(names.size() == static_cast<std::size_t>(last) + 1);
}

}  // namespace berth
