// /api/v1/read-only, /api/v1/log-level: what is switched while berth runs.
#include "api/switches.h"

#include "api/admin/fields.h"
#include "api/admin/forms.h"
#include "api/admin/handlers.h"
#include "base/log.h"

namespace berth::api::admin {
namespace {

std::string asker(const Context& context) {
  return context.principal.subject.empty() ? "anonymous" : context.principal.subject;
}

Result<Switches*> switches_of(const Context& context) {
  if (context.options.switches == nullptr) return make_error(ErrorCode::unavailable, "nothing can be switched here");
  return context.options.switches;
}

Out form_of(const Switches::ReadOnly& state) {
  Out out;
  out["read_only"] = state.on;
  out["by"] = state.by.empty() ? Out() : Out(state.by);
  out["since"] = state.since == WallTime{} ? Out() : admin::form_of(state.since);
  return out;
}

Out level_form() {
  Out out;
  out["level"] = log::to_string(log::level());
  return out;
}

}  // namespace

Task<Response> get_read_only(Context& context) {
  BERTH_CO_TRY(const Switches* switches, switches_of(context));
  co_return json_answer(200, form_of(switches->read_only_state()));
}

Task<Response> set_read_only(Context& context) {
  BERTH_CO_TRY(Switches * switches, switches_of(context));
  BERTH_CO_TRY(const Json body, co_await read_object(context));
  Fields fields(body);
  const auto on = fields.boolean("read_only");
  BERTH_CO_CHECK(fields.done());
  if (!on) co_return make_error(ErrorCode::request_invalid, "read_only is missing; expected true or false");
  switches->set_read_only(*on, asker(context), context.clock.wall());
  co_return json_answer(200, form_of(switches->read_only_state()));
}

Task<Response> get_log_level(Context&) { co_return json_answer(200, level_form()); }

Task<Response> set_log_level(Context& context) {
  BERTH_CO_TRY(const Json body, co_await read_object(context));
  Fields fields(body);
  const auto text = fields.required_text("level");
  BERTH_CO_CHECK(fields.done());
  BERTH_CO_TRY(const auto level, log::parse_level(text));
  const auto before = log::level();
  // Told at whichever of both levels lets it through.
  if (before > log::Level::info) log::set_level(level);
  log::info("the log level was switched",
            {{"before", log::to_string(before)}, {"after", log::to_string(level)}, {"by", asker(context)}});
  log::set_level(level);
  co_return json_answer(200, level_form());
}

}  // namespace berth::api::admin
