// The house's one-way dependencies, read from the includes: base ← oci ← config ← storage ← registry ← auth ← api ←
// server; cli stands beside and sees base and config. A folder may include itself and those below, except that settings
// reach storage, registry, auth and api through their constructors: only server, which assembles the process, reads
// them.
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace berth {
namespace {

namespace fs = std::filesystem;

const std::map<std::string, std::set<std::string>>& allowed() {
  static const std::map<std::string, std::set<std::string>> table = {
      {"base", {"base"}},
      {"oci", {"oci", "base"}},
      {"config", {"config", "base"}},
      {"storage", {"storage", "oci", "base"}},
      {"registry", {"registry", "storage", "oci", "base"}},
      {"auth", {"auth", "registry", "storage", "oci", "base"}},
      {"api", {"api", "auth", "registry", "storage", "oci", "base"}},
      {"server", {"server", "api", "auth", "registry", "storage", "config", "oci", "base"}},
      {"cli", {"cli", "config", "base"}},
  };
  return table;
}

std::string folder_of(const std::string& path) { return path.substr(0, path.find('/')); }

/// The target of an include line, with the quote or bracket that opens it in front.
std::optional<std::string> include_of(std::string_view line) {
  const auto skip_blanks = [&line] { line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size())); };
  skip_blanks();
  if (!line.starts_with('#')) return std::nullopt;
  line.remove_prefix(1);
  skip_blanks();
  if (!line.starts_with("include")) return std::nullopt;
  line.remove_prefix(std::string_view("include").size());
  skip_blanks();
  if (line.empty() || (line[0] != '"' && line[0] != '<')) return std::nullopt;
  const std::size_t end = line.find(line[0] == '"' ? '"' : '>', 1);
  if (end == std::string_view::npos) return std::nullopt;
  return std::string(line.substr(0, end));
}

/// Why `file` must not have this include; empty when it may. `file` is a path from the root of the source tree,
/// `include` is what include_of() gives.
std::optional<std::string> complaint(const std::string& file, const std::string& include) {
  const std::string target = include.substr(1);
  const std::string from = folder_of(file);
  if (target.starts_with("boost/beast") && from != "server" && from != "cli") {
    return "only server/ and cli/ may know Beast";
  }
  if (target.starts_with("rocksdb/") && !(file.starts_with("storage/kv/") && file.ends_with(".cpp"))) {
    return "only the sources in storage/kv/ may know RocksDB";
  }
  if (include[0] != '"') return std::nullopt;
  const std::string to = folder_of(target);
  if (target.find("..") != std::string::npos || to == target || !allowed().contains(to)) {
    return "includes are written from the root and name a folder of the house";
  }
  if (file == "server/main.cpp" || allowed().at(from).contains(to)) return std::nullopt;
  return from + "/ must not know " + to + "/";
}

struct Found {
  std::size_t files = 0;
  std::size_t includes = 0;
  std::vector<std::string> complaints;
};

void read_includes(const fs::path& root, const std::string& file, Found& found) {
  ++found.files;
  std::ifstream stream(root / file);
  std::string line;
  for (std::size_t number = 1; std::getline(stream, line); ++number) {
    const auto include = include_of(line);
    if (!include) continue;
    ++found.includes;
    const std::string where = file + ":" + std::to_string(number) + ": ";
    const std::string target = include->substr(1);
    if (const auto why = complaint(file, *include)) found.complaints.push_back(where + target + ": " + *why);
    if (include->front() == '"' && !fs::exists(root / target))
      found.complaints.push_back(where + "there is no " + target);
  }
}

Found walk(const fs::path& root) {
  Found found;
  for (const auto& [folder, targets] : allowed()) {
    if (!fs::exists(root / folder)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
      const auto extension = entry.path().extension();
      if (extension != ".h" && extension != ".cpp") continue;
      read_includes(root, fs::relative(entry.path(), root).generic_string(), found);
    }
  }
  return found;
}

}  // namespace

