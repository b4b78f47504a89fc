// `berth doctor` on staged machines, disks, settings, certificates and data directories. What clients see is staged with
// real servers in tests/clients/doctor.py.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/doctor/checks.h"
#include "tests/support/certificates.h"
#include "tests/unit/cli/fake_api.h"

using namespace berth;
using namespace berth::cli;
namespace fs = std::filesystem;

namespace {

using Seconds = std::chrono::seconds;
constexpr auto kDay = std::chrono::hours(24);
constexpr std::uint64_t kGiB = 1 << 30;

/// "warning machine.memory", for each that is not ok.
std::vector<std::string> complaints(const Findings& findings) {
  std::vector<std::string> all;
  for (const auto& one : findings.all()) {
    INFO(one.check << ": " << one.what);
    CHECK(one.remedy.empty() == (one.verdict == Verdict::ok));
    if (one.verdict != Verdict::ok) all.push_back((one.verdict == Verdict::warning ? "warning " : "problem ") + one.check);
  }
  return all;
}

using Complaints = std::vector<std::string>;

MachineFacts good_machine() {
  MachineFacts facts;
  facts.kernel = "6.1.0-41-amd64";
  facts.open_files_max = 65536;
  facts.open_files_of = "this shell";
  facts.memory_bytes = 8 * kGiB;
  facts.now = std::chrono::system_clock::from_time_t(1'800'000'000);
  return facts;
}

DiskFacts good_disk() {
  DiskFacts facts;
  facts.path = "/var/lib/berth";
  facts.kind = 0xef53;
  facts.size_bytes = 100 * kGiB;
  facts.free_bytes = 50 * kGiB;
  facts.inodes = 1'000'000;
  facts.free_inodes = 900'000;
  facts.sync = std::chrono::microseconds(900);
  return facts;
}

const test::Authority& authority() {
  static const test::Authority one("the house");
  return one;
}

/// A folder with a pair, and settings that use it.
struct Served {
  explicit Served(const test::Identity& identity, const std::string& public_url = "https://r.test") {
    settings.public_url = public_url;
    auto& tls = settings.listeners.front().tls;
    tls.on = true;
    tls.certificate = {folder.write("tls.crt", identity.certificate)};
    tls.key = {folder.write("tls.key", identity.key)};
    ca = folder.write("ca.crt", authority().certificate());
    REQUIRE(::chmod(tls.key.front().c_str(), 0600) == 0);
  }
  Complaints check(const std::string& ca_file) const {
    Findings findings;
    check_certificates(settings, ca_file, std::chrono::system_clock::now(), findings);
    return complaints(findings);
  }
  Complaints check() const { return check(ca); }

  test::Folder folder;
  config::Settings settings;
  std::string ca;
};

test::Wanted named(const std::string& name = "DNS:r.test") {
  test::Wanted wanted;
  wanted.names = {name};
  return wanted;
}

}  // namespace

TEST_CASE("the format of the data is told, and which berth it needs") {
  struct Row {
    std::string name;
    Result<DataFormats> formats;
    bool held;
    Complaints said;
    std::string word;  ///< in what is said
  };
  const DataFormat known{3, 4};
  const auto there = [&known](std::uint64_t major, std::uint64_t minor) { return DataFormats{known, DataFormat{major, minor}, false}; };
  const Row rows[] = {
      {"none yet", DataFormats{known, std::nullopt, false}, false, {}, "no format yet; the first start writes 3.4"},
      {"the same", there(3, 4), false, {}, "the data has format 3.4"},
      {"an older minor", there(3, 2), false, {}, "the next start makes it 3.4, and a berth that reads no more than 3.2 cannot open it"},
      {"a newer minor", there(3, 5), true, {"warning data.format"}, "use a berth that reads format 3.5"},
      {"a newer minor with a part that is not known", DataFormats{known, DataFormat{3, 5}, true}, false, {"problem data.format"}, "use a berth that reads format 3.5"},
      {"a newer major", there(4, 0), false, {"problem data.format"}, "use a berth that reads format 4.0"},
      {"one that never was", there(2, 9), false, {"problem data.format"}, "none of that number"},
      {"unreadable", make_error(ErrorCode::corrupt, "the index could not be read"), false, {"problem data.format"}, "could not be read"},
      {"unreadable just now", make_error(ErrorCode::io_error, "the index could not be read"), true, {"warning data.format"}, "ask again"},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    Findings findings;
    judge_format(row.formats, row.held, findings);
    CHECK(complaints(findings) == row.said);
    REQUIRE(findings.all().size() == 1);
    const Finding& only = findings.all().front();
    CHECK((only.what + ' ' + only.remedy).find(row.word) != std::string::npos);
  }
}

TEST_CASE("each fault of a machine is told") {
  struct Row {
    std::string name;
    void (*stage)(MachineFacts&, config::Settings&);
    Complaints said;
  };
  const Row rows[] = {
      {"none", [](auto&, auto&) {}, {}},
      {"an old kernel", [](auto& facts, auto&) { facts.kernel = "4.19.0-21"; }, {"warning machine.kernel"}},
      {"the oldest good kernel", [](auto& facts, auto&) { facts.kernel = "5.10.0"; }, {}},
      {"the last before it", [](auto& facts, auto&) { facts.kernel = "5.9.16"; }, {"warning machine.kernel"}},
      {"few files", [](auto& facts, auto&) { facts.open_files_max = 1024; }, {"warning machine.open_files"}},
      {"fewer connections", [](auto& facts, auto& settings) { facts.open_files_max = 4096; settings.limits.connections = 1000; }, {}},
      {"little memory", [](auto& facts, auto&) { facts.memory_bytes = 256 << 20; }, {"warning machine.memory"}},
      {"a low limit", [](auto& facts, auto&) { facts.memory_limit_bytes = 128 << 20; }, {"warning machine.memory"}},
      {"a limit above the memory", [](auto& facts, auto&) { facts.memory_limit_bytes = 64 * kGiB; }, {}},
      {"large caches", [](auto&, auto& settings) { settings.data.block_cache_bytes = 16 * kGiB; }, {"warning machine.memory"}},
      {"no time service", [](auto& facts, auto&) { facts.clock_synchronized = false; }, {"warning machine.clock"}},
      {"1970", [](auto& facts, auto&) { facts.now = {}; }, {"problem machine.clock"}},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    auto facts = good_machine();
    config::Settings settings;
    row.stage(facts, settings);
    Findings findings;
    judge_machine(facts, settings, findings);
    CHECK(complaints(findings) == row.said);
    CHECK(findings.all().size() == 4);
  }
}

TEST_CASE("each fault of a disk is told") {
  struct Row {
    std::string name;
    void (*stage)(DiskFacts&);
    Complaints said;
  };
  const Row rows[] = {
      {"none", [](auto&) {}, {}},
      {"memory", [](auto& facts) { facts.kind = 0x01021994; }, {"problem data.file_system"}},
      {"a container's layer", [](auto& facts) { facts.kind = 0x794c7630; }, {"problem data.file_system"}},
      {"NFS", [](auto& facts) { facts.kind = 0x6969; }, {"warning data.file_system"}},
      {"SMB", [](auto& facts) { facts.kind = 0xfe534d42; }, {"warning data.file_system"}},
      {"something new", [](auto& facts) { facts.kind = 0x1234; }, {"warning data.file_system"}},
      {"XFS", [](auto& facts) { facts.kind = 0x58465342; }, {}},
      {"read-only", [](auto& facts) { facts.read_only = true; }, {"problem data.writable"}},
      {"nearly full", [](auto& facts) { facts.free_bytes = 9 * kGiB; }, {"warning data.space"}},
      {"full", [](auto& facts) { facts.free_bytes = kGiB / 4; }, {"problem data.space"}},
      {"few inodes", [](auto& facts) { facts.free_inodes = 50'000; }, {"warning data.inodes"}},
      {"no inodes", [](auto& facts) { facts.free_inodes = 0; }, {"problem data.inodes"}},
      {"inodes that nobody counts", [](auto& facts) { facts.inodes = facts.free_inodes = 0; }, {}},
      {"a slow disk", [](auto& facts) { facts.sync = std::chrono::milliseconds(80); }, {"warning data.sync"}},
      {"a disk that could not be tried", [](auto& facts) { facts.sync.reset(); }, {}},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    auto facts = good_disk();
    row.stage(facts);
    Findings findings;
    judge_disk(facts, config::Settings{}, findings);
    CHECK(complaints(findings) == row.said);
  }
}

TEST_CASE("this machine can be read, and its disk, without a trace") {
  const auto machine = read_machine(0);
  CHECK(machine.kernel.find('.') != std::string::npos);
  CHECK(machine.open_files_max > 0);
  CHECK(machine.memory_bytes > 64 << 20);
  CHECK(read_machine(::getpid()).open_files_max == machine.open_files_max);
  const test::Folder folder;
  const auto disk = read_disk(folder.path("."));
  CHECK(disk.kind != 0);
  CHECK(disk.size_bytes > 0);
  CHECK(fs::is_empty(folder.path(".")));
}

TEST_CASE("each fault of a certificate is told") {
  struct Row {
    std::string name;
    test::Wanted wanted;
    Complaints said;
  };
  auto soon = named(), now = named(), ended = named(), later = named(), bare = test::Wanted{};
  soon.until = 10 * kDay;
  now.until = 2 * kDay;
  ended.from = -10 * kDay, ended.until = -1 * kDay;
  later.from = 2 * kDay;
  const Row rows[] = {
      {"none", named(), {}},
      {"ends soon", soon, {"warning certificates.expiry"}},
      {"ends in two days", now, {"problem certificates.expiry"}},
      {"ended", ended, {"problem certificates.expiry"}},
      {"not yet", later, {"problem certificates.expiry"}},
      {"another name", named("DNS:other.test"), {"problem certificates.names"}},
      {"no names", bare, {"problem certificates.names", "problem certificates.names"}},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    CHECK(Served(authority().issue(row.wanted)).check() == row.said);
  }
}

TEST_CASE("each fault of a certificate's files is told") {
  const auto good = authority().issue(named());
  SECTION("who signed it is not known") { CHECK(Served(good).check("") == Complaints{"warning certificates.chain"}); }
  SECTION("the authority between is missing, and there") {
    const auto below = authority().below("the floor");
    auto leaf = below.issue(named());
    CHECK(Served(leaf).check() == Complaints{"warning certificates.chain"});
    leaf.certificate += below.certificate();
    CHECK(Served(leaf).check().empty());
  }
  SECTION("the wrong order") {
    const auto below = authority().below("the floor");
    const auto leaf = below.issue(named());
    CHECK(Served({leaf.certificate + authority().certificate() + below.certificate(), leaf.key}).check() ==
          Complaints{"problem certificates.chain"});
  }
  SECTION("the key of another") {
    CHECK(Served({good.certificate, authority().issue(named()).key}).check() == Complaints{"problem certificates.key"});
  }
  SECTION("no key in the file") { CHECK(Served({good.certificate, good.certificate}).check() == Complaints{"problem certificates.key"}); }
  SECTION("no certificate in the file") { CHECK(Served({"hello\n", good.key}).check() == Complaints{"problem certificates.files"}); }
  SECTION("an empty file") { CHECK(Served({"", good.key}).check() == Complaints{"problem certificates.files"}); }
  SECTION("a key that everybody may read") {
    const Served served(good);
    REQUIRE(::chmod(served.settings.listeners[0].tls.key[0].c_str(), 0644) == 0);
    CHECK(served.check() == Complaints{"problem certificates.key"});
    REQUIRE(::chmod(served.settings.listeners[0].tls.key[0].c_str(), 0440) == 0);  // as Kubernetes gives it
    CHECK(served.check().empty());
  }
  SECTION("no file") {
    Served served(good);
    served.settings.listeners[0].tls.key = {served.folder.path("none")};
    CHECK(served.check() == Complaints{"problem certificates.files"});
  }
  SECTION("who vouches for clients") {
    Served served(good);
    auto& client_ca = served.settings.listeners[0].tls.client_ca;
    const auto with = [&](const std::string& content) {
      client_ca = served.folder.write("clients.crt", content);
      return served.check();
    };
    const auto until = [](std::chrono::seconds end) {
      return authority().issue({.name = "clients", .authority = true, .from = -10 * kDay, .until = end}).certificate;
    };
    CHECK(with(until(100 * kDay)).empty());
    CHECK(with(until(100 * kDay) + until(10 * kDay)) == Complaints{"warning certificates.expiry"});
    CHECK(with(until(-kDay)) == Complaints{"problem certificates.expiry"});
    CHECK(with("hello\n") == Complaints{"problem certificates.files"});
    client_ca = served.folder.path("none");
    CHECK(served.check() == Complaints{"problem certificates.files"});
  }
  SECTION("a proxy has the name") {
    Served served(good, "https://outside.test");
    CHECK(served.check() == Complaints{"problem certificates.names"});
    served.settings.listeners.push_back({});
    served.settings.listeners.back().tls_elsewhere = true;
    CHECK(served.check().empty());
  }
  SECTION("an address for a name") {
    CHECK(Served(authority().issue(named("IP:192.0.2.1")), "https://192.0.2.1:5000").check().empty());
    CHECK(Served(authority().issue(named("IP:::1")), "https://[::1]:5000").check().empty());
  }
}

TEST_CASE("each risk of the settings is told") {
  struct Row {
    std::string name;
    void (*stage)(config::Settings&);
    Complaints said;
  };
  const Row rows[] = {
      {"as they are", [](auto&) {}, {}},
      {"open to all, in clear", [](auto& s) { s.listeners[0].address = "0.0.0.0:5000"; }, {"warning settings.accounts", "warning settings.tls"}},
      {"accounts on a wildcard without a name",
       [](auto& s) { s.listeners[0].address = "[::]:5000", s.listeners[0].tls.on = true, s.auth.users = true; },
       {"warning settings.public_url"}},
      {"all as it should be",
       [](auto& s) { s.listeners[0].address = "0.0.0.0:5000", s.listeners[0].tls.on = true, s.auth.users = true, s.public_url = "https://r"; },
       {}},
      {"a proxy before a loopback without accounts", [](auto& s) { s.public_url = "https://r.test"; }, {"warning settings.accounts"}},
      {"health for all", [](auto& s) { s.listeners.emplace_back().address = "0.0.0.0:9090", s.listeners[1].serve = {"health"}; }, {}},
      {"debug", [](auto& s) { s.log.level = "debug"; }, {"warning settings.log"}},
      {"no grace", [](auto& s) { s.collection.grace = Seconds(60); }, {"warning settings.collection"}},
      {"no undo", [](auto& s) { s.undo.window = Seconds(0); }, {"warning settings.undo"}},
      {"a directory in clear", [](auto& s) { s.auth.ldap.on = true, s.auth.ldap.start_tls = false, s.auth.ldap.url = {"ldap://d"}; }, {"warning settings.ldap"}},
      {"a directory over TLS", [](auto& s) { s.auth.ldap.on = true, s.auth.ldap.start_tls = false, s.auth.ldap.url = {"ldaps://d"}; }, {}},
      {"an issuer in clear, anywhere",
       [](auto& s) { s.auth.oidc.emplace_back().allow_http = true, s.auth.oidc[0].reach = "anywhere"; },
       {"warning settings.oidc", "warning settings.oidc"}},
      {"a secret that is not there", [](auto& s) { s.auth.setup_secret_file = "/nonexistent/x"; }, {"problem settings.files"}},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    config::Settings settings;
    row.stage(settings);
    Findings findings;
    check_settings(settings, findings);
    CHECK(complaints(findings) == row.said);
  }
  const test::Folder folder;
  config::Settings settings;
  settings.auth.htpasswd = folder.write("htpasswd", "x");
  Findings open, closed;
  REQUIRE(::chmod(settings.auth.htpasswd.c_str(), 0644) == 0);
  check_settings(settings, open);
  CHECK(complaints(open) == Complaints{"warning settings.files"});
  REQUIRE(::chmod(settings.auth.htpasswd.c_str(), 0640) == 0);
  check_settings(settings, closed);
  CHECK(complaints(closed).empty());
}

TEST_CASE("each fault of a data directory is told") {
  const test::Folder folder;
  config::Settings settings;
  settings.data.directory = folder.path("data");
  const auto check = [&](DataFacts* facts = nullptr) {
    Findings findings;
    const auto found = check_data(settings, findings);
    if (facts != nullptr) *facts = found;
    return complaints(findings);
  };
  CHECK(check().empty());
  CHECK(!fs::exists(settings.data.directory));
  REQUIRE(::mkdir(settings.data.directory.c_str(), 0700) == 0);
  CHECK(check().empty());
  REQUIRE(::chmod(settings.data.directory.c_str(), 0755) == 0);
  CHECK(check() == Complaints{"warning data.mode"});
  REQUIRE(::chmod(settings.data.directory.c_str(), 0700) == 0);
  fs::create_directory(folder.path("data/blobs"));
  CHECK(check() == Complaints{"problem data.index"});
  fs::create_directory(folder.path("data/index"));
  folder.write("data/index/CURRENT", "MANIFEST-000001\n");
  DataFacts facts;
  CHECK(check(&facts).empty());
  CHECK(!facts.held);

  // Another process has the index open, and asking does not take its lock.
  folder.write("data/index/LOCK", "");
  int ready[2], end[2];
  REQUIRE((::pipe(ready) == 0 && ::pipe(end) == 0));
  const pid_t child = ::fork();
  if (child == 0) {
    const int lock = ::open((settings.data.directory + "/index/LOCK").c_str(), O_RDWR);
    struct flock wish {};
    wish.l_type = F_WRLCK;
    char byte = ::fcntl(lock, F_SETLK, &wish) == 0 ? 'y' : 'n';
    (void)!::write(ready[1], &byte, 1);
    ::close(end[1]);
    (void)!::read(end[0], &byte, 1);
    ::_exit(0);
  }
  char byte = 0;
  REQUIRE(::read(ready[0], &byte, 1) == 1);
  CHECK(byte == 'y');
  CHECK(check(&facts).empty());
  CHECK(facts.held);
  CHECK(facts.running == child);
  ::close(end[1]);
  ::waitpid(child, nullptr, 0);
  for (const int one : {ready[0], ready[1], end[0]}) ::close(one);

  settings.data.directory = folder.path("none/data");
  CHECK(check() == Complaints{"problem data.directory"});
  settings.data.directory = folder.write("file", "x");
  CHECK(check() == Complaints{"problem data.directory"});
}

TEST_CASE("doctor ends with 8 when there is a problem, and says it in both formats") {
  const test::Folder folder;
  const auto good = std::vector<std::string>{"doctor", "--offline", "--data", folder.path("data"), "-o", "json"};
  const auto done = run_as({}, good);
  INFO(done.out << done.err);
  const auto answer = nlohmann::json::parse(done.out);
  CHECK(answer["findings"].size() > 6);
  CHECK((done.code == kCheckFailed) == (answer["verdict"] == "problem"));

  const auto settings = folder.write("berth.yaml", "log: {level: loud}\nlimts: {}\n");
  const auto wrong = run_as({}, {"doctor", "--offline", "--config", settings});
  CHECK(wrong.code == kCheckFailed);
  CHECK(wrong.out.find("problem  settings.valid") != wrong.out.npos);
  CHECK(wrong.out.find("berth.yaml:2:1: limts: unknown key") != wrong.out.npos);
  CHECK(wrong.out.find("machine.kernel") != wrong.out.npos);
  CHECK(wrong.out.find("2 problems, ") != wrong.out.npos);
  CHECK(run_as({}, {"doctor", "--url", "r.test"}).code == kUsage);
  CHECK(run_as({}, {"doctor", "--timeout", "0s"}).code == kUsage);
}
