// A blob store that asks a test before every call: to fail it, to hold it up, to count it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/blobs/blob_store.h"

namespace berth::test {

/// Called with the name of the operation ("create", "write", "publish", …) on the thread that makes it. An error is
/// answered in place of the call. Thread-safe if the registry is.
using BlobHook = std::function<Result<void>(std::string_view operation)>;

class HookedStaging final : public storage::Staging {
 public:
  HookedStaging(std::unique_ptr<storage::Staging> inner, BlobHook hook)
      : inner_(std::move(inner)), hook_(std::move(hook)) {}
  Result<void> write(Bytes bytes, std::uint64_t offset) override {
    BERTH_CHECK(hook_("write"));
    return inner_->write(bytes, offset);
  }
  Result<void> flush() override { return inner_->flush(); }
  bool unflushed() const override { return inner_->unflushed(); }
  Result<std::size_t> read(std::span<std::byte> out, std::uint64_t offset) override {
    BERTH_CHECK(hook_("read"));
    return inner_->read(out, offset);
  }
  Result<void> truncate(std::uint64_t size) override {
    BERTH_CHECK(hook_("truncate"));
    return inner_->truncate(size);
  }
  Result<std::uint64_t> size() override { return inner_->size(); }
  std::unique_ptr<storage::Staging> take() { return std::move(inner_); }

 private:
  std::unique_ptr<storage::Staging> inner_;
  BlobHook hook_;
};

class HookedBlobs final : public storage::BlobStore {
 public:
  HookedBlobs(std::unique_ptr<storage::BlobStore> inner, BlobHook hook)
      : inner_(std::move(inner)), hook_(std::move(hook)) {}

  Result<std::unique_ptr<storage::Staging>> create(const std::string& upload_id, const std::string& sidecar) override {
    BERTH_CHECK(hook_("create"));
    return wrap(inner_->create(upload_id, sidecar));
  }
  Result<std::unique_ptr<storage::Staging>> reopen(const std::string& upload_id) override {
    BERTH_CHECK(hook_("reopen"));
    return wrap(inner_->reopen(upload_id));
  }
  Result<void> discard(const std::string& upload_id) override {
    BERTH_CHECK(hook_("discard"));
    return inner_->discard(upload_id);
  }
  Result<std::vector<storage::StagedUpload>> staged() override { return inner_->staged(); }
  Result<storage::Place> publish(std::unique_ptr<storage::Staging> staging, const std::string& upload_id,
                                 const oci::Digest& digest) override {
    BERTH_CHECK(hook_("publish"));
    return inner_->publish(static_cast<HookedStaging&>(*staging).take(), upload_id, digest);
  }
  Result<storage::OpenBlob> open(const storage::Place& place) override {
    BERTH_CHECK(hook_("open"));
    return inner_->open(place);
  }
  Result<void> remove(const storage::Place& place) override {
    BERTH_CHECK(hook_("remove"));
    return inner_->remove(place);
  }
  Result<void> sync_removals(std::span<const storage::Place> places) override {
    BERTH_CHECK(hook_("sync_removals"));
    return inner_->sync_removals(places);
  }
  Result<std::vector<storage::Place>> recent_places() override { return inner_->recent_places(); }
  Result<storage::SpaceInfo> space() override { return inner_->space(); }

 private:
  Result<std::unique_ptr<storage::Staging>> wrap(Result<std::unique_ptr<storage::Staging>> staging) {
    if (!staging) return staging;
    return std::unique_ptr<storage::Staging>(std::make_unique<HookedStaging>(*std::move(staging), hook_));
  }
  std::unique_ptr<storage::BlobStore> inner_;
  BlobHook hook_;
};

}  // namespace berth::test
