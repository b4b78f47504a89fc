#include "registry/commands/edges.h"

#include "registry/commands/links.h"

namespace berth::registry {

void add_edges(Index& index, RepositoryId repository, const oci::Digest& parent, const oci::Manifest& manifest) {
  for (const oci::Child& child : manifest.children) {
    if (!child.digest) continue;
    index.put(EdgeKey{*child.digest, repository, parent}, EdgeRecord{child.kind});
    index.put(ChildKey{repository, parent, *child.digest}, EdgeRecord{child.kind});
  }
}

Result<bool> drop_edges(Index& index, RepositoryId repository, const oci::Digest& parent, const Periods& periods,
                        std::size_t& budget) {
  const std::string prefix = ChildKey::prefix(repository, parent);
  BERTH_TRY(const auto keys, keys_with_prefix(index.reader(), ChildKey::kFamily, prefix, budget + 1));
  for (const std::string& key : keys) {
    if (budget == 0) return false;
    --budget;
    BERTH_TRY(const ChildKey edge, ChildKey::decode(key));
    index.erase(edge);
    index.erase(EdgeKey{edge.child, repository, parent});
    BERTH_TRY(const bool held, has_edge(index, repository, edge.child));
    if (held) continue;
    BERTH_TRY(const auto link, index.get(LinkKey{repository, edge.child}));
    if (link) start_grace(index, repository, edge.child, *link, periods);
  }
  return true;
}

}  // namespace berth::registry
