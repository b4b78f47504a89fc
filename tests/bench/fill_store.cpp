// Fills an index with many manifests through the same commands that pushes use, without a server in between:
//
//   fill_store INDEX_DIRECTORY MANIFESTS [MANIFESTS_PER_REPOSITORY [PREFIX]]
//
// Repositories are PREFIX0, PREFIX1…; one manifest a repository is an empty index, more are images that share a config
// and a layer. For the start-up and growth measurements, which want a million of them in a minute rather than in ten.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/env.h"
#include "oci/digest.h"
#include "oci/manifest.h"
#include "oci/name.h"
#include "registry/commands/commit_blob.h"
#include "registry/commands/init_format.h"
#include "registry/commands/put_manifest.h"
#include "storage/kv/committer.h"
#include "storage/kv/rocksdb_kv.h"

namespace {

using namespace berth;

template <class Command>
class Queued final : public kv::PendingCommand {
 public:
  explicit Queued(Command command) : command_(std::move(command)) {}
  Result<void> apply(kv::Transaction& transaction) override {
    Command attempt = command_;
    auto outcome = attempt.apply(transaction);
    if (!outcome.has_value()) return std::move(outcome).error();
    return {};
  }
  void complete(Result<void> outcome) override {
    if (outcome.has_value()) return;
    std::fprintf(stderr, "fill_store: %s\n", outcome.error().message.c_str());
    std::exit(1);
  }

 private:
  Command command_;
};

template <class Value>
Value or_die(Result<Value> result) {
  if (result.has_value()) return *std::move(result);
  std::fprintf(stderr, "fill_store: %s %s\n", result.error().message.c_str(), result.error().log_detail.c_str());
  std::exit(1);
}

class Filler {
 public:
  explicit Filler(kv::Store& store) : core_(store, [](std::span<const std::string>, std::uint64_t) {}) {
    if (!core_.open().has_value()) std::exit(1);
    registry::InitFormat init;
    init.context = context();
    add(std::move(init));
    flush();
  }

  template <class Command>
  void add(Command command) {
    commands_.push_back(std::make_unique<Queued<Command>>(std::move(command)));
    if (commands_.size() == 512) flush();
  }

  void flush() {
    while (!commands_.empty()) {
      std::vector<std::unique_ptr<kv::PendingCommand>> cold;
      if (!core_.apply(std::move(commands_), cold).has_value()) std::exit(1);
      commands_ = std::move(cold);
    }
  }

  registry::CommandContext context() const {
    registry::CommandContext made;
    made.actor = registry::kAnonymousActor;
    made.now = SystemClock().wall();
    return made;
  }

 private:
  kv::CommitterCore core_;
  std::vector<std::unique_ptr<kv::PendingCommand>> commands_;
};

oci::Digest add_blob(Filler& filler, const oci::RepositoryName& repository, std::string bytes) {
  const oci::Digest digest = oci::sha256(bytes);
  const std::size_t size = bytes.size();
  registry::CommitBlob::Inline content{std::make_shared<const std::string>(std::move(bytes))};
  registry::CommitBlob command{.context = filler.context(),
                               .repository = repository,
                               .digest = digest,
                               .size = size,
                               .content = std::move(content),
                               .periods = {}};
  filler.add(std::move(command));
  return digest;
}

void add_manifest(Filler& filler, const oci::RepositoryName& repository, const std::string& body, std::string_view type,
                  std::size_t number) {
  auto parsed = or_die(oci::parse_manifest(body, type, oci::ManifestLimits{}));
  const auto tag = or_die(oci::Tag::parse("v" + std::to_string(number)));
  registry::PutManifest command{.context = filler.context(),
                                .repository = repository,
                                .digest = oci::sha256(body),
                                .manifest = std::make_shared<const oci::Manifest>(std::move(parsed)),
                                .body = std::make_shared<const std::string>(body),
                                .reference = tag,
                                .periods = {}};
  filler.add(std::move(command));
}

std::string image(const oci::Digest& config, const oci::Digest& layer, std::size_t number) {
  return R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":)"
         R"("application/vnd.oci.image.config.v1+json","digest":")" +
         config.to_string() +
         R"(","size":2},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":")" +
         layer.to_string() + R"(","size":4096}],"annotations":{"number":")" + std::to_string(number) + R"("}})";
}

std::string empty_index(std::size_t number) {
  return R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[],"annotations":{"number":")" +
         std::to_string(number) + R"("}})";
}

/// One repository with the manifests [begin, end).
void add_images(Filler& filler, const oci::RepositoryName& repository, std::size_t begin, std::size_t end) {
  const auto config = add_blob(filler, repository, "{}");
  const auto layer = add_blob(filler, repository, std::string(4096, static_cast<char>('a' + begin % 26)));
  filler.flush();  // commands that do not wait for each other have no order among them
  for (; begin < end; ++begin)
    add_manifest(filler, repository, image(config, layer, begin), oci::kImageManifestType, begin);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: fill_store INDEX_DIRECTORY MANIFESTS [MANIFESTS_PER_REPOSITORY [PREFIX]]\n");
    return 2;
  }
  const std::size_t manifests = std::strtoull(argv[2], nullptr, 10);
  const std::size_t per_repository = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 100;
  const std::string prefix = argc > 4 ? argv[4] : "fill/repository";
  if (per_repository == 0) return 2;
  kv::RocksDbOptions options;
  options.directory = argv[1];
  auto store = or_die(kv::open_rocksdb(registry::schema(), options));
  {
    Filler filler(*store);
    for (std::size_t n = 0; n < manifests; n += per_repository) {
      const auto repository = or_die(oci::RepositoryName::parse(prefix + std::to_string(n / per_repository)));
      if (per_repository == 1) {
        add_manifest(filler, repository, empty_index(n), oci::kImageIndexType, n);
      } else {
        add_images(filler, repository, n, std::min(n + per_repository, manifests));
      }
    }
    filler.flush();
  }
  kv::ViewSource::release_thread_cache();
  if (auto flushed = store->flush(); !flushed.has_value()) return 1;
  std::printf("%zu manifests\n", manifests);
  return 0;
}
