// Reading what somebody wants from the JSON that says it: every member is looked at, and the first thing that is wrong
// is told by the name of its member.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "api/context.h"
#include "base/env.h"
#include "base/result.h"
#include "base/task.h"
#include "registry/identities/records.h"

namespace berth::api::admin {

using Json = nlohmann::json;

/// The body of a request as one JSON object. Errors: request_invalid (none, none that can be read, not
/// `Content-Type: application/json`, too large), unavailable (too many at once); those of the body.
Task<Json> read_object(Context& context);

/// One object. Each getter answers what stands there, or nothing when nothing does; what stands there in another form
/// is kept as the problem that done() answers. Nothing that was read may be used before done().
class Fields {
 public:
  /// The object outlives it. `where` is put in front of the names of members: "scope[0].".
  explicit Fields(const Json& object, std::string where = {});

  std::optional<std::string> text(std::string_view name);
  std::string required_text(std::string_view name);
  std::optional<bool> boolean(std::string_view name);
  std::optional<std::vector<std::string>> texts(std::string_view name);
  std::vector<std::string> required_texts(std::string_view name);
  /// RFC 3339, or null for never, which is WallTime{}.
  std::optional<WallTime> time(std::string_view name);
  /// A list of names of actions; as a mask.
  std::optional<registry::ActionMask> actions(std::string_view name);
  registry::ActionMask required_actions(std::string_view name);
  /// A list of {repositories, actions}, or null for none.
  std::optional<registry::Ceiling> ceiling(std::string_view name);
  /// True when it is there and null, and counts it as read.
  bool is_null(std::string_view name);

  /// Errors: request_invalid: a member of the wrong form, one that is missing, one that nobody knows.
  Result<void> done();

 private:
  const Json* find(std::string_view name);
  void refuse(std::string_view name, std::string_view what);

  const Json& object_;
  const std::string where_;
  std::set<std::string, std::less<>> seen_;
  std::optional<Error> problem_;
};

/// "2026-11-21T10:00:00Z", also with a fraction and an offset. Empty: it is none, or before 1970.
std::optional<WallTime> parse_rfc3339(std::string_view text);

}  // namespace berth::api::admin
