#include "registry/commands/extend_link.h"

#include "registry/commands/links.h"
#include "registry/commands/repositories.h"

namespace berth::registry {

Result<ExtendLink::Outcome> ExtendLink::apply(kv::Transaction& transaction) {
  Index index(transaction, CommandKind::extend_link, context);
  const Error absent = make_error(ErrorCode::blob_unknown, "this repository has no such blob");
  BERTH_TRY(const auto target, find_repository(index, name_space, repository.text()));
  if (!target) return absent;
  BERTH_TRY(auto link, index.get(LinkKey{target->id, digest}));
  if (!link || link->state != LinkState::visible) return absent;
  if (!wants_extension(link->due, context.uptime, periods.grace)) return Outcome{};

  BERTH_TRY(const bool held, has_edge(index, target->id, digest));
  if (held) {  // needs no lease: remember it, so that nobody asks again
    link->due = Uptime{0};
    index.put(LinkKey{target->id, digest}, *link);
  } else {
    start_grace(index, target->id, digest, *link, periods);
  }
  index.record_change();
  return Outcome{};
}

}  // namespace berth::registry
