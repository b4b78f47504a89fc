// Blob bytes as files of a local file system.
//
//   <directory>/uploads/<upload id>           bytes on their way in
//   <directory>/uploads/<upload id>.session   the sidecar: "sha256:<hex>\n" of what follows, then what create() was given
//   <directory>/blobs/<bucket>/<algorithm>-<hex>.<upload id>
//
// A commit is: fdatasync of the bytes, rename into the bucket in use, sync of the bucket's folder. The rename takes the
// name away from uploads/ in the same step (a journal writes both or neither), so the bytes have one name at any time.
// Buckets exist so that one folder sync serves many commits and stays small; the next one is made, and synced with its
// parent, when the one in use is half full. Unlinking is synced on its own, once a folder for many files, before the
// index forgets that there was something to unlink: a sync of the index' log writes over bytes that are there already
// and commits no journal, so it orders nothing.
#include <algorithm>
#include <mutex>
#include <set>

#include "storage/blobs/blob_store.h"
#include "storage/blobs/group_sync.h"
#include "storage/blobs/place.h"
#include "storage/blobs/write_behind.h"

namespace berth::storage {
namespace {

constexpr std::string_view kSidecarSuffix = ".session";
constexpr std::size_t kSidecarBytesMax = 64 << 10;
constexpr std::size_t kRecentBuckets = 2;

Error bad_upload_id(const std::string& upload_id) {
  return make_error(ErrorCode::internal, "the upload cannot be stored", "no upload id: " + upload_id);
}

/// The folder that holds `path`; "." for a lone relative name.
std::string parent_of(const std::string& path) {
  const std::size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

/// Makes a folder and the entry that names it durable. A parent that may not be read is not ours, and neither was the
/// making of what it holds.
Result<void> make_durable_directory(FileSystem& files, const std::string& path) {
  BERTH_TRY(const bool there, files.exists(path));
  BERTH_CHECK(files.make_directory(path));
  const Result<void> synced = files.sync_directory(parent_of(path));
  if (!synced.has_value() && !there) return synced.error();
  return {};
}

class LocalStaging final : public Staging {
 public:
  struct Parts {
    FileSystem& files;
    DirectWriters& direct;
    std::uint64_t writeback_bytes;
  };
  LocalStaging(const Parts& parts, Fd fd, std::string upload_id, std::string path)
      : parts_(parts), fd_(std::move(fd)), upload_id_(std::move(upload_id)), path_(std::move(path)) {}

  Result<void> write(Bytes bytes, std::uint64_t offset) override {
    BERTH_CHECK(check_trusted());
    return judged(behind_ || offset + bytes.size() > parts_.direct.options().from_bytes ? write_large(bytes, offset)
                                                                                       : write_through(bytes, offset));
  }

  Result<void> flush() override {
    if (!behind_) return {};
    BERTH_CHECK(check_trusted());
    BERTH_CHECK(judged(behind_->finish()));
    behind_.reset();
    return {};
  }

  bool unflushed() const override { return behind_ != nullptr; }

  Result<std::size_t> read(std::span<std::byte> out, std::uint64_t offset) override {
    BERTH_CHECK(flush());
    BERTH_CHECK(check_trusted());
    return parts_.files.read_at(fd_.get(), out, offset);
  }

  Result<void> truncate(std::uint64_t size) override {
    BERTH_CHECK(check_trusted());
    if (behind_) {
      const std::uint64_t in_file = behind_->in_file();
      if (size > in_file) {
        behind_->cut(size);
        size = in_file;
      } else {
        behind_.reset();
      }
    }
    BERTH_CHECK(parts_.files.truncate(fd_.get(), size));
    writeback_done_ = std::min(writeback_done_, size);
    return {};
  }

  Result<std::uint64_t> size() override {
    BERTH_CHECK(flush());
    return parts_.files.file_size(fd_.get());
  }

  Result<void> sync() {
    BERTH_CHECK(flush());
    BERTH_CHECK(check_trusted());
    return parts_.files.sync_data(fd_.get());
  }

  const std::string& upload_id() const { return upload_id_; }

 private:
  Result<void> check_trusted() const {
    if (trusted_) return {};
    return make_error(ErrorCode::io_error, "the server's disk failed", "an earlier write of this upload failed");
  }

  /// On a full disk the bytes that were there before are as good as ever and the caller writes these again. After any
  /// other failure nobody knows what the disk or the page cache holds.
  Result<void> judged(Result<void> written) {
    if (!written.has_value() && !written.failed_with(ErrorCode::storage_full)) trusted_ = false;
    return written;
  }

  Result<void> write_through(Bytes bytes, std::uint64_t offset) {
    BERTH_CHECK(parts_.files.write_at(fd_.get(), bytes, offset));
    start_writeback(offset, offset + bytes.size());
    return {};
  }

  /// Past the page cache from the next aligned place on, while that is worth it.
  Result<void> write_large(Bytes bytes, std::uint64_t offset) {
    if (behind_ && !parts_.direct.wanted()) {
      BERTH_CHECK(behind_->finish());
      behind_.reset();
    }
    if (!behind_) {
      if (!parts_.direct.wanted()) return write_through(bytes, offset);
      const auto head = static_cast<std::size_t>(
          std::min<std::uint64_t>(bytes.size(), (kDirectAlignment - offset % kDirectAlignment) % kDirectAlignment));
      if (head != 0) BERTH_CHECK(write_through(bytes.first(head), offset));
      bytes = bytes.subspan(head);
      offset += head;
      if (bytes.empty()) return {};
      behind_ = WriteBehind::start(parts_.files, parts_.direct, path_, fd_.get(), offset);
      if (!behind_) return write_through(bytes, offset);
    }
    return behind_->append(bytes);
  }

  /// Keeps the final sync short: the disk works while the client still sends.
  void start_writeback(std::uint64_t begin, std::uint64_t end) {
    writeback_done_ = std::min(writeback_done_, begin);
    if (end - writeback_done_ < parts_.writeback_bytes) return;
    parts_.files.start_writeback(fd_.get(), writeback_done_, end - writeback_done_);
    writeback_done_ = end;
  }

  const Parts parts_;
  const Fd fd_;
  const std::string upload_id_;
  const std::string path_;
  std::uint64_t writeback_done_ = 0;  ///< write-back was begun for everything before
  bool trusted_ = true;
  std::unique_ptr<WriteBehind> behind_;  ///< last: it writes to the file
};

/// A folder of blobs that takes new ones.
struct Bucket {
  Bucket(FileSystem& files, std::uint32_t n, const std::string& path) : number(n), folder(files, path) {}
  const std::uint32_t number;
  std::uint32_t files = 0;  ///< names ever given out here; guarded by the store's mutex
  GroupSync folder;
};

class LocalBlobStore final : public BlobStore {
 public:
  LocalBlobStore(FileSystem& files, LocalBlobStoreOptions options)
      : files_(files), options_(std::move(options)),
        uploads_(options_.directory + "/uploads"), blobs_(options_.directory + "/blobs"), direct_(options_.direct) {}

  Result<void> open() {
    BERTH_CHECK(make_durable_directory(files_, options_.directory));
    BERTH_CHECK(make_durable_directory(files_, uploads_));
    BERTH_CHECK(make_durable_directory(files_, blobs_));
    // Continue in the newest bucket that holds anything, unless it is past half: a start then looks at few files. The
    // empty ones behind it were made ahead and wait to be used.
    BERTH_TRY(const std::vector<std::uint32_t> numbers, bucket_numbers());
    std::uint32_t number = 0;
    std::size_t count = 0;
    for (auto candidate = numbers.rbegin(); candidate != numbers.rend() && count == 0; ++candidate) {
      BERTH_TRY(const std::vector<std::string> names, files_.list(bucket_path(*candidate)));
      number = *candidate;
      count = names.size();
    }
    const std::uint32_t newest = number;
    if (newest == 0 || count > options_.bucket_files_max / 2) ++number;
    Result<std::shared_ptr<Bucket>> made = make_bucket(number);
    if (made.failed_with(ErrorCode::storage_full) && newest != 0) {
      number = newest;  // pulls and deletes must work on a full disk, so a start must
      made = make_bucket(newest);
    }
    BERTH_TRY(current_, std::move(made));
    if (number == newest) current_->files = static_cast<std::uint32_t>(count);
    number_made_ = number + 1;
    Result<std::shared_ptr<Bucket>> ahead = make_bucket(number_made_);
    if (ahead.has_value()) ahead_ = std::move(*ahead);  // else take_slot() tries again
    return {};
  }

  Result<std::unique_ptr<Staging>> create(const std::string& upload_id, const std::string& sidecar) override {
    if (!is_upload_id(upload_id)) return bad_upload_id(upload_id);
    if (sidecar.size() > kSidecarBytesMax) {
      return make_error(ErrorCode::internal, "the upload cannot be stored", "a sidecar of " +
                        std::to_string(sidecar.size()) + " bytes");
    }
    // The sidecar is whole before the staging file exists, so a staging file without one is never an acknowledged one.
    BERTH_TRY(const Fd sidecar_fd, files_.open(sidecar_path(upload_id), OpenMode::create_new));
    const std::string text = oci::sha256(sidecar).to_string() + '\n' + sidecar;
    const Result<void> noted = files_.write_at(sidecar_fd.get(), as_bytes(text), 0);
    Result<Fd> fd = noted.has_value() ? files_.open(staging_path(upload_id), OpenMode::create_new) : noted.error();
    if (!fd.has_value()) {
      ignore(files_.remove(sidecar_path(upload_id)));  // if it stays, the next start removes it
      return fd.error();
    }
    return wrap(std::move(*fd), upload_id);
  }

  Result<std::unique_ptr<Staging>> reopen(const std::string& upload_id) override {
    if (!is_upload_id(upload_id)) return bad_upload_id(upload_id);
    BERTH_TRY(Fd fd, files_.open(staging_path(upload_id), OpenMode::read_write));
    return wrap(std::move(fd), upload_id);
  }

  Result<void> discard(const std::string& upload_id) override {
    if (!is_upload_id(upload_id)) return bad_upload_id(upload_id);
    const Result<void> bytes = files_.remove(staging_path(upload_id));
    const Result<void> sidecar = files_.remove(sidecar_path(upload_id));
    if (!sidecar.has_value() && bytes.has_value()) return sidecar.error();
    return bytes;
  }

  Result<std::vector<StagedUpload>> staged() override {
    BERTH_TRY(const std::vector<std::string> names, files_.list(uploads_));
    std::set<std::string> ids;  // of staging files and of sidecars; names that are neither are not ours to touch
    for (const std::string& name : names) {
      std::string_view id = name;
      if (id.ends_with(kSidecarSuffix)) id.remove_suffix(kSidecarSuffix.size());
      if (is_upload_id(id)) ids.emplace(id);
    }
    std::vector<StagedUpload> uploads;
    for (const std::string& id : ids) {
      StagedUpload upload;
      upload.upload_id = id;
      const Result<bool> whole = read_staged(upload);
      if (!whole.has_value()) continue;  // the disk would not say: left alone until the next start
      if (*whole) {
        uploads.push_back(std::move(upload));
      } else {
        ignore(discard(id));  // what stays is found again at the next start
      }
    }
    return uploads;
  }

  Result<Place> publish(std::unique_ptr<Staging> staging, const std::string& upload_id,
                        const oci::Digest& digest) override {
    auto* bytes = dynamic_cast<LocalStaging*>(staging.get());
    if (bytes == nullptr || bytes->upload_id() != upload_id) return bad_upload_id(upload_id);
    Result<void> synced = bytes->sync();
    if (!synced.has_value()) {
      // The kernel has marked pages clean that never reached the disk; a later sync would call them safe. Gone at once,
      // so that no later process resumes from them.
      ignore(discard(upload_id));
      return synced.error();
    }
    const std::shared_ptr<Bucket> bucket = take_slot();
    const Place place{bucket_name(bucket->number) + '/' + place_file_name(digest, upload_id)};
    const std::string path = blobs_ + '/' + place.name;
    BERTH_CHECK(files_.rename(staging_path(upload_id), path));
    Result<void> named = bucket->folder.sync();
    if (!named.has_value()) {
      ignore(files_.remove(path));  // no record names it; recent_places() finds it if it stays
      ignore(discard(upload_id));
      return named.error();
    }
    ignore(files_.remove(sidecar_path(upload_id)));  // a sidecar without its file is removed at the next start
    return place;
  }

  Result<OpenBlob> open(const Place& place) override {
    BERTH_CHECK(check_place(place));
    const std::string path = blobs_ + '/' + place.name;
    OpenBlob blob;
    Result<Fd> fd = files_.open(path, OpenMode::read);
    if (!fd.has_value()) {
      const Result<bool> there = files_.exists(path);
      if (there.has_value() && !*there) return make_error(ErrorCode::corrupt, "a blob's file is missing", place.name);
      return fd.error();
    }
    blob.fd = std::move(*fd);
    BERTH_TRY(blob.size, files_.file_size(blob.fd.get()));
    blob.files = &files_;
    return blob;
  }

  Result<void> remove(const Place& place) override {
    BERTH_CHECK(check_place(place));
    return files_.remove(blobs_ + '/' + place.name);
  }

  Result<void> sync_removals(std::span<const Place> places) override {
    std::set<std::string> buckets;
    for (const Place& place : places) {
      BERTH_CHECK(check_place(place));
      buckets.insert(parent_of(place.name));
    }
    for (const std::string& bucket : buckets) BERTH_CHECK(sync_bucket(bucket));
    return {};
  }

  Result<std::vector<Place>> recent_places() override {
    BERTH_TRY(const std::vector<std::uint32_t> numbers, bucket_numbers());
    std::vector<Place> places;
    std::size_t buckets = 0;
    for (auto number = numbers.rbegin(); number != numbers.rend() && buckets < kRecentBuckets; ++number) {
      BERTH_TRY(const std::vector<std::string> names, files_.list(bucket_path(*number)));
      if (!names.empty()) ++buckets;
      for (const std::string& name : names) {
        if (is_place_file_name(name)) places.push_back(Place{bucket_name(*number) + '/' + name});
      }
    }
    return places;
  }

  Result<SpaceInfo> space() override { return files_.space(options_.directory); }

 private:
  // Every path is built here or in publish(), open() and remove(), from values that were checked.
  std::string staging_path(const std::string& upload_id) const { return uploads_ + '/' + upload_id; }
  std::string sidecar_path(const std::string& upload_id) const {
    return staging_path(upload_id) + std::string(kSidecarSuffix);
  }
  std::string bucket_path(std::uint32_t number) const { return blobs_ + '/' + bucket_name(number); }

  std::unique_ptr<Staging> wrap(Fd fd, const std::string& upload_id) {
    const LocalStaging::Parts parts{files_, direct_, options_.writeback_bytes};
    return std::make_unique<LocalStaging>(parts, std::move(fd), upload_id, staging_path(upload_id));
  }

  /// False when there is no such upload any more: a file is missing, or the sidecar is not what was written.
  Result<bool> read_staged(StagedUpload& upload) {
    BERTH_TRY(const bool bytes_there, files_.exists(staging_path(upload.upload_id)));
    BERTH_TRY(const bool sidecar_there, files_.exists(sidecar_path(upload.upload_id)));
    if (!bytes_there || !sidecar_there) return false;
    BERTH_TRY(const Fd bytes, files_.open(staging_path(upload.upload_id), OpenMode::read));
    BERTH_TRY(upload.size, files_.file_size(bytes.get()));

    BERTH_TRY(const Fd sidecar, files_.open(sidecar_path(upload.upload_id), OpenMode::read));
    std::string text(kSidecarBytesMax + 256, '\0');
    BERTH_TRY(const std::size_t size, files_.read_at(sidecar.get(), std::as_writable_bytes(std::span(text)), 0));
    text.resize(size);
    const std::size_t line_end = text.find('\n');
    if (line_end == std::string::npos) return false;
    upload.sidecar = text.substr(line_end + 1);
    return oci::sha256(upload.sidecar).to_string() == text.substr(0, line_end);
  }

  /// In ascending order.
  Result<std::vector<std::uint32_t>> bucket_numbers() {
    BERTH_TRY(const std::vector<std::string> names, files_.list(blobs_));
    std::vector<std::uint32_t> numbers;
    for (const std::string& name : names) {
      if (const auto number = parse_bucket_name(name)) numbers.push_back(*number);
    }
    std::sort(numbers.begin(), numbers.end());
    return numbers;
  }

  /// The folder is durable, and so is its name in blobs/, before any blob is put into it.
  Result<std::shared_ptr<Bucket>> make_bucket(std::uint32_t number) {
    const std::string path = bucket_path(number);
    BERTH_CHECK(files_.make_directory(path));
    BERTH_CHECK(files_.sync_directory(path));
    BERTH_CHECK(files_.sync_directory(blobs_));
    return std::make_shared<Bucket>(files_, number, path);
  }

  /// Shares the sync with those who publish into it, if somebody does.
  Result<void> sync_bucket(const std::string& name) {
    std::shared_ptr<Bucket> in_use;
    {
      const std::lock_guard lock(mutex_);
      if (bucket_name(current_->number) == name) in_use = current_;
    }
    Result<void> synced = in_use ? in_use->folder.sync() : files_.sync_directory(blobs_ + '/' + name);
    if (synced.has_value()) return {};
    const Result<bool> there = files_.exists(blobs_ + '/' + name);
    if (there.has_value() && !*there) return {};  // somebody took the whole folder away
    return synced.error();
  }

  /// The bucket for one more blob. Whoever takes the middle slot makes the next bucket. Where that fails (a full disk)
  /// the bucket in use grows past its size and the next taker tries again; a number is never tried twice, because after
  /// a failed sync a second one may say yes and mean nothing.
  std::shared_ptr<Bucket> take_slot() {
    std::shared_ptr<Bucket> bucket;
    std::uint32_t number_to_make = 0;
    {
      const std::lock_guard lock(mutex_);
      if (current_->files >= options_.bucket_files_max && ahead_) {
        current_ = std::exchange(ahead_, nullptr);
        ahead_due_ = options_.bucket_files_max / 2;
      }
      bucket = current_;
      ++current_->files;
      if (!ahead_ && current_->files >= ahead_due_) {
        ahead_due_ = current_->files + kAheadRetry;
        number_to_make = ++number_made_;
      }
    }
    if (number_to_make != 0) {
      Result<std::shared_ptr<Bucket>> made = make_bucket(number_to_make);
      const std::lock_guard lock(mutex_);
      // Another thread may have been as late as this one; the lower number is used, the higher one stays empty.
      const bool better = made.has_value() && (!ahead_ || (*made)->number < ahead_->number);
      if (better && (*made)->number > current_->number) ahead_ = std::move(*made);
    }
    return bucket;
  }

  static constexpr std::uint32_t kAheadRetry = 16;  ///< blobs between two tries: a failing disk is left few folders

  FileSystem& files_;
  const LocalBlobStoreOptions options_;
  const std::string uploads_;
  const std::string blobs_;
  DirectWriters direct_;

  std::mutex mutex_;
  std::shared_ptr<Bucket> current_;  ///< publishers keep theirs while a roll replaces it
  std::shared_ptr<Bucket> ahead_;    ///< ready to be used; empty while it has yet to be made
  std::uint32_t ahead_due_ = 0;      ///< files in the bucket in use at which the next one is to be made
  std::uint32_t number_made_ = 0;    ///< the highest number that was ever tried
};

}  // namespace

Result<std::unique_ptr<BlobStore>> open_local_blob_store(FileSystem& files, LocalBlobStoreOptions options) {
  while (options.directory.size() > 1 && options.directory.ends_with('/')) options.directory.pop_back();
  auto store = std::make_unique<LocalBlobStore>(files, std::move(options));
  BERTH_CHECK(store->open());
  return std::unique_ptr<BlobStore>(std::move(store));
}

}  // namespace berth::storage
