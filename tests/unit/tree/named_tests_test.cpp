// The documents name tests as proof; a test that was renamed or removed proves nothing.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <string>

namespace {

const std::filesystem::path kRoot = BERTH_SOURCE_DIR;

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// All sources of a test program.
std::string sources(const std::string& folder) {
  std::string all;
  const auto path = kRoot / "tests/unit" / folder;
  if (!std::filesystem::exists(path)) return all;
  for (const auto& entry : std::filesystem::directory_iterator(path)) all += read(entry.path());
  return all;
}

}  // namespace

TEST_CASE("every test that the documents name is there") {
  const std::string text = std::regex_replace(read(kRoot / "docs/development.md"), std::regex("\\s+"), " ");
  std::size_t cases = 0, files = 0;
  // unit_FOLDER "a case", "another one"
  const std::regex cited("unit_([a-z]+) (\"[^\"]+\"(, \"[^\"]+\")*)"), quoted("\"([^\"]+)\"");
  for (auto match = std::sregex_iterator(text.begin(), text.end(), cited); match != std::sregex_iterator(); ++match) {
    const std::string code = sources((*match)[1]), names = (*match)[2];
    for (auto name = std::sregex_iterator(names.begin(), names.end(), quoted); name != std::sregex_iterator(); ++name) {
      INFO("unit_" << (*match)[1] << ": " << (*name)[1]);
      if ((*name)[1] == "…") continue;  // the example
      CHECK(code.find("TEST_CASE(\"" + (*name)[1].str() + "\"") != std::string::npos);
      ++cases;
    }
  }
  const std::regex file("protocol/([a-z_]+\\.http)");
  for (auto match = std::sregex_iterator(text.begin(), text.end(), file); match != std::sregex_iterator(); ++match) {
    INFO((*match)[0]);
    CHECK(std::filesystem::exists(kRoot / "tests/protocol" / (*match)[1].str()));
    ++files;
  }
  CHECK(cases > 20);
  CHECK(files > 3);
}
