#include "tests/support/test_registry.h"

#include <stdlib.h>
#include <unistd.h>

#include <stdexcept>

#include "registry/answer_cache.h"
#include "storage/file_system.h"
#include "storage/kv/memory_kv.h"
#include "storage/kv/rocksdb_kv.h"

namespace berth::test {

namespace {

/// A test that cannot set up its world has no other way to say so.
template <class T>
T must(Result<T> result, const char* what) {
  if (result.has_value()) return *std::move(result);
  throw std::runtime_error(std::string(what) + ": " + result.error().message + " " + result.error().log_detail);
}
void must(const Result<void>& result, const char* what) {
  if (!result.has_value()) {
    throw std::runtime_error(std::string(what) + ": " + result.error().message + " " + result.error().log_detail);
  }
}

}  // namespace

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "berth-test-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

TestRegistry::TestRegistry(TestRegistryOptions options) : options_(std::move(options)), entropy_(options_.seed) {
  if (options_.directory.empty()) folder_.emplace();
  directory_ = folder_ ? folder_->path() : options_.directory;
  if (options_.engines == Engines::memory) {
    store_ = kv::make_memory_store(registry::schema());
    blobs_ = wrap(storage::make_memory_blob_store());
  }
  open();
}

TestRegistry::~TestRegistry() { close(End::orderly); }

void TestRegistry::open() {
  storage::FileSystem& files = storage::posix_file_system();
  if (options_.engines == Engines::files) {
    kv::RocksDbOptions rocksdb;
    rocksdb.directory = directory_ / "index";
    store_ = must(kv::open_rocksdb(registry::schema(), rocksdb), "open the index");
    storage::LocalBlobStoreOptions local;
    local.directory = directory_.string();
    blobs_ = wrap(must(storage::open_local_blob_store(files, local), "open the blob store"));
  }
  constexpr std::size_t kBuffersMax = 48 << 20;
  buffers_ = std::make_unique<registry::BufferPool>(kBuffersMax);
  disk_pool_ = std::make_unique<Pool>("disk", options_.disk_threads);
  cpu_pool_ = std::make_unique<Pool>("cpu", 2);
  storage::BallastOptions ballast;
  ballast.directory = directory_.string();
  ballast.size_min = ballast.size_max = 1 << 20;
  ballast_ = std::make_unique<storage::Ballast>(files, ballast);
  must(ballast_->open(), "make the ballast");
  cache_ = registry::make_answer_cache(options_.registry.answer_cache_bytes);
  auto on_commit = [cache = cache_, signal = identity_signal_](std::span<const std::string> touched,
                                                               std::uint64_t version) {
    registry::invalidate(*cache, touched, version);
    registry::invalidate(*signal, touched, version);
  };
  auto on_fatal = [](const Error&) {};
  committer_ = std::make_unique<kv::Committer>(*store_, *disk_pool_, kv::CommitterOptions{}, std::move(on_commit),
                                               std::move(on_fatal));
  must(committer_->start(), "start the committer");
  const registry::RegistryParts parts{*store_,    *committer_, *blobs_, *ballast_, *disk_pool_, *disk_pool_,
                                      *cpu_pool_, *buffers_,   clock_,  entropy_};
  registry_ = must(registry::open_local_registry(parts, cache_, options_.registry), "open the registry");
}

void TestRegistry::close(End end) {
  // A killed process writes nothing down any more: the committer goes first, so that what the registry would fold in at
  // its stop is refused.
  if (end == End::killed) committer_->stop();
  registry_->stop();
  registry_.reset();
  committer_->stop();
  committer_.reset();
  disk_pool_.reset();
  cpu_pool_.reset();
  ballast_.reset();
  kv::ViewSource::release_thread_cache();
  cache_.reset();
  buffers_.reset();
  if (options_.engines == Engines::files) {
    blobs_.reset();
    store_.reset();
  }
}

void TestRegistry::reopen(End end, std::chrono::milliseconds down_for) {
  close(end);
  clock_.advance(down_for);
  open();
}

oci::RepositoryName TestRegistry::name(std::string_view text) {
  return must(oci::RepositoryName::parse(text), "repository name");
}

oci::Tag TestRegistry::tag(std::string_view text) { return must(oci::Tag::parse(text), "tag"); }

registry::Buffer TestRegistry::buffer(std::string_view content) {
  registry::Buffer buffer = buffers_->acquire_now(content.size());
  if (content.size() > buffer.space().size()) throw std::runtime_error("more content than a buffer holds");
  std::copy_n(as_bytes(content).begin(), content.size(), buffer.space().begin());
  buffer.set_size(content.size());
  return buffer;
}

std::unique_ptr<storage::BlobStore> TestRegistry::wrap(std::unique_ptr<storage::BlobStore> blobs) const {
  return options_.wrap_blobs ? options_.wrap_blobs(std::move(blobs)) : std::move(blobs);
}

Task<void> append_all(registry::BufferPool& buffers, registry::Upload& upload, std::string content) {
  std::size_t done = 0;
  while (done < content.size()) {
    BERTH_CO_TRY(registry::Buffer buffer, co_await buffers.acquire(content.size() - done));
    const std::size_t size = std::min(buffer.space().size(), content.size() - done);
    std::copy_n(as_bytes(content).begin() + static_cast<std::ptrdiff_t>(done), size, buffer.space().begin());
    buffer.set_size(size);
    done += size;
    BERTH_CO_CHECK(co_await upload.append(std::move(buffer)));
  }
  co_return Result<void>{};
}

Task<void> push_blob(registry::Registry& registry, registry::BufferPool& buffers, registry::Actor actor,
                     oci::RepositoryName name, std::string content, oci::Digest digest) {
  BERTH_CO_TRY(const auto upload, co_await registry.start_upload(actor, name, digest.algorithm(), true));
  BERTH_CO_CHECK(co_await append_all(buffers, *upload, std::move(content)));
  co_return co_await upload->commit(digest);
}

Result<std::string> read_content(const registry::BlobContent& content) {
  if (content.bytes) return *content.bytes;
  std::string text(content.size, '\0');
  BERTH_TRY(const std::size_t read, storage::posix_file_system().read_at(
                                        content.file->fd.get(), std::as_writable_bytes(std::span(text)), 0));
  text.resize(read);
  return text;
}

Result<void> TestRegistry::append(registry::Upload& upload, std::string_view content) {
  return run(append_all(*buffers_, upload, std::string(content)));
}

Result<std::unique_ptr<registry::Upload>> TestRegistry::start_upload(std::string_view repository,
                                                                     oci::Algorithm algorithm, bool single_request) {
  return run(registry_->start_upload(actor(), name(repository), algorithm, single_request));
}

Result<std::unique_ptr<registry::Upload>> TestRegistry::claim_upload(std::string_view repository,
                                                                     const std::string& id) {
  return run(registry_->claim_upload(actor(), name(repository), id));
}

Result<void> TestRegistry::push_blob(std::string_view repository, const std::string& content,
                                     oci::Algorithm algorithm) {
  const oci::Digest digest = oci::hash(algorithm, as_bytes(content));
  return run(test::push_blob(*registry_, *buffers_, actor(), name(repository), content, digest));
}

std::string TestRegistry::image_manifest(const std::vector<std::string>& contents, std::string_view annotation) {
  const auto descriptor = [](const std::string& content, std::string_view type) {
    return "{\"mediaType\":\"" + std::string(type) + "\",\"digest\":\"" + oci::sha256(content).to_string() +
           "\",\"size\":" + std::to_string(content.size()) + "}";
  };
  std::string layers;
  for (std::size_t i = 1; i < contents.size(); ++i) {
    if (i > 1) layers += ',';
    layers += descriptor(contents[i], "application/vnd.oci.image.layer.v1.tar");
  }
  return "{\"schemaVersion\":2,\"mediaType\":\"" + std::string(oci::kImageManifestType) + "\",\"config\":" +
         descriptor(contents.at(0), "application/vnd.oci.image.config.v1+json") + ",\"layers\":[" + layers +
         "],\"annotations\":{\"note\":\"" + std::string(annotation) + "\"}}";
}

Result<registry::PutManifestDone> TestRegistry::put_manifest(std::string_view repository, std::string_view reference,
                                                             std::string body) {
  const oci::Digest digest = oci::sha256(body);
  registry::PutManifestRequest request{
      .repository = name(repository),
      .reference = reference.empty() ? oci::Reference(digest) : must(oci::parse_reference(reference), "reference"),
      .content_type = std::string(oci::kImageManifestType),
      .body = std::move(body),
      .extra_tags = {},
      .expected_digest = {},
      .precondition = {},
      .may_overwrite = true};
  return run(registry_->put_manifest(actor(), std::move(request)));
}

Result<registry::PutManifestDone> TestRegistry::push_image(std::string_view repository, std::string_view reference,
                                                           const std::vector<std::string>& contents,
                                                           std::string_view annotation) {
  for (const std::string& content : contents) BERTH_CHECK(push_blob(repository, content));
  return put_manifest(repository, reference, image_manifest(contents, annotation));
}

Result<std::string> TestRegistry::pull_blob(std::string_view repository, const oci::Digest& digest) {
  const oci::RepositoryName repository_name = name(repository);
  BERTH_TRY(const registry::BlobContent content, run(registry_->open_blob(registry::Actor{}, repository_name, digest)));
  return read_content(content);
}

Result<std::string> TestRegistry::pull_manifest(std::string_view repository, std::string_view reference) {
  const oci::RepositoryName repository_name = name(repository);
  const oci::Reference what = must(oci::parse_reference(reference), "reference");
  BERTH_TRY(const auto answer, run(registry_->get_manifest(registry::Actor{}, repository_name, what, true)));
  return answer->bytes;
}

}  // namespace berth::test
