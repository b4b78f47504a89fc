// Files that RocksDB's write-ahead logs lie in, with zeros written ahead of what is appended.
//
// A sync of a file that has grown must also make its new size durable: a commit of the file system's journal, or a write
// of the inode, and a wait for it, after the data. Bytes that replace zeros which are on the disk already change no size
// and no extent, so a sync is one write: it costs half the CPU and little more than half the time. The zeros become
// durable with the change that was written before them. To a reader of the log they are its end, as what a crash leaves
// behind the last change has always been; an orderly close cuts them off.
#pragma once

#include <memory>

namespace rocksdb {
class Env;
}

namespace berth::kv {

/// `inner`, but for the new files whose names end in ".log". It outlives the answer.
std::unique_ptr<rocksdb::Env> zeroed_logs(rocksdb::Env& inner);

}  // namespace berth::kv
