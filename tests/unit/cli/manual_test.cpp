// Completions and manual pages say what the commands say. That shells and man(1) take them is tried in
// tests/deploy/packages.py.
#include "cli/manual.h"

#include <catch2/catch.hpp>

#include "cli/completion.h"
#include "config/keys.h"
#include "tests/unit/cli/fake_api.h"

using namespace berth;
using namespace berth::cli;

namespace {

CommandText small_tree() {
  OptionText file{{"-f", "--file"}, "FILE", {}, "what it's about", false};
  OptionText format{{"-o"}, "FORMAT", {"table", "json"}, "how", false};
  OptionText shell{{}, "SHELL", {"bash", "zsh"}, "which", true};
  OptionText flag{{"--all"}, "", {}, "all", false};
  CommandText add{"berth user add", "add", "make a user", {file, format}, {}};
  CommandText user{"berth user", "user", "users", {flag}, {add}};
  CommandText completion{"berth completion", "completion", "a script", {shell}, {}};
  return {"berth", "berth", "a registry", {}, {user, completion}};
}

bool holds(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

}  // namespace

TEST_CASE("scripts know commands, options and values") {
  const auto bash = bash_completion(small_tree());
  CHECK(holds(bash, R"("berth user" | "berth completion" | "berth user add") path=)"));
  CHECK(holds(bash, R"("berth user add -f" | "berth user add --file") compopt -o default; return ;;)"));
  CHECK(holds(bash, R"("berth user add -o") words='table json' ;;)"));
  CHECK(holds(bash, R"("berth completion") words='bash zsh' options='' ;;)"));
  const auto zsh = zsh_completion(small_tree());
  CHECK(holds(zsh, R"('--file:what it'\''s about')"));
  CHECK(holds(zsh, R"("berth user add -o") compadd -- table json; return ;;)"));
  const auto fish = fish_completion(small_tree());
  CHECK(holds(fish, R"(complete -c berth -n '__berth_at berth user add' -s f -l file -r -F -d 'what it\'s about')"));
  CHECK(holds(fish, R"(case "berth user" "berth completion" "berth user add")"));
}

TEST_CASE("every command, option and setting has its place in the manual") {
  const auto overview = run_as({}, {"man"});
  REQUIRE(overview.code == kOk);
  CHECK(holds(overview.out, ".SH EXIT STATUS"));
  for (const std::string command : {"serve", "doctor", "client\\-config", "user", "man"})
    CHECK(holds(overview.out, "\\fBberth\\-" + command + "\\fR(1)"));
  const auto user = run_as({}, {"man", "berth-user"});
  CHECK(holds(user.out, ".SS \"berth user add\""));
  CHECK(holds(user.out, "\\fB\\-\\-role\\fR"));
  const auto settings = run_as({}, {"man", "berth.yaml"});
  for (const auto& key : config::keys()) {
    INFO(key.path);
    CHECK(holds(settings.out, std::string(key.path)));
  }
  CHECK(run_as({}, {"man", "berth-nonsense"}).code == kUsage);
  CHECK(run_as({}, {"man", "--out", "/nonexistent"}).code == kFailure);
}

TEST_CASE("what roff would obey is shown") {
  auto tree = small_tree();
  tree.commands[0].commands[0].options[0].help = ".so /etc/passwd \\n";
  for (const auto& page : manual_pages(tree, "1"))
    if (page.name == "berth-user") CHECK(holds(page.text, "\n\\&.so /etc/passwd \\en\n"));
}
