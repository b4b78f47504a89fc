#include "registry/upload_content.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace berth::registry {

UploadContent::UploadContent(Parts parts, std::string upload_id, std::string sidecar, oci::Algorithm algorithm)
    : parts_(parts), upload_id_(std::move(upload_id)), sidecar_(std::move(sidecar)), algorithm_(algorithm),
      memory_(std::make_shared<std::string>()) {}

UploadContent::UploadContent(Parts parts, std::string upload_id, std::string sidecar, oci::Algorithm algorithm,
                             std::uint64_t size)
    : UploadContent(parts, std::move(upload_id), std::move(sidecar), algorithm) {
  state_ = State::unread;
  on_disk_ = true;
  size_ = size;
}

UploadContent::~UploadContent() { drop_memory(); }

void UploadContent::drop_memory() {
  parts_.memory.give_back(std::exchange(budgeted_, 0));
  memory_.reset();
}

bool UploadContent::keep(Bytes bytes) {
  if (state_ != State::memory || size_ + bytes.size() > parts_.inline_bytes_max) return false;
  if (!parts_.memory.take(bytes.size())) return false;
  budgeted_ += bytes.size();
  memory_->append(as_text(bytes));
  size_ += bytes.size();
  digest_.reset();
  return true;
}

Result<void> UploadContent::check_staging() const {
  if (staging_ || state_ == State::memory) return {};
  return make_error(ErrorCode::upload_unknown, "the bytes of this upload session are no longer here");
}

Result<void> UploadContent::open_staging() {
  if (staging_) return {};
  if (on_disk_) {
    BERTH_TRY(staging_, parts_.blobs.reopen(upload_id_));
    return {};
  }
  BERTH_TRY(staging_, parts_.blobs.create(upload_id_, sidecar_));
  on_disk_ = true;
  return {};
}

/// Writes at `offset`, the end of what the staging file holds for good.
Result<void> UploadContent::write_at_end(Bytes bytes, std::uint64_t offset) {
  tail_unsure_ = true;
  Result<void> written = staging_->write(bytes, offset);
  if (!written.has_value()) {
    // On a full disk part of it may be there, and takes space that somebody needs.
    if (written.failed_with(ErrorCode::storage_full)) tail_unsure_ = !staging_->truncate(offset).has_value();
    return written;
  }
  tail_unsure_ = false;
  return {};
}

Result<void> UploadContent::save() {
  if (!unsaved()) return {};
  if (!in_memory()) return staging_->flush();
  BERTH_CHECK(open_staging());
  BERTH_CHECK(write_at_end(as_bytes(*memory_).subspan(saved_), saved_));
  saved_ = size_;
  return {};
}

Result<void> UploadContent::write(Bytes bytes) {
  if (bytes.empty()) return {};
  BERTH_CHECK(check_staging());
  if (state_ == State::memory) {
    BERTH_CHECK(open_staging());
    BERTH_CHECK(save());
    hasher_.emplace(algorithm_);
    hasher_->update(as_bytes(*memory_));
    hashed_ = size_;
    state_ = State::file;
    drop_memory();
  }
  while (!is_hashed()) BERTH_CHECK(hash_slice());  // only after a truncation or a failed commit
  BERTH_CHECK(write_at_end(bytes, size_));
  if (hashed_ == size_) {
    hasher_->update(bytes);
    hashed_ += bytes.size();
  }
  digest_.reset();
  size_ += bytes.size();
  return {};
}

Result<void> UploadContent::truncate(std::uint64_t size) {
  if (size >= size_) return {};
  BERTH_CHECK(check_staging());
  if (state_ == State::file || saved_ > size) {
    BERTH_CHECK(open_staging());
    tail_unsure_ = true;
    BERTH_CHECK(staging_->truncate(size));
    tail_unsure_ = false;
  }
  digest_.reset();
  size_ = size;
  if (state_ == State::memory) {
    memory_->resize(size);
    parts_.memory.give_back(budgeted_ - size);
    budgeted_ = size;
    saved_ = std::min(saved_, size);
  } else if (marked_ && marked_size_ == size && marked_->algorithm() == algorithm_) {
    hasher_ = *std::exchange(marked_, std::nullopt);
    hashed_ = size;
  } else {
    hasher_.emplace(algorithm_);  // a hash cannot be taken back
    hashed_ = 0;
  }
  if (marked_size_ > size) marked_.reset();  // what follows may differ
  return {};
}

