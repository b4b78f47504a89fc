// `berth user|group|robot|token|role|grant|access`: arguments in, requests out; answers in, exit code and both streams out.
#include "cli/management.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "cli/table.h"
#include "fake_api.h"

using namespace berth;
using namespace berth::cli;
namespace fs = std::filesystem;

namespace {

struct Folder {
  Folder() {
    std::string pattern = (fs::temp_directory_path() / "berth-cli-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path = fs::path(pattern);
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  fs::path path;
};

using Words = std::vector<std::string>;
using json = nlohmann::json;

const std::string kError = R"({"errors":[{"code":"SOME_CODE","message":"why\u001b[31m"}]})";

}  // namespace

TEST_CASE("each command asks for what it says") {
  struct Row {
    Words words;
    std::vector<std::string> lines;  ///< of the requests
    json body = nullptr;             ///< of the first
    Person person = {};
    std::vector<FakeApi::Reply> replies = {{200, "{}"}, {200, "{}"}};
  };
  const std::string none = R"({"items":[],"next":null})";
  const Person typing{.secrets = {"hunter22", "hunter22"}};
  const std::vector<Row> rows = {
      {{"user", "add", "alice"}, {"POST /api/v1/users"}, {{"name", "alice"}, {"password", "hunter22"}}, typing},
      {{"user", "add", "alice", "--password-stdin", "--email", "a@b", "--display-name", "Alice A", "--group", "dev,ops",
        "--group", "x"},
       {"POST /api/v1/users"},
       {{"name", "alice"}, {"password", " pass word"}, {"email", "a@b"}, {"display_name", "Alice A"}, {"groups", {"dev", "ops", "x"}}},
       {.input = " pass word\nmore\n"}},
      {{"user", "add", "bot", "--no-password"}, {"POST /api/v1/users"}, {{"name", "bot"}}},
      {{"user", "add", "root", "--no-password", "--role", "admin"},
       {"POST /api/v1/users", "POST /api/v1/grants"},
       {{"name", "root"}}},
      {{"user", "list"}, {"GET /api/v1/users?n=1000"}, nullptr, {}, {{200, none}}},
      {{"user", "show", "Al ice/.."}, {"GET /api/v1/users/Al%20ice%2F.."}},
      {{"user", "set", "a", "--email", ""}, {"PATCH /api/v1/users/a"}, {{"email", ""}}},
      {{"user", "set", "a", "--no-groups"}, {"PATCH /api/v1/users/a"}, {{"groups", json::array()}}},
      {{"user", "enable", "a"}, {"PATCH /api/v1/users/a"}, {{"enabled", true}}},
      {{"user", "disable", "a"}, {"PATCH /api/v1/users/a"}, {{"enabled", false}}},
      {{"user", "passwd", "a"}, {"PATCH /api/v1/users/a"}, {{"password", "hunter22"}}, typing},
      {{"user", "passwd", "a", "--no-password"}, {"PATCH /api/v1/users/a"}, {{"password", nullptr}}},
      {{"user", "remove", "a", "--yes"}, {"DELETE /api/v1/users/a"}, nullptr, {}, {{204, ""}}},
      {{"user", "remove", "a", "--erase-name"}, {"DELETE /api/v1/users/a?erase=true"}, nullptr, {.input = "a\n", .interactive = true}, {{204, ""}}},
      {{"group", "add", "dev", "--description", "d", "--member", "federated:ci:a,b"},
       {"POST /api/v1/groups"},
       {{"name", "dev"}, {"description", "d"}, {"outside_members", {"federated:ci:a,b"}}}},
      {{"group", "list"}, {"GET /api/v1/groups?n=1000"}, nullptr, {}, {{200, none}}},
      {{"group", "show", "dev"}, {"GET /api/v1/groups/dev", "GET /api/v1/groups/dev/users?n=1000"}, nullptr, {}, {{200, "{}"}, {200, none}}},
      {{"group", "set", "dev", "--no-members"}, {"PATCH /api/v1/groups/dev"}, {{"outside_members", json::array()}}},
      {{"group", "remove", "dev", "--yes"}, {"DELETE /api/v1/groups/dev"}, nullptr, {}, {{204, ""}}},
      {{"robot", "add", "ci", "--description", "d", "--expires", "never", "--scope", "team/**:pull,push", "--scope", "a:delete"},
       {"POST /api/v1/robots"},
       {{"name", "ci"},
        {"description", "d"},
        {"secret_expires_at", nullptr},
        {"scope", {{{"repositories", {"team/**"}}, {"actions", {"pull", "push"}}}, {{"repositories", {"a"}}, {"actions", {"delete"}}}}}}},
      {{"robot", "list"}, {"GET /api/v1/robots?n=1000"}, nullptr, {}, {{200, none}}},
      {{"robot", "show", "ci"}, {"GET /api/v1/robots/ci"}},
      {{"robot", "rotate", "ci"}, {"POST /api/v1/robots/ci/secrets"}, json::object()},
      {{"robot", "revoke", "ci", "17"}, {"DELETE /api/v1/robots/ci/secrets/17"}, nullptr, {}, {{204, ""}}},
      {{"robot", "enable", "ci"}, {"PATCH /api/v1/robots/ci"}, {{"enabled", true}}},
      {{"robot", "disable", "ci"}, {"PATCH /api/v1/robots/ci"}, {{"enabled", false}}},
      {{"robot", "remove", "ci", "--yes"}, {"DELETE /api/v1/robots/ci"}, nullptr, {}, {{204, ""}}},
      {{"token", "list", "--for", "a"}, {"GET /api/v1/tokens?n=1000&owner=user%3Aa"}, nullptr, {}, {{200, none}}},
      {{"token", "revoke", "7", "--for", "a"}, {"DELETE /api/v1/tokens/7?owner=user%3Aa"}, nullptr, {}, {{204, ""}}},
      {{"token", "revoke", "--all", "--for", "a"}, {"DELETE /api/v1/tokens?owner=user%3Aa"}, nullptr, {}, {{200, "{\"revoked\":2}"}}},
      {{"role", "add", "pusher", "--actions", "pull,push", "--actions", "delete"},
       {"POST /api/v1/roles"},
       {{"name", "pusher"}, {"actions", {"pull", "push", "delete"}}}},
      {{"role", "list"}, {"GET /api/v1/roles?n=1000"}, nullptr, {}, {{200, none}}},
      {{"role", "show", "pusher"}, {"GET /api/v1/roles/pusher"}},
      {{"role", "set", "pusher", "--actions", "pull"}, {"PATCH /api/v1/roles/pusher"}, {{"actions", {"pull"}}}},
      {{"role", "remove", "pusher", "--yes"}, {"DELETE /api/v1/roles/pusher"}, nullptr, {}, {{204, ""}}},
      {{"grant", "add", "--subject", "user:a", "--subject", "group:b", "--repository", "t/**", "--role", "writer", "--tag", "v*",
        "--description", "d"},
       {"POST /api/v1/grants"},
       {{"subjects", {"user:a", "group:b"}}, {"repositories", {"t/**"}}, {"role", "writer"}, {"tags", {"v*"}}, {"description", "d"}}},
      {{"grant", "add", "--subject", "anonymous", "--repository", "a", "--repository", "b", "--actions", "pull,push"},
       {"POST /api/v1/grants"},
       {{"subjects", {"anonymous"}}, {"repositories", {"a", "b"}}, {"actions", {"pull", "push"}}}},
      {{"grant", "list"}, {"GET /api/v1/grants?n=1000"}, nullptr, {}, {{200, none}}},
      {{"grant", "list", "--subject", "user:a"}, {"GET /api/v1/grants?n=1000&subject=user%3Aa"}, nullptr, {}, {{200, none}}},
      {{"grant", "remove", "12", "--yes"}, {"DELETE /api/v1/grants/12"}, nullptr, {}, {{204, ""}}},
      {{"access", "explain", "user:a", "push", "team/app", "--tag", "v1"},
       {"GET /api/v1/access/explain?subject=user%3Aa&action=push&repository=team%2Fapp&tag=v1"}},
      {{"access", "explain", "anonymous", "admin"}, {"GET /api/v1/access/explain?subject=anonymous&action=admin"}},
      {{"access", "me"}, {"GET /api/v1/me"}},
  };
  for (const auto& row : rows) {
    CAPTURE(row.words);
    const Folder folder;
    FakeApi api(row.replies, (folder.path / "berth.sock").string());
    auto words = row.words;
    words.insert(words.end(), {"--data", folder.path.string()});
    const auto ran = run_as(row.person, words);
    INFO(ran.err);
    CHECK(ran.code == kOk);
    std::vector<std::string> lines;
    for (const auto& asked : api.asked()) lines.push_back(asked.line);
    CHECK(lines == row.lines);
    if (lines.empty()) continue;
    CHECK(api.asked().front().body == row.body);
    CHECK(api.asked().front().head.find("Authorization") == std::string::npos);
    CHECK((ran.out + ran.err).find("hunter22") == std::string::npos);
  }
}

TEST_CASE("a first administrator gets a grant on everything") {
  const Folder folder;
  struct Row {
    int status;
    int code;
    const char* said;
  };
  for (const Row& row : {Row{201, kOk, "made the user root with the role admin on **\n"},
                         Row{409, kPartly, "berth grant add --subject user:root --repository '**' --role admin"}}) {
    FakeApi api({{201, "{}"}, {row.status, "{}"}}, (folder.path / "berth.sock").string());
    const auto ran = run_as({.secrets = {"x", "x"}}, {"user", "add", "root", "--role", "admin", "--data", folder.path.string()});
    CHECK(ran.code == row.code);
    CHECK_THAT(ran.err, Catch::Contains(row.said));
    CHECK(ran.out.empty());
    CHECK(api.asked().at(1).body == json{{"subjects", {"user:root"}}, {"repositories", {"**"}}, {"role", "admin"}});
    fs::remove(folder.path / "berth.sock");
  }
}

TEST_CASE("a password is asked for twice and never taken as an argument") {
  struct Row {
    const char* name;
    Person person;
    Words words;
    std::string said;
  };
  const std::vector<Row> rows = {
      {"two that differ", {.secrets = {"a", "b"}}, {}, "berth: the two differ; nothing was changed\n"},
      {"an empty one", {.secrets = {"", ""}}, {}, "berth: an empty password is none; nothing was changed\n"},
      {"nobody to ask", {}, {}, "there is no terminal"},
      {"an empty standard input", {}, {"--password-stdin"}, "the standard input has no"},
      {"as an argument", {}, {"--password", "x"}, "--password: unknown option"},
      {"as a word", {}, {"secret"}, "one argument too many"},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    const Folder folder;
    FakeApi api({}, (folder.path / "berth.sock").string());
    for (const char* verb : {"add", "passwd"}) {
      Words words = {"user", verb, "alice", "--data", folder.path.string()};
      words.insert(words.end(), row.words.begin(), row.words.end());
      const auto ran = run_as(row.person, words);
      CHECK(ran.code == kUsage);
      CHECK_THAT(ran.err, Catch::Contains(row.said));
    }
    CHECK(api.asked().empty());
  }
}

TEST_CASE("arguments of management that are wrong end with 2 before anybody is asked") {
  const auto words = GENERATE(values<Words>({
      {"user"},
      {"user", "add"},
      {"user", "set", "a"},
      {"user", "set", "a", "--group", "x", "--no-groups"},
      {"user", "add", "a", "--on", "team/**", "--no-password"},
      {"user", "add", "a", "--password-stdin", "--no-password"},
      {"user", "remove", "a"},
      {"user", "list", "-o", "xml"},
      {"user", "list", "--timeout", "0s"},
      {"user", "list", "--user", "a"},
      {"access", "me", "--server", "http://127.0.0.1:1", "--user", "robot:ci"},
      {"user", "list", "--ca", "f"},
      {"group", "set", "a"},
      {"group", "remove", "a"},
      {"robot", "add", "a", "--expires", "soon"},
      {"robot", "add", "a", "--expires", "0s"},
      {"robot", "add", "a", "--scope", "team"},
      {"robot", "add", "a", "--scope", ":pull"},
      {"robot", "add", "a", "--scope", "team:,"},
      {"robot", "revoke", "a"},
      {"token", "list"},
      {"token", "create", "x"},
      {"token", "revoke", "--for", "a"},
      {"token", "revoke", "7", "--all", "--for", "a"},
      {"role", "add", "x"},
      {"role", "set", "x"},
      {"grant", "add", "--subject", "user:a", "--repository", "x"},
      {"grant", "add", "--subject", "user:a", "--repository", "x", "--role", "reader", "--actions", "pull"},
      {"grant", "add", "--repository", "x", "--role", "reader"},
      {"grant", "remove", "1"},
      {"access", "explain", "user:a"},
  }));
  CAPTURE(words);
  const Folder folder;
  FakeApi api({}, (folder.path / "berth.sock").string());
  auto all = words;
  const bool elsewhere = std::find(all.begin(), all.end(), "--server") != all.end();
  if (all.size() > 1 && !elsewhere) all.insert(all.end(), {"--data", folder.path.string()});
  const auto ran = run_as({}, all);
  CHECK(ran.code == kUsage);
  CHECK_FALSE(ran.err.empty());
  CHECK(ran.out.empty());
  CHECK(api.asked().empty());
}

TEST_CASE("lists are tables, JSON, or names") {
  const std::string first = R"({"items":[{"name":"alice","enabled":true,"email":"","groups":["dev","ops"],"last_login_at":null},
      {"name":"zo\u00eb","enabled":false,"email":"z\u001b[1m@b","groups":[]}],"next":"zo\u00eb"})";
  const std::string second = R"({"items":[{"name":"bob"}],"next":null})";
  struct Row {
    Words words;
    std::string out;
  };
  const std::vector<Row> rows = {
      {{},
       "NAME   ENABLED  EMAIL    GROUPS    LAST LOGIN\n"
       "alice  yes      -        dev, ops  -\n"
       "zo\u00eb    no       z?[1m@b  -         -\n"
       "bob    -        -        -         -\n"},
      {{"-q"}, "alice\nzo\u00eb\nbob\n"},
  };
  for (const auto& row : rows) {
    const Folder folder;
    FakeApi api({{200, first}, {200, second}}, (folder.path / "berth.sock").string());
    Words words = {"user", "list", "--data", folder.path.string()};
    words.insert(words.end(), row.words.begin(), row.words.end());
    const auto ran = run_as({}, words);
    CHECK(ran.code == kOk);
    CHECK(ran.out == row.out);
    CHECK(ran.err.empty());
    CHECK(api.asked().at(1).line == "GET /api/v1/users?n=1000&last=zo%C3%AB");
  }
  const Folder folder;
  FakeApi api({{200, first}, {200, second}}, (folder.path / "berth.sock").string());
  const auto ran = run_as({}, {"user", "list", "-o", "json", "--data", folder.path.string()});
  const auto all = json::parse(ran.out);
  REQUIRE(all.size() == 3);
  CHECK(all[1] == json::parse(first)["items"][1]);
}

