#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <map>
#include <mutex>

#include "storage/blobs/blob_store.h"
#include "storage/blobs/place.h"

namespace berth::storage {
namespace {

constexpr std::uint32_t kBucketFiles = 10'000;

Error absent(const std::string& what) { return error_from_errno(ENOENT, what); }

/// What a staging file is here. One mutex each: a session's calls come one at a time, but staged() looks at all.
struct StagedBytes {
  std::mutex mutex;
  std::vector<std::byte> bytes;
  std::string sidecar;
};

class MemoryStaging final : public Staging {
 public:
  MemoryStaging(std::string upload_id, std::shared_ptr<StagedBytes> file)
      : upload_id_(std::move(upload_id)), file_(std::move(file)) {}

  Result<void> write(Bytes bytes, std::uint64_t offset) override {
    const std::lock_guard lock(file_->mutex);
    if (offset + bytes.size() > file_->bytes.size()) file_->bytes.resize(offset + bytes.size());
    if (!bytes.empty()) std::memcpy(file_->bytes.data() + offset, bytes.data(), bytes.size());
    return {};
  }

  Result<void> flush() override { return {}; }
  bool unflushed() const override { return false; }

  Result<std::size_t> read(std::span<std::byte> out, std::uint64_t offset) override {
    const std::lock_guard lock(file_->mutex);
    if (offset >= file_->bytes.size()) return std::size_t{0};
    const std::size_t size = std::min<std::size_t>(out.size(), file_->bytes.size() - offset);
    if (size != 0) std::memcpy(out.data(), file_->bytes.data() + offset, size);
    return size;
  }

  Result<void> truncate(std::uint64_t size) override {
    const std::lock_guard lock(file_->mutex);
    file_->bytes.resize(size);
    return {};
  }

  Result<std::uint64_t> size() override {
    const std::lock_guard lock(file_->mutex);
    return std::uint64_t{file_->bytes.size()};
  }

  const std::string& upload_id() const { return upload_id_; }

 private:
  const std::string upload_id_;
  const std::shared_ptr<StagedBytes> file_;
};

class MemoryBlobStore final : public BlobStore {
 public:
  Result<std::unique_ptr<Staging>> create(const std::string& upload_id, const std::string& sidecar) override {
    if (!is_upload_id(upload_id)) return bad_upload_id(upload_id);
    auto file = std::make_shared<StagedBytes>();
    file->sidecar = sidecar;
    const std::lock_guard lock(mutex_);
    if (!uploads_.emplace(upload_id, file).second) return error_from_errno(EEXIST, "create " + upload_id);
    return std::unique_ptr<Staging>(std::make_unique<MemoryStaging>(upload_id, std::move(file)));
  }

  Result<std::unique_ptr<Staging>> reopen(const std::string& upload_id) override {
    const std::lock_guard lock(mutex_);
    const auto found = uploads_.find(upload_id);
    if (found == uploads_.end()) return absent("reopen " + upload_id);
    return std::unique_ptr<Staging>(std::make_unique<MemoryStaging>(upload_id, found->second));
  }

  Result<void> discard(const std::string& upload_id) override {
    if (!is_upload_id(upload_id)) return bad_upload_id(upload_id);
    const std::lock_guard lock(mutex_);
    uploads_.erase(upload_id);
    return {};
  }

  Result<std::vector<StagedUpload>> staged() override {
    const std::lock_guard lock(mutex_);
    std::vector<StagedUpload> uploads;
    for (const auto& [upload_id, file] : uploads_) {
      const std::lock_guard file_lock(file->mutex);
      uploads.push_back(StagedUpload{upload_id, file->sidecar, file->bytes.size()});
    }
    return uploads;
  }

  Result<Place> publish(std::unique_ptr<Staging> staging, const std::string& upload_id,
                        const oci::Digest& digest) override {
    auto* mine = dynamic_cast<MemoryStaging*>(staging.get());
    if (mine == nullptr || mine->upload_id() != upload_id) return bad_upload_id(upload_id);
    const std::lock_guard lock(mutex_);
    const auto found = uploads_.find(upload_id);
    if (found == uploads_.end()) return absent("publish " + upload_id);
    const std::uint32_t bucket = published_++ / kBucketFiles + 1;
    Place place{bucket_name(bucket) + '/' + place_file_name(digest, upload_id)};
    const std::lock_guard file_lock(found->second->mutex);
    blobs_[place.name] = std::make_shared<const std::vector<std::byte>>(std::move(found->second->bytes));
    uploads_.erase(upload_id);
    return place;
  }

  Result<OpenBlob> open(const Place& place) override {
    BERTH_CHECK(check_place(place));
    std::shared_ptr<const std::vector<std::byte>> bytes;
    {
      const std::lock_guard lock(mutex_);
      const auto found = blobs_.find(place.name);
      if (found == blobs_.end()) return make_error(ErrorCode::corrupt, "a blob's file is missing", place.name);
      bytes = found->second;
    }
    OpenBlob blob;
    blob.fd = Fd(::memfd_create("berth-blob", MFD_CLOEXEC));
    if (!blob.fd) return error_from_errno(errno, "memfd_create");
    BERTH_CHECK(posix_file_system().write_at(blob.fd.get(), *bytes, 0));
    blob.size = bytes->size();
    return blob;
  }

  Result<void> remove(const Place& place) override {
    BERTH_CHECK(check_place(place));
    const std::lock_guard lock(mutex_);
    blobs_.erase(place.name);
    return {};
  }

  Result<void> sync_removals(std::span<const Place> places) override {
    for (const Place& place : places) BERTH_CHECK(check_place(place));
    return {};
  }

  Result<std::vector<Place>> recent_places() override {
    const std::lock_guard lock(mutex_);
    std::vector<Place> places;
    const std::uint32_t newest = published_ / kBucketFiles + 1;
    const std::string begin = bucket_name(newest > 1 ? newest - 1 : 1);
    for (auto blob = blobs_.lower_bound(begin); blob != blobs_.end(); ++blob) places.push_back(Place{blob->first});
    return places;
  }

  Result<SpaceInfo> space() override {
    constexpr std::uint64_t kPlenty = std::uint64_t{1} << 40;
    return SpaceInfo{kPlenty, kPlenty, std::numeric_limits<std::uint64_t>::max()};
  }

 private:
  static Error bad_upload_id(const std::string& upload_id) {
    return make_error(ErrorCode::internal, "the upload cannot be stored", "no upload id: " + upload_id);
  }

  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<StagedBytes>> uploads_;
  std::map<std::string, std::shared_ptr<const std::vector<std::byte>>> blobs_;
  std::uint32_t published_ = 0;
};

}  // namespace

std::unique_ptr<BlobStore> make_memory_blob_store() { return std::make_unique<MemoryBlobStore>(); }

}  // namespace berth::storage
