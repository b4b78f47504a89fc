// /api/v1/robots. A robot has one secret, or two while the one follows the other: add the new one, give it to whoever
// uses it, revoke the old one.
#include "api/admin/fields.h"
#include "api/admin/forms.h"
#include "api/admin/handlers.h"
#include "api/admin/secrets.h"
#include "registry/identities/rules.h"

namespace berth::api::admin {

namespace {

Error no_such_robot() { return make_error(registry::kIdentityUnknown, "there is no such robot"); }

Out shown_once(const registry::Credential& credential, const std::string& text) {
  Out out = form_of(credential);
  out["secret"] = text;
  return out;
}

}  // namespace

Task<Response> list_robots(Context& context) {
  BERTH_CO_TRY(auto asked, page_asked(context));
  BERTH_CO_TRY(const auto page, co_await context.identities().list_robots(asked.n, std::move(asked.last)));
  co_return json_answer(200, page_of(forms_of(page.items), page.more ? page.items.back().name : ""));
}

Task<Response> get_robot(Context& context) {
  BERTH_CO_TRY(const auto robot, co_await context.identities().find_robot(context.target.parts[0]));
  if (!robot) co_return no_such_robot();
  co_return versioned_answer(200, form_of(*robot), robot->version);
}

Task<Response> create_robot(Context& context) {
  BERTH_CO_TRY(const Json body, co_await read_object(context));
  Fields fields(body);
  registry::NewRobot robot;
  robot.name = registry::lower_case(fields.required_text("name"));
  robot.enabled = fields.boolean("enabled").value_or(true);
  robot.description = fields.text("description").value_or("");
  robot.ceiling = fields.ceiling("scope").value_or(registry::Ceiling{});
  robot.expires_at = fields.time("expires_at").value_or(WallTime{});
  const auto secret_expires_at = fields.time("secret_expires_at");
  BERTH_CO_CHECK(fields.done());
  BERTH_CO_CHECK(registry::check_name(robot.name, "name"));
  BERTH_CO_TRY(MadeSecret secret, make_credential(context, auth::SecretKind::robot, {}, secret_expires_at, {}));
  robot.secret = std::move(secret.credential);
  BERTH_CO_TRY(const auto made, co_await context.identities().create_robot(context.actor, std::move(robot)));
  Out out = form_of(made);
  out["secret"] = secret.text;
  co_return created_answer(out, "/api/v1/robots/" + made.name, made.version);
}

Task<Response> update_robot(Context& context) {
  BERTH_CO_TRY(const auto version, if_version(context));
  BERTH_CO_TRY(const Json body, co_await read_object(context));
  Fields fields(body);
  registry::RobotChange change;
  change.enabled = fields.boolean("enabled");
  change.description = fields.text("description");
  change.ceiling = fields.ceiling("scope");
  change.expires_at = fields.time("expires_at");
  BERTH_CO_CHECK(fields.done());
  BERTH_CO_TRY(const auto changed, co_await context.identities().update_robot(
                                       context.actor, context.target.parts[0], std::move(change), version));
  co_return versioned_answer(200, form_of(changed), changed.version);
}

Task<Response> delete_robot(Context& context) {
  BERTH_CO_TRY(const auto version, if_version(context));
  BERTH_CO_CHECK(co_await context.identities().delete_robot(context.actor, context.target.parts[0], version));
  co_return no_content();
}

Task<Response> add_robot_secret(Context& context) {
  BERTH_CO_TRY(const Json body, co_await read_object(context));
  Fields fields(body);
  std::string name = fields.text("name").value_or("");
  const auto expires_at = fields.time("expires_at");
  BERTH_CO_CHECK(fields.done());
  BERTH_CO_TRY(MadeSecret secret,
               make_credential(context, auth::SecretKind::robot, std::move(name), expires_at, {}));
  const std::string robot = registry::lower_case(context.target.parts[0]);
  BERTH_CO_TRY(const auto made, co_await context.identities().add_robot_secret(context.actor, robot,
                                                                               std::move(secret.credential)));
  const std::string path = "/api/v1/robots/" + robot + "/secrets/" + std::to_string(made.id);
  Response response = json_answer(201, shown_once(made, secret.text));
  response.headers.add("Location", path);
  co_return response;
}

Task<Response> revoke_robot_secret(Context& context) {
  BERTH_CO_TRY(const auto id, number_in_path(context.target.parts[1]));
  const std::string owner = registry::robot_subject(registry::lower_case(context.target.parts[0]));
  BERTH_CO_CHECK(
      co_await context.identities().revoke(context.actor, registry::CredentialKind::robot_secret, owner, id));
  co_return no_content();
}

}  // namespace berth::api::admin
