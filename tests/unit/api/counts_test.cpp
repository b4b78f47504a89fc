// The counters of pushes and pulls and the answers to clients must agree on whose fault an error is.
#include "registry/counts.h"

#include <catch2/catch.hpp>

#include <map>
#include <string>

#include "api/errors.h"
#include "tests/support/scrape.h"
#include "tests/unit/api/access_world.h"

namespace berth::api::test {
namespace {

using berth::test::Changes;
using Deltas = std::map<std::string, double>;

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

TEST_CASE("a push or pull counts once, whether the registry hears of it or not") {
  AccessWorld world;
  world.add_user("alice", "secret");
  world.grant("user:alice", "team/**", "maintainer");
  world.grant("robot:reader", "team/**", "reader");
  const Shown alice = basic("alice", "secret");
  const Shown reader = basic("robot$reader", world.add_robot("reader"));
  REQUIRE(world.registry.push_image("team/app", "v1", {"config"}).has_value());
  const Said image{.body = berth::test::TestRegistry::image_manifest({"config"})};
  const std::string v1 = "/v2/team/app/manifests/v1";
  struct Row {
    const char* name;
    Shown shown;
    Method method;
    std::string target;
    Deltas pushes;
    Deltas pulls;
  };
  const std::string ok = R"({type="image",result="ok"})", denied = R"({type="unknown",result="denied"})";
  const std::string wrong = R"({type="unknown",result="client_error"})";
  const Row rows[] = {
      {"a push", alice, Method::put, v1, {{ok, 1}}, {}},
      {"a push that shows nothing is told to log in", {}, Method::put, v1, {}, {}},
      {"with a wrong password", basic("alice", "wrong"), Method::put, v1, {{denied, 1}}, {}},
      {"by who may only read", reader, Method::put, v1, {{denied, 1}}, {}},
      {"with a digest that is none", alice, Method::put, v1 + "?digest=none", {{wrong, 1}}, {}},
      {"a pull", alice, Method::get, v1, {}, {{ok, 1}}},
      {"a look", alice, Method::head, v1, {}, {}},
      {"a look at nothing", alice, Method::head, "/v2/team/app/manifests/v2", {}, {}},
      {"a pull of nothing", alice, Method::get, "/v2/team/app/manifests/v2", {}, {{wrong, 1}}},
      {"a pull without the right", reader, Method::get, "/v2/other/app/manifests/v1", {}, {{denied, 1}}},
      {"a pull that shows nothing", {}, Method::get, v1, {}, {}},
      {"a blob is neither", alice, Method::get, "/v2/team/app/blobs/" + oci::sha256("config").to_string(), {}, {}},
  };
  for (const Row& row : rows) {
    INFO(row.name);
    Changes changes;
    world.send(row.shown, row.method, row.target, row.method == Method::put ? image : Said{});
    CHECK(changes.all("berth_pushes_total") == row.pushes);
    CHECK(changes.all("berth_pulls_total") == row.pulls);
  }
}

}  // namespace
}  // namespace berth::api::test
