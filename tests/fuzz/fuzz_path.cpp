// Paths and queries of any bytes: whatever gets through the router is a value that could be stored as it is.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "api/query.h"
#include "api/routes.h"

using namespace berth;

namespace {

void must(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto method = static_cast<api::Method>(data[0] % 8);
  const std::string_view target(reinterpret_cast<const char*>(data + 1), size - 1);
  const std::size_t query_at = target.find('?');

  const auto match = api::match_path(method, target.substr(0, query_at));
  if (match && match->route != nullptr) {
    must(match->route->path == match->path);
    auto repository = api::parse_repository(*match);
    if (repository && *repository) {
      const std::string& name = (*repository)->text();
      must(name.size() <= oci::RepositoryName::kSizeMax);
      must(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789._-/") == std::string::npos);
      must(name.find("..") == std::string::npos && name.find("//") == std::string::npos);
    }
    if (repository) {
      const auto parsed = api::parse_target(*match, *std::move(repository));
      if (parsed && !parsed->subject.empty()) must(oci::is_digest_grammar(parsed->subject));
    }
  }
  if (query_at == std::string_view::npos) return 0;
  const auto query = api::Query::parse(target.substr(query_at + 1));
  if (!query) return 0;
  must(query->items().size() <= api::Query::kParametersMax);
  for (const auto& [name, value] : query->items()) {
    must(api::percent_decode(api::percent_encode(value), true) == value);
    must(api::percent_encode(name).find_first_of("\r\n<>;\"&") == std::string::npos);
  }
  return 0;
}