TEST_CASE("a secret goes to standard output alone") {
  const std::string robot = R"({"name":"ci","id":"5","secrets":[{"id":"17","expires_at":"2027-02-19T10:00:00Z"}],"secret":"berth_r_x"})";
  struct Row {
    Words words;
    std::string reply;
    std::string out;
  };
  const std::vector<Row> rows = {
      {{"robot", "add", "ci"},
       robot,
       "name     ci\nid       17\nsecret   berth_r_x\nexpires  2027-02-19T10:00:00Z\n"},
      {{"robot", "add", "ci", "--quiet"}, robot, "berth_r_x\n"},
      {{"robot", "rotate", "ci", "--quiet"}, R"({"id":"18","secret":"berth_r_y"})", "berth_r_y\n"},
      {{"robot", "rotate", "ci"}, R"({"id":"18","name":"","secret":"berth_r_y"})",
       "name     ci\nid       18\nsecret   berth_r_y\nexpires  -\n"},
      {{"grant", "add", "--subject", "user:a", "--repository", "x", "--role", "r"}, R"({"id":"9"})", "9\n"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.words);
    const Folder folder;
    FakeApi api({{201, row.reply}}, (folder.path / "berth.sock").string());
    auto words = row.words;
    words.insert(words.end(), {"--data", folder.path.string()});
    const auto ran = run_as({}, words);
    CHECK(ran.code == kOk);
    CHECK(ran.out == row.out);
    CHECK(ran.err.find("berth_r_") == std::string::npos);
    const bool quiet = std::find(words.begin(), words.end(), "--quiet") != words.end();
    CHECK(ran.err.empty() == quiet);
  }
  FakeApi api({{201, R"({"id":"3","name":"laptop","token":"berth_p_x","expires_at":null})"}});
  const auto ran = run_as({}, {"token", "create", "laptop", "--server", api.url()});
  CHECK(ran.out == "name     laptop\nid       3\nsecret   berth_p_x\nexpires  -\n");
  CHECK(api.asked().at(0).body == json{{"name", "laptop"}});
}