void UploadContent::mark() {
  marked_.reset();
  if (state_ != State::file || !hasher_ || hashed_ != size_) return;
  marked_ = hasher_->copy();
  marked_size_ = size_;
}

void UploadContent::park() {
  if (tail_unsure_ || unsaved()) return;  // it remembers that a write failed, or has the bytes
  staging_.reset();
  if (state_ != State::memory || !on_disk_) return;
  drop_memory();
  memory_ = std::make_shared<std::string>();
  state_ = State::unread;
}

Result<void> UploadContent::restore() {
  if (!needs_restore()) return {};
  BERTH_CHECK(open_staging());
  if (state_ == State::file) return {};  // parked: size and hash are as they were
  BERTH_TRY(size_, staging_->size());
  if (size_ > parts_.inline_bytes_max || !parts_.memory.take(size_)) {
    state_ = State::file;
    hasher_.emplace(algorithm_);
    return {};
  }
  budgeted_ = size_;
  memory_->resize(size_);
  std::size_t done = 0;
  while (done < size_) {
    const auto rest = std::as_writable_bytes(std::span(*memory_)).subspan(done);
    BERTH_TRY(const std::size_t read, staging_->read(rest, done));
    if (read == 0) return make_error(ErrorCode::io_error, "the server's disk failed", "a staging file shrank");
    done += read;
  }
  saved_ = size_;
  state_ = State::memory;
  return {};
}

void UploadContent::hash_with(oci::Algorithm algorithm) {
  if (algorithm == algorithm_) return;
  algorithm_ = algorithm;
  digest_.reset();
  if (state_ == State::memory) return;
  hasher_.emplace(algorithm);
  hashed_ = 0;
}

Result<void> UploadContent::hash_slice() {
  BERTH_CHECK(check_staging());
  std::vector<std::byte> buffer(kReadBytes);
  const std::uint64_t end = std::min(size_, hashed_ + kHashSliceBytes);
  while (hashed_ < end) {
    const auto want = static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), end - hashed_));
    BERTH_TRY(const std::size_t read, staging_->read(std::span(buffer).first(want), hashed_));
    if (read == 0) return make_error(ErrorCode::io_error, "the server's disk failed", "a staging file shrank");
    hasher_->update(Bytes(buffer).first(read));
    hashed_ += read;
  }
  return {};
}

oci::Digest UploadContent::digest() {
  if (!digest_) {
    if (state_ == State::memory) {
      digest_ = oci::hash(algorithm_, as_bytes(*memory_));
    } else {
      if (!hasher_) hasher_.emplace(algorithm_);
      digest_ = hasher_->finish();
      hasher_.emplace(algorithm_);  // that hash has ended; appending more starts over
      hashed_ = 0;
    }
  }
  return *digest_;
}

Result<std::unique_ptr<storage::Staging>> UploadContent::take_staging() {
  BERTH_CHECK(check_staging());
  if (tail_unsure_) {
    BERTH_CHECK(staging_->truncate(size_));
    tail_unsure_ = false;
  }
  BERTH_TRY(const std::uint64_t there, staging_->size());
  if (there != size_) {
    return make_error(ErrorCode::io_error, "the server's disk failed",
                      "a staging file of " + std::to_string(there) + " bytes should have " + std::to_string(size_));
  }
  return std::move(staging_);
}

Result<void> UploadContent::resume_staging() {
  BERTH_TRY(staging_, parts_.blobs.reopen(upload_id_));
  BERTH_TRY(const std::uint64_t there, staging_->size());
  if (there == size_) return {};
  staging_.reset();
  return make_error(ErrorCode::io_error, "the server's disk failed", "a staging file changed its size");
}

Result<void> UploadContent::discard() {
  staging_.reset();
  drop_memory();
  memory_ = std::make_shared<std::string>();
  state_ = State::memory;
  size_ = saved_ = hashed_ = 0;
  digest_.reset();
  marked_.reset();
  if (!std::exchange(on_disk_, false)) return {};
  return parts_.blobs.discard(upload_id_);
}

}  // namespace berth::registry
