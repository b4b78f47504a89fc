// A registry of two maps, enough to see what the api makes of each answer; any call can be told to fail.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "registry/registry.h"

namespace berth::api::test {

class FakeRegistry final : public registry::Registry {
 public:
  // What the next calls answer instead of their own.
  std::optional<Error> fails;
  std::optional<Error> append_fails;
  bool throws = false;
  bool full = false;

  std::map<std::string, std::string> blobs;  ///< digest text → bytes
  std::map<std::string, std::shared_ptr<const registry::ManifestAnswer>> manifests;  ///< reference text → answer
  std::vector<std::string> tags;
  std::vector<std::string> referrers;
  std::string referrers_cursor;
  std::map<std::string, std::string> sessions;  ///< upload id → bytes

  // What was asked last.
  std::size_t asked_n = 0;
  std::string asked_last;
  std::vector<std::string> asked_types;
  registry::PutManifestRequest* put = nullptr;
  registry::Precondition asked_precondition;
  registry::TagSet asked_tags;  ///< that may be deleted
  std::vector<std::string> calls;
  bool counted_pull = false;
  int unreadable_reports = 0;
  std::function<void()> superseded;

  Task<registry::BlobContent> open_blob(const registry::Actor&, const oci::RepositoryName&,
                                        const oci::Digest& digest) override {
    BERTH_CO_CHECK(enter("open_blob"));
    const auto found = blobs.find(digest.to_string());
    if (found == blobs.end()) co_return make_error(ErrorCode::blob_unknown, "no such blob");
    registry::BlobContent content{digest, found->second.size(), std::make_shared<const std::string>(found->second), {}, {}};
    content.report_unreadable = [this] { ++unreadable_reports; };
    co_return content;
  }
  Task<std::uint64_t> blob_size(const registry::Actor&, const oci::RepositoryName&,
                                const oci::Digest& digest) override {
    BERTH_CO_CHECK(enter("blob_size"));
    const auto found = blobs.find(digest.to_string());
    if (found == blobs.end()) co_return make_error(ErrorCode::blob_unknown, "no such blob");
    co_return found->second.size();
  }
  Task<std::shared_ptr<const registry::ManifestAnswer>> get_manifest(const registry::Actor& actor,
                                                                     const oci::RepositoryName&,
                                                                     const oci::Reference& reference,
                                                                     bool count_pull) override {
    BERTH_CO_CHECK(enter("get_manifest"));
    if (actor.waits != nullptr) actor.waits->read += get_wait;
    counted_pull = count_pull;
    const auto found = manifests.find(oci::to_string(reference));
    if (found == manifests.end()) co_return make_error(ErrorCode::manifest_unknown, "no such manifest");
    co_return found->second;
  }

  class FakeUpload final : public registry::Upload {
   public:
    FakeUpload(FakeRegistry& owner, std::string id) : owner_(owner), id_(std::move(id)) {}
    const std::string& id() const override { return id_; }
    std::uint64_t offset() const override { return bytes().size(); }
    Task<void> append(registry::Buffer buffer) override {
      owner_.calls.push_back("append");
      if (owner_.append_fails) co_return *owner_.append_fails;
      bytes() += as_text(buffer.bytes());
      co_return Result<void>();
    }
    Task<void> flush() override {
      owner_.calls.push_back("flush");
      co_return Result<void>();
    }
    Task<void> truncate(std::uint64_t offset) override {
      owner_.calls.push_back("truncate");
      bytes().resize(offset);
      co_return Result<void>();
    }
    Task<void> commit(const oci::Digest& digest) override {
      BERTH_CO_CHECK(owner_.enter("commit"));
      const std::string content = bytes();
      owner_.sessions.erase(id_);
      if (oci::hash(digest.algorithm(), as_bytes(content)) != digest) {
        co_return make_error(ErrorCode::digest_mismatch, "the content has another digest");
      }
      owner_.blobs[digest.to_string()] = content;
      co_return Result<void>();
    }
    Task<void> cancel() override {
      owner_.calls.push_back("cancel");
      owner_.sessions.erase(id_);
      co_return Result<void>();
    }
    void on_superseded(std::function<void()> interrupt) override { owner_.superseded = std::move(interrupt); }

   private:
    std::string& bytes() const { return owner_.sessions[id_]; }
    FakeRegistry& owner_;
    std::string id_;
  };

