// The lists of maps, and the maps that need not be there.
#include "config/key_tables.h"

namespace berth::config {
namespace {

/// `kGet` takes the owner and answers a reference to its vector.
template <auto kGet>
struct ListCalls {
  static std::size_t size(void* owner) { return kGet(owner).size(); }
  static void* at(void* owner, std::size_t index) { return &kGet(owner).at(index); }
  static void* add(void* owner) { return &kGet(owner).emplace_back(); }
  static void clear(void* owner) { kGet(owner).clear(); }
};

std::vector<ListenerSettings>& listeners_of(void* owner) { return static_cast<Settings*>(owner)->listeners; }
std::vector<OidcSettings>& oidc_of(void* owner) { return static_cast<Settings*>(owner)->auth.oidc; }
std::vector<OidcRuleSettings>& rules_of(void* owner) { return static_cast<OidcSettings*>(owner)->rules; }
std::vector<OidcRoleSettings>& rule_roles_of(void* owner) { return static_cast<OidcRuleSettings*>(owner)->roles; }
std::vector<CertificateSettings>& certificates_of(void* owner) {
  return static_cast<Settings*>(owner)->auth.certificates;
}
std::vector<RoleSettings>& roles_of(void* owner) { return static_cast<Settings*>(owner)->roles; }
std::vector<GrantSettings>& grants_of(void* owner) { return static_cast<Settings*>(owner)->grants; }

template <auto kGet>
constexpr List list_of(std::string_view path, std::size_t count_max, std::string_view required,
                       std::string_view example) {
  using Calls = ListCalls<kGet>;
  return {path, count_max, required, example, &Calls::size, &Calls::at, &Calls::add, &Calls::clear};
}

constexpr List with(List list, std::size_t count_min, bool live, std::string_view help) {
  list.count_min = count_min;
  list.live = live;
  list.help = help;
  return list;
}

constexpr List kLists[] = {
    with(list_of<listeners_of>("listeners[]", kListenersMax, "",
                               "{address: \"127.0.0.1:5000\", serve: [registry, health, metrics]}"),
         1, false,
         "Where berth listens. An address beyond loopback serves the registry only with TLS and accounts, unless "
         "`insecure` says otherwise."),
    with(list_of<oidc_of>("auth.oidc[]", 32, "name issuer audience rules",
                          "{name: github, issuer: \"https://token.actions.githubusercontent.com\", audience: "
                          "\"https://registry.example.com\", rules: [{claims: {repository: \"example/*\"}, groups: "
                          "[ci]}]}"),
         0, false, "Issuers of OpenID Connect whose tokens are a credential by themselves."),
    with(list_of<rules_of>("auth.oidc[].rules[]", 256, "claims", "{claims: {sub: \"repo:example/*\"}, groups: [ci]}"), 1,
         false, "Whom the issuer's tokens let in. All rules that match add up; without one a token opens nothing."),
    with(list_of<rule_roles_of>("auth.oidc[].rules[].roles[]", 32, "role repositories",
                                "{role: writer, repositories: \"team/**\"}"),
         0, false, "Roles that a rule gives."),
    with(list_of<certificates_of>("auth.certificates[]", 256, "identity",
                                  "{subject: \"CN=builder,*\", identity: \"robot:builder\"}"),
         0, false,
         "Whom client certificates let in, on listeners that ask for one. The first rule that matches counts; at least "
         "one of `subject` and `san` is needed."),
    with(list_of<roles_of>("roles[]", 256, "name actions", "{name: pusher, actions: [pull, push]}"), 0, true,
         "Named sets of actions, beside the built-in ones and those that are stored."),
    with(list_of<grants_of>("grants[]", 2'000, "subjects repositories",
                            "{subjects: [\"group:dev\"], repositories: [\"team/**\"], role: writer}"),
         0, true, "Who may do what, beside the grants that are stored. Each has either a role or actions."),
};

constexpr Section kSections[] = {
    {.path = "listeners[].tls",
     .on = [](void* owner) { return &static_cast<ListenerSettings*>(owner)->tls.on; },
     .required = "certificate key",
     .help = "A listener speaks TLS when it has this."},
    {.path = "auth.outside_token_server",
     .on = [](void* owner) { return &static_cast<Settings*>(owner)->auth.outside_token_server.on; },
     .required = "realm service issuer",
     .help = "A token server in place of berth's own: what its tokens allow is a right by itself."},
    {.path = "auth.ldap",
     .on = [](void* owner) { return &static_cast<Settings*>(owner)->auth.ldap.on; },
     .required = "url user_base",
     .help = "A directory of users and groups."},
};

}  // namespace

std::span<const List> lists() { return kLists; }
std::span<const Section> sections() { return kSections; }

}  // namespace berth::config
