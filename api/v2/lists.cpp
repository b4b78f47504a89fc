// The documents: ping, catalog, tags and referrers. Each costs its page.
#include "api/handlers.h"
#include "api/pages.h"
#include "auth/access_control.h"
#include "base/json_text.h"

namespace berth::api {

namespace {

constexpr std::string_view kIndexType = "application/vnd.oci.image.index.v1+json";

void append_json_array(std::string& out, const std::vector<std::string>& texts) {
  out += '[';
  for (const std::string& text : texts) {
    if (&text != texts.data()) out += ',';
    append_json_string(out, text);
  }
  out += ']';
}

}  // namespace

// Clients learn here whether and how to sign in, and some never do after a 200: so whoever shows no credential hears it,
// also where much may be pulled without one. Any good credential will do, and a token that gives nothing as well.
Task<Response> ping(Context& context) {
  const bool accounts = context.backends->access != nullptr && context.backends->access->enabled();
  if (accounts && context.principal.method == auth::kAnonymous) {
    co_return make_error(ErrorCode::unauthorized, "sign in, or ask for a token without doing so");
  }
  co_return text_response(200, "{}", "application/json");
}

Task<Response> list_repositories(Context& context) {
  BERTH_CO_TRY(const std::size_t n,
               page_size(context.query, context.options.catalog_page_default, context.options.page_entries_max));
  const auto visibility = context.policy.catalog_visibility(context.principal);
  std::string last(context.query.get("last").value_or(""));
  BERTH_CO_TRY(const auto page,
               co_await context.registry().list_repositories(context.actor, visibility, n, std::move(last)));
  std::string body = R"({"repositories":)";
  append_json_array(body, page.names);
  body += '}';
  Response response = text_response(200, std::move(body), "application/json");
  if (page.more && !page.names.empty()) add_next_link(response, context, "/v2/_catalog", n, page.names.back());
  co_return response;
}

Task<Response> list_tags(Context& context) {
  BERTH_CO_TRY(const std::size_t n,
               page_size(context.query, context.options.page_entries_max, context.options.page_entries_max));
  std::string last(context.query.get("last").value_or(""));
  // n=0 asks too: an unknown repository is a 404 whatever the page.
  BERTH_CO_TRY(const auto page,
               co_await context.registry().list_tags(context.actor, context.repository(), n, std::move(last)));
  std::string body = R"({"name":)";
  append_json_string(body, context.repository().text());
  body += R"(,"tags":)";
  append_json_array(body, page.tags);
  body += '}';
  Response response = text_response(200, std::move(body), "application/json");
  if (page.more && !page.tags.empty()) {
    add_next_link(response, context, "/v2/" + context.repository().text() + "/tags/list", n, page.tags.back());
  }
  co_return response;
}

Task<Response> list_referrers(Context& context) {
  // Clients read at most 4 MiB and not all follow a Link, so without `n` only the size ends a page: no page holds more
  // entries than bytes.
  const std::size_t bytes_max = context.options.referrers_bytes_max;
  BERTH_CO_TRY(const std::size_t n, page_size(context.query, bytes_max, bytes_max));
  std::vector<std::string> types;
  for (const std::string_view type : context.query.all("artifactType")) {
    if (!type.empty()) types.emplace_back(type);
  }
  const bool filtered = !types.empty();
  std::string cursor(context.query.get("last").value_or(""));
  BERTH_CO_TRY(const auto page,
               co_await context.registry().list_referrers(context.actor, context.repository(), context.target.subject,
                                                          std::move(types), n, bytes_max, std::move(cursor)));
  std::string body = R"({"schemaVersion":2,"mediaType":")";
  body += kIndexType;
  body += R"(","manifests":[)";
  for (const std::string& descriptor : page.descriptors) {
    if (&descriptor != page.descriptors.data()) body += ',';
    body += descriptor;
  }
  body += "]}";
  Response response = text_response(200, std::move(body), std::string(kIndexType));
  if (filtered) response.headers.add("OCI-Filters-Applied", "artifactType");
  if (!page.next_cursor.empty() && n > 0) {
    const std::string path = "/v2/" + context.repository().text() + "/referrers/" + context.target.subject;
    add_next_link(response, context, path, n, page.next_cursor);
  }
  co_return response;
}

}  // namespace berth::api