TEST_CASE("no include points up") {
  const Found found = walk(BERTH_SOURCE_DIR);
  for (const auto& text : found.complaints) FAIL_CHECK(text);
  // The walk has seen the tree at all.
  CHECK(found.files > 20);
  CHECK(found.includes > 100);
}

TEST_CASE("the walk of the includes would catch a wrong arrow") {
  struct Row {
    const char* file;
    const char* line;
    bool allowed;
  };
  const Row rows[] = {
      {"base/task.h", R"(#include "base/result.h")", true},
      {"base/task.h", R"(#include "oci/digest.h")", false},
      {"oci/manifest.cpp", R"(#include "base/log.h")", true},
      {"oci/manifest.cpp", R"(#include "storage/kv/kv.h")", false},
      {"storage/kv/kv.h", R"(#include "registry/keys.h")", false},
      {"storage/blobs/local.cpp", R"(#include "config/settings.h")", false},
      {"registry/commands/x.cpp", R"(  #  include   "api/http.h")", false},
      {"registry/commands/x.cpp", R"(#include "storage/kv/kv.h")", true},
      {"api/routes.cpp", R"(#include "server/server.h")", false},
      {"api/routes.cpp", R"(#include "auth/policy.h")", true},
      {"server/session.cpp", R"(#include "api/http.h")", true},
      {"server/session.cpp", R"(#include "cli/serve.h")", false},
      {"server/main.cpp", R"(#include "cli/serve.h")", true},
      {"server/main.cpp", R"(#include "config/settings.h")", true},
      {"server/assemble.h", R"(#include "config/settings.h")", true},
      {"api/pages.cpp", R"(#include "config/settings.h")", false},
      {"cli/health.cpp", R"(#include "config/settings.h")", true},
      {"cli/health.cpp", R"(#include "registry/registry.h")", false},
      {"oci/name.cpp", R"(#include "digest.h")", false},
      {"oci/name.cpp", R"(#include "../base/result.h")", false},
      {"oci/name.cpp", R"(#include "oci/../api/http.h")", false},
      {"server/session.cpp", "#include <boost/beast/http.hpp>", true},
      {"cli/health.cpp", "#include <boost/beast/core.hpp>", true},
      {"api/http.h", "#include <boost/beast/http.hpp>", false},
      {"registry/upload.cpp", "#include <boost/beast/core.hpp>", false},
      {"storage/kv/rocksdb_kv.cpp", "#include <rocksdb/db.h>", true},
      {"storage/kv/rocksdb_kv.h", "#include <rocksdb/db.h>", false},
      {"storage/blobs/local.cpp", "#include <rocksdb/env.h>", false},
      {"registry/registry.cpp", R"(#include "rocksdb/db.h")", false},
      {"base/result.h", "#include <string>", true},
  };
  for (const auto& row : rows) {
    INFO(row.file << ": " << row.line);
    const auto include = include_of(row.line);
    REQUIRE(include);
    CHECK(complaint(row.file, *include).has_value() == !row.allowed);
  }
  for (const char* line : {"", "int x;", "// #include \"api/http.h\"", "#define X", "#include X"}) {
    INFO(line);
    CHECK_FALSE(include_of(line));
  }
}

TEST_CASE("the walk reads files from the disk and reports where") {
  const fs::path root = fs::temp_directory_path() / ("berth-tree-" + std::to_string(::getpid()));
  fs::create_directories(root / "base");
  fs::create_directories(root / "oci");
  std::ofstream(root / "oci/digest.h") << "#pragma once\n";
  std::ofstream(root / "base/bad.h") << "#pragma once\n\n#include \"oci/digest.h\"\n#include \"base/gone.h\"\n";
  const Found found = walk(root);
  fs::remove_all(root);
  REQUIRE(found.complaints.size() == 2);
  CHECK(found.complaints[0].starts_with("base/bad.h:3: oci/digest.h"));
  CHECK(found.complaints[1].starts_with("base/bad.h:4: there is no base/gone.h"));
}

}  // namespace berth
