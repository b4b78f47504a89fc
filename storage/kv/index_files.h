// The file system as RocksDB sees it for the index.
//
// Logs have zeros written ahead of what is appended. A sync of a file that has grown must also make its new size
// durable: a commit of the file system's journal, or a write of the inode, and a wait for it, after the data. Bytes
// that replace zeros which are on the disk already change no size and no extent, so a sync is one write: it costs half
// the CPU and little more than half the time. The zeros become durable with the change that was written before them. To
// a reader of the log they are its end, as what a crash leaves behind the last change has always been; an orderly close
// cuts them off.
//
// RocksDB's record of its options is not written. Nobody reads it: berth says at each opening which options it wants.
// To write it, to read it back and to compare was a tenth of the time of a start.
//
// While a store is made, a sync of the manifest can serve many families.
#pragma once

#include <memory>
#include <string_view>

namespace rocksdb {
class Env;
}

namespace berth::kv {

/// In the reason that RocksDB gives when it could not write its options.
inline constexpr std::string_view kNoOptionsRecord = "berth records no options";

class IndexFiles {
 public:
  /// `inner`, which outlives it, seen like this; with zeros only where they are wanted.
  IndexFiles(rocksdb::Env& inner, bool zeros_ahead);
  ~IndexFiles();
  rocksdb::Env& env() { return *env_; }
  /// While set, a manifest that there is is not synced: the first sync after it makes all of it durable. For a store that is being
  /// made, of which nobody was told: cut short it lacks families, as it may anyway.
  void hold_manifest(bool held);

 private:
  class Files;
  std::shared_ptr<Files> files_;
  std::unique_ptr<rocksdb::Env> env_;
};

}  // namespace berth::kv
