// What RocksDB does not do for us when it opens: tell damage in its write-ahead logs from what a power cut leaves.
//
// berth has one writer, and every write is synced before the next begins. So at any crash at most one record, the last,
// was not acknowledged, and it may have reached the disk in part: some of its pages, zeros for others. RocksDB
// tolerates such a record when it is merely short, refuses to open when its middle is missing, and skips pages of zeros
// anywhere without a word. Here the last record is cut off when it is incomplete, and anything wrong that a whole
// record follows is an error: acknowledged changes are damaged.
#pragma once

#include <string>

#include "base/result.h"

namespace rocksdb {
class Env;
}

namespace berth::kv {

/// Looks through every write-ahead log in `directory` (checksums, and that sequence numbers follow each other within a
/// file) and cuts off an incomplete last record, durably and with a line in the log. The caller holds the store's lock.
/// Reads the files once: a tenth of a second for what an unclean end leaves, nothing after an orderly one.
/// Errors: corrupt, io_error.
Result<void> check_wals(rocksdb::Env& env, const std::string& directory);

}  // namespace berth::kv
