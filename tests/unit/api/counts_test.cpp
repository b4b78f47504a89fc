// The counters of pushes and pulls and the answers to clients must agree on whose fault an error is.
#include "registry/counts.h"

#include <catch2/catch.hpp>

#include "api/errors.h"

namespace berth::api {
namespace {

TEST_CASE("what counts as whose fault is what the status of the answer says") {
  using registry::counts::Outcome;
  for (const ErrorRow& row : error_table()) {
    INFO(to_string(row.code) << " is answered with " << row.status);
    const Outcome expected = row.status >= 500                         ? Outcome::server_error
                             : row.status == 401 || row.status == 403 ? Outcome::denied
                                                                       : Outcome::client_error;
    CHECK(registry::counts::outcome_of(row.code) == expected);
  }
}

}  // namespace
}  // namespace berth::api