TEST_CASE("an explanation begins with yes or no") {
  const Folder folder;
  const std::string reply = R"({"allowed":false,"reason":"no grant gives push","grants":[{"origin":"12","why":"action","subject":"user:a","pattern":null}]})";
  FakeApi api({{200, reply}, {200, reply}}, (folder.path / "berth.sock").string());
  const Words words = {"access", "explain", "user:a", "push", "x", "--data", folder.path.string()};
  CHECK(run_as({}, words).out ==
        "no: no grant gives push\n\nGRANT  RESULT  SUBJECT  PATTERN\n12     action  user:a   -\n");
  auto quiet = words;
  quiet.emplace_back("-q");
  CHECK(run_as({}, quiet).out == "no\n");
}

TEST_CASE("answers of the management API become exit codes") {
  struct Row {
    int status;
    int code;
  };
  const auto row = GENERATE(values<Row>({{400, kFailure}, {401, kDenied}, {403, kDenied}, {404, kNotFound}, {409, kConflict},
                                         {412, kConflict}, {429, kFailure}, {500, kFailure}, {503, kFailure}, {302, kFailure}}));
  CAPTURE(row.status);
  const Folder folder;
  FakeApi api({{row.status, kError}, {row.status, kError}}, (folder.path / "berth.sock").string());
  for (const Words& words : {Words{"user", "show", "alice"}, Words{"user", "list"}}) {
    auto all = words;
    all.insert(all.end(), {"--data", folder.path.string()});
    const auto ran = run_as({}, all);
    CHECK(ran.code == row.code);
    CHECK(ran.out.empty());
    CHECK_THAT(ran.err, Catch::Contains(": why?[31m\n"));
  }
}

