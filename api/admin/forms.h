// What identities look like in JSON.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/admin/manage.h"
#include "auth/policy.h"
#include "registry/identities/values.h"

namespace berth::api::admin {

/// RFC 3339, or null for WallTime{}.
Out form_of(WallTime time);
Out form_of_actions(registry::ActionMask actions);
Out form_of_actions(auth::Actions actions);
Out form_of(const registry::Ceiling& ceiling);
Out form_of(const auth::Ceiling& ceiling);
Out form_of(const registry::User& user);
Out form_of(const registry::Group& group);
Out form_of(const registry::Credential& credential);
Out form_of(const registry::Robot& robot);
Out form_of(const registry::StoredGrant& grant);
/// One that the configuration gives.
Out form_of_configured(const auth::Grant& grant, const std::string& id);

/// A list of what each item of it looks like.
template <class Items>
Out forms_of(const Items& items) {
  Out list = Out::array();
  for (const auto& item : items) list.push_back(form_of(item));
  return list;
}

}  // namespace berth::api::admin