  Task<std::unique_ptr<registry::Upload>> start_upload(const registry::Actor&, const oci::RepositoryName&,
                                                       oci::Algorithm algorithm, bool single_request) override {
    BERTH_CO_CHECK(enter("start_upload " + std::string(oci::to_string(algorithm)) + (single_request ? " single" : "")));
    sessions["new-id"] = "";
    co_return std::make_unique<FakeUpload>(*this, "new-id");
  }
  Task<std::unique_ptr<registry::Upload>> claim_upload(const registry::Actor&, const oci::RepositoryName&,
                                                       const std::string& id) override {
    BERTH_CO_CHECK(enter("claim_upload"));
    if (!sessions.contains(id)) co_return make_error(ErrorCode::upload_unknown, "no such session");
    co_return std::make_unique<FakeUpload>(*this, id);
  }
  Task<std::uint64_t> upload_offset(const registry::Actor&, const oci::RepositoryName&,
                                    const std::string& id) override {
    BERTH_CO_CHECK(enter("upload_offset"));
    if (!sessions.contains(id)) co_return make_error(ErrorCode::upload_unknown, "no such session");
    co_return sessions[id].size();
  }
  Task<bool> mount_blob(const registry::Actor&, const oci::RepositoryName&, const oci::Digest& digest,
                        std::optional<oci::RepositoryName> from, const registry::Visibility&) override {
    BERTH_CO_CHECK(enter("mount_blob " + (from ? from->text() : "anywhere")));
    co_return blobs.contains(digest.to_string());
  }
  Task<registry::PutManifestDone> put_manifest(const registry::Actor& actor, registry::PutManifestRequest request) override {
    BERTH_CO_CHECK(enter("put_manifest"));
    if (actor.waits != nullptr) actor.waits->commit += put_wait;
    last_put = std::make_unique<registry::PutManifestRequest>(std::move(request));
    put = last_put.get();
    registry::PutManifestDone done{oci::sha256(put->body), put_subject, true};
    co_return done;
  }
  std::optional<std::string> put_subject;
  Waits::Duration get_wait{};  ///< what a pull of a manifest says that it waited for the disk
  Waits::Duration put_wait{};  ///< what a push of a manifest says that it waited for the index

  Task<void> delete_tag(const registry::Actor&, const oci::RepositoryName&, const oci::Tag& tag,
                        registry::Precondition precondition, registry::TagSet may_delete) override {
    asked_precondition = std::move(precondition);
    asked_tags = std::move(may_delete);
    co_return enter("delete_tag " + tag.text());
  }
  Task<void> delete_manifest(const registry::Actor&, const oci::RepositoryName&, const oci::Digest&,
                             registry::Precondition precondition, registry::TagSet may_delete) override {
    asked_precondition = std::move(precondition);
    asked_tags = std::move(may_delete);
    co_return enter("delete_manifest");
  }
  Task<void> delete_blob(const registry::Actor&, const oci::RepositoryName&, const oci::Digest&,
                         registry::TagSet may_delete) override {
    asked_tags = std::move(may_delete);
    co_return enter("delete_blob");
  }
  Task<void> delete_repository(const registry::Actor&, const oci::RepositoryName& name,
                               registry::TagSet may_delete) override {
    asked_tags = std::move(may_delete);
    co_return enter("delete_repository " + name.text());
  }

  Task<registry::TagPage> list_tags(const registry::Actor&, const oci::RepositoryName&, std::size_t n,
                                    std::string last) override {
    BERTH_CO_CHECK(enter("list_tags"));
    asked_n = n;
    asked_last = last;
    registry::TagPage page;
    for (const std::string& tag : tags) {
      if (tag <= last) continue;
      if (page.tags.size() == n) {
        page.more = true;
        break;
      }
      page.tags.push_back(tag);
    }
    co_return page;
  }
  Task<registry::RepositoryPage> list_repositories(const registry::Actor&, const registry::Visibility&, std::size_t n,
                                                   std::string last) override {
    BERTH_CO_CHECK(enter("list_repositories"));
    asked_n = n;
    asked_last = last;
    registry::RepositoryPage page{{"a", "b/c"}, n < 5};
    co_return page;
  }
  Task<registry::ReferrerPage> list_referrers(const registry::Actor&, const oci::RepositoryName&, std::string, std::vector<std::string> types,
                                              std::size_t n, std::size_t, std::string cursor) override {
    BERTH_CO_CHECK(enter("list_referrers"));
    asked_n = n;
    asked_last = cursor;
    asked_types = std::move(types);
    registry::ReferrerPage page{referrers, referrers_cursor};
    co_return page;
  }

  bool writable() const override { return !full; }
  void stop() override {}

 private:
  Result<void> enter(std::string call) {
    calls.push_back(std::move(call));
    if (throws) throw std::runtime_error("a library threw");
    if (fails) return *fails;
    return {};
  }
  std::unique_ptr<registry::PutManifestRequest> last_put;
};

}  // namespace berth::api::test