TEST_CASE("answers of the management API that make no sense are no success") {
  const auto body = GENERATE("not JSON", "[]", "{}", R"({"items":5})", "<html>");
  CAPTURE(body);
  const Folder folder;
  FakeApi api({{200, body}}, (folder.path / "berth.sock").string());
  CHECK(run_as({}, {"user", "list", "--data", folder.path.string()}).code == kFailure);
}

TEST_CASE("who asks a server over the network says who it is") {
  struct Row {
    const char* name;
    Words words;
    Person person;
    std::string authorization;  ///< empty: none
  };
  const std::vector<Row> rows = {
      {"nobody", {}, {}, ""},
      {"a token", {}, {.environment = {{"BERTH_TOKEN", "t"}}}, "Bearer t"},
      {"a user with a token", {"--user", "al"}, {.environment = {{"BERTH_TOKEN", "t"}}}, "Basic YWw6dA=="},
      {"a password that is typed", {"--user", "al"}, {.secrets = {"pw"}}, "Basic YWw6cHc="},
      {"a password of standard input", {"--user", "al", "--login-stdin"}, {.environment = {{"BERTH_TOKEN", "t"}}, .input = "pw\n"}, "Basic YWw6cHc="},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    FakeApi api({{200, "{}"}});
    Words words = {"access", "me", "--server", api.url() + "/"};
    words.insert(words.end(), row.words.begin(), row.words.end());
    CHECK(run_as(row.person, words).code == kOk);
    const auto& head = api.asked().at(0).head;
    if (row.authorization.empty())
      CHECK(head.find("Authorization") == std::string::npos);
    else
      CHECK_THAT(head, Catch::Contains("\r\nAuthorization: " + row.authorization + "\r\n"));
  }
  FakeApi api({{401, kError}, {401, kError}});
  CHECK_THAT(run_as({}, {"access", "me", "--server", api.url()}).err, Catch::Contains("log in with --user NAME"));
  CHECK_THAT(run_as({.environment = {{"BERTH_SERVER", api.url()}, {"BERTH_TOKEN", "t"}}}, {"access", "me"}).err,
             Catch::Contains("does not take this user"));
}

