// Blob bytes by name of place: what survives a crash, without an idea of repositories. The index (RocksDB) is the one
// authority on which places are in use; a file that no record names is garbage.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "oci/digest.h"
#include "storage/file_system.h"

namespace berth::storage {

/// Where a blob's bytes are on this node: `<bucket>/<algorithm>-<hex>.<upload id>`. Never used twice.
struct Place {
  std::string name;
  bool operator==(const Place&) const = default;
};

/// Bytes on their way in. Owned by one upload session; one call at a time; every call blocks.
class Staging {
 public:
  virtual ~Staging() = default;
  /// The bytes may stay in memory until flush() or one of the others; they are part of the content all the same. After
  /// storage_full what was there before still is.
  virtual Result<void> write(Bytes bytes, std::uint64_t offset) = 0;
  /// Puts all that write() took into the file, where a killed process leaves it.
  virtual Result<void> flush() = 0;
  virtual bool unflushed() const = 0;
  virtual Result<std::size_t> read(std::span<std::byte> out, std::uint64_t offset) = 0;
  virtual Result<void> truncate(std::uint64_t size) = 0;
  virtual Result<std::uint64_t> size() = 0;
};

struct StagedUpload {
  std::string upload_id;
  std::string sidecar;       ///< as given to create()
  std::uint64_t size = 0;    ///< bytes that are there
};

/// Bytes open for reading; keeps its descriptor, so that unlinking does not disturb it.
struct OpenBlob {
  Fd fd;
  std::uint64_t size = 0;
  FileSystem* files = &posix_file_system();  ///< to be read through, but for what is in memory already; outlives it
};

/// Thread-safe; every call blocks.
class BlobStore {
 public:
  virtual ~BlobStore() = default;

  /// A new staging file with its sidecar. Errors: storage_full, io_error.
  virtual Result<std::unique_ptr<Staging>> create(const std::string& upload_id, const std::string& sidecar) = 0;
  /// The staging file of a session that outlived a restart.
  virtual Result<std::unique_ptr<Staging>> reopen(const std::string& upload_id) = 0;
  virtual Result<void> discard(const std::string& upload_id) = 0;
  /// The sessions that lie in `uploads/`: looked at once, at start.
  virtual Result<std::vector<StagedUpload>> staged() = 0;

  /// Steps 3b to 5 of a commit: sync the bytes, give them their final name, sync the folder (one sync serves all who
  /// wait). The staging object is used up and its sidecar removed. On an error the staging file may or may not be
  /// there still; nothing names it.
  virtual Result<Place> publish(std::unique_ptr<Staging> staging, const std::string& upload_id,
                                const oci::Digest& digest) = 0;
  /// Errors: corrupt when there is no such file (a record that names it is wrong), io_error, unavailable.
  virtual Result<OpenBlob> open(const Place& place) = 0;
  /// Removing what is gone already succeeds. A power cut may bring the file back until sync_removals() has succeeded.
  virtual Result<void> remove(const Place& place) = 0;
  /// What remove() has taken from these places stays away. Errors: storage_full, io_error.
  virtual Result<void> sync_removals(std::span<const Place> places) = 0;
  /// The places of the buckets that were in use recently: after a crash those hold whatever garbage there is.
  virtual Result<std::vector<Place>> recent_places() = 0;

  virtual Result<SpaceInfo> space() = 0;
};

/// When large blobs go past the page cache (write_behind.h).
struct DirectWritesOptions {
  bool enabled = true;
  std::uint64_t from_bytes = 4 << 20;            ///< what comes before this place in a file goes the usual way
  std::size_t chunk_bytes = 1 << 20;             ///< a multiple of kDirectAlignment
  std::size_t streams_max = 16;                  ///< files at once; the others go the usual way
  std::size_t threads = 4;
  std::uint64_t pace_min_bytes = 200 << 20;      ///< a second; below it the disk counts as slow
  std::uint64_t pace_window_bytes = 32 << 20;    ///< measured over so many
  std::chrono::seconds slow_for{60};             ///< then it is tried again
};

struct LocalBlobStoreOptions {
  std::string directory;                       ///< holds blobs/ and uploads/; made when missing
  std::uint32_t bucket_files_max = 10'000;
  std::uint64_t writeback_bytes = 8 << 20;     ///< early write-back every so many bytes
  DirectWritesOptions direct = {};             ///< for large blobs
};
/// Errors: io_error.
Result<std::unique_ptr<BlobStore>> open_local_blob_store(FileSystem& files, LocalBlobStoreOptions options);

/// Keeps everything in memory (memfd for open()). For the simulation and for tests of what stands above.
std::unique_ptr<BlobStore> make_memory_blob_store();

}  // namespace berth::storage
