// The handlers of management. They go into the route table through manage<>().
#pragma once

#include "api/context.h"
#include "base/task.h"

namespace berth::api::admin {

// about.cpp
Task<Response> get_version(Context& context);
Task<Response> list_certificates(Context& context);
Task<Response> get_openapi(Context& context);

// switches.cpp
Task<Response> get_read_only(Context& context);
Task<Response> set_read_only(Context& context);
Task<Response> get_log_level(Context& context);
Task<Response> set_log_level(Context& context);

// setup.cpp
Task<Response> set_up(Context& context);

// me.cpp
Task<Response> get_me(Context& context);
Task<Response> explain_access(Context& context);

// tokens.cpp
Task<Response> list_own_tokens(Context& context);
Task<Response> create_own_token(Context& context);
Task<Response> revoke_own_token(Context& context);
Task<Response> list_tokens(Context& context);
Task<Response> revoke_token(Context& context);
Task<Response> revoke_tokens(Context& context);

// users.cpp
Task<Response> list_users(Context& context);
Task<Response> get_user(Context& context);
Task<Response> create_user(Context& context);
Task<Response> update_user(Context& context);
Task<Response> delete_user(Context& context);

// groups.cpp
Task<Response> list_groups(Context& context);
Task<Response> get_group(Context& context);
Task<Response> list_group_users(Context& context);
Task<Response> create_group(Context& context);
Task<Response> update_group(Context& context);
Task<Response> delete_group(Context& context);

// robots.cpp
Task<Response> list_robots(Context& context);
Task<Response> get_robot(Context& context);
Task<Response> create_robot(Context& context);
Task<Response> update_robot(Context& context);
Task<Response> delete_robot(Context& context);
Task<Response> add_robot_secret(Context& context);
Task<Response> revoke_robot_secret(Context& context);

// roles.cpp
Task<Response> list_roles(Context& context);
Task<Response> get_role(Context& context);
Task<Response> create_role(Context& context);
Task<Response> update_role(Context& context);
Task<Response> delete_role(Context& context);

// grants.cpp
Task<Response> list_grants(Context& context);
Task<Response> get_grant(Context& context);
Task<Response> create_grant(Context& context);
Task<Response> replace_grant(Context& context);
Task<Response> delete_grant(Context& context);

// repositories.cpp
Task<Response> list_visible_repositories(Context& context);

}  // namespace berth::api::admin