TEST_CASE("both secrets of the standard input come in order") {
  FakeApi api({{200, "{}"}});
  const auto ran = run_as({.input = "mine\ntheirs\n"}, {"user", "passwd", "bob", "--password-stdin", "--server", api.url(),
                                                        "--user", "al", "--login-stdin"});
  CHECK(ran.code == kOk);
  CHECK_THAT(api.asked().at(0).head, Catch::Contains("Basic YWw6bWluZQ=="));
  CHECK(api.asked().at(0).body == json{{"password", "theirs"}});
}

TEST_CASE("a password does not leave the machine in the clear") {
  for (const char* url : {"http://registry.example.com", "http://10.0.0.1:5000", "http://[2001:db8::1]"}) {
    const auto ran = run_as({.secrets = {"x"}}, {"access", "me", "--server", url, "--user", "a"});
    CHECK(ran.code == kUsage);
    CHECK_THAT(ran.err, Catch::Contains("in the clear"));
    CHECK(ran.prompts.empty());
  }
}

TEST_CASE("a local socket that cannot be used says what to do") {
  const Folder folder;
  const auto ask = [&](const Words& more) {
    Words words = {"user", "list"};
    words.insert(words.end(), more.begin(), more.end());
    return run_as({}, words);
  };
  SECTION("nobody is there") {
    const auto ran = ask({"--data", folder.path.string()});
    CHECK(ran.code == kUnreachable);
    CHECK_THAT(ran.err, Catch::Contains("nobody answers at " + folder.path.string() + "/berth.sock (No such file") &&
                            Catch::Contains("--data") && Catch::Contains("--server"));
  }
  SECTION("one that a killed server left") {
    { FakeApi gone({}, (folder.path / "berth.sock").string()); }
    const auto ran = ask({"--socket", (folder.path / "berth.sock").string()});
    CHECK(ran.code == kUnreachable);
    CHECK_THAT(ran.err, Catch::Contains("Connection refused"));
  }
  SECTION("settings that cannot be read") {
    std::ofstream(folder.path / "berth.yaml") << "nonsense: 1\n";
    CHECK(ask({"--config", (folder.path / "berth.yaml").string()}).code == kUsage);
  }
  SECTION("where the settings say, deeper than a socket's path may be") {
    const auto deep = folder.path / std::string(90, 'd') / std::string(90, 'e');
    fs::create_directories(deep);
    std::ofstream(folder.path / "berth.yaml") << "data: {directory: " << deep.string() << "}\n";
    FakeApi api({{200, R"({"items":[],"next":null})"}}, (folder.path / "s").string());
    fs::create_hard_link(folder.path / "s", deep / "berth.sock");
    CHECK(ask({"--config", (folder.path / "berth.yaml").string()}).code == kOk);
  }
}

