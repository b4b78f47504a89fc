// A kind of record, loaded whole: for checks of all there is, never for a running server.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "registry/records.h"
#include "storage/kv/kv.h"

namespace berth::registry {

template <class Key>
using Table = std::map<Key, typename Key::Record>;

/// Everything under a prefix. Errors: those of the reader, corrupt.
template <class Key>
Result<void> load(const kv::Reader& reader, const std::string& prefix, Table<Key>& table) {
  BERTH_TRY(const auto cursor, reader.scan(Key::kFamily, kv::prefix_range(prefix)));
  for (; cursor->valid(); cursor->next()) {
    BERTH_TRY(Key key, Key::decode(cursor->key()));
    BERTH_TRY(auto record, decode<typename Key::Record>(cursor->value()));
    table.emplace(std::move(key), std::move(record));
  }
  return cursor->status();
}

/// Null when it is not there.
template <class Key>
const typename Key::Record* find(const Table<Key>& table, const Key& key) {
  const auto found = table.find(key);
  return found == table.end() ? nullptr : &found->second;
}

}  // namespace berth::registry