TEST_CASE("what needs no account asks a port when there is no local socket") {
  const Folder folder;
  FakeApi port({{200, "{}"}, {200, "{}"}});
  std::istringstream in;
  std::ostringstream out, err;
  const Program program{"1", {}, {}, in, out, err};
  SessionOptions options;
  options.sources.flags = {{"data.directory", folder.path.string()}};
  options.server_else = port.url();
  {
    const auto session = Session::open(options, program);
    REQUIRE(std::holds_alternative<Session>(session));
    CHECK(std::holds_alternative<nlohmann::ordered_json>(std::get<Session>(session).call("GET", "/a", "a")));
  }
  FakeApi socket({{200, "{}"}}, (folder.path / "berth.sock").string());
  const auto session = Session::open(options, program);
  REQUIRE(std::holds_alternative<Session>(session));
  CHECK(std::get<Session>(session).local());
  CHECK(port.asked().size() == 1);
  CHECK(err.str().empty());
}

TEST_CASE("expiries and scopes are read") {
  const auto now = std::chrono::system_clock::time_point(std::chrono::seconds(1'700'000'000));
  CHECK(*expiry_of("never", now) == "");
  CHECK(*expiry_of("90d", now) == "2024-02-12T22:13:20Z");
  CHECK(*expiry_of("1h", now) == "2023-11-14T23:13:20Z");
  CHECK_FALSE(expiry_of("99999999d", now));
  CHECK(split_commas({"a,b", ",", "c"}) == Words{"a", "b", "c"});
  const auto scope = parse_scope("a/**:pull");
  REQUIRE(scope);
  CHECK(scope->repository == "a/**");
  CHECK(scope->actions == Words{"pull"});
}
