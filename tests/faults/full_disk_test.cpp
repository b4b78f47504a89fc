// A disk that is really full: a tmpfs of 12 MiB and an ext4 of 24 MiB (they fail at different places) under the blobs,
// the ballast and RocksDB together. Mounting wants root; without it these tests are skipped with a warning.
#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "oci/digest.h"
#include "registry/check.h"
#include "registry/registry.h"
#include "storage/kv/rocksdb_kv.h"
#include "tests/faults/script.h"
#include "tests/faults/world.h"
#include "tests/support/faulty_files.h"

using namespace berth;
using namespace berth::faults;
using registry::Actor;

namespace {

constexpr std::uint64_t kMiB = 1 << 20;

/// A small file system of its own.
class SmallMount {
 public:
  explicit SmallMount(const std::string& kind) : path_(directory_.path() + "/mount") {
    REQUIRE(std::system(("mkdir " + path_).c_str()) == 0);
    if (kind == "tmpfs") {
      mounted_ = ::mount("none", path_.c_str(), "tmpfs", 0, "size=12m") == 0;
    } else {
      const std::string image = directory_.path() + "/image";
      mounted_ = std::system(("truncate -s 24M " + image + " && mkfs.ext4 -q -F " + image + " && mount -o loop " + image +
                              " " + path_ + " 2>/dev/null")
                                 .c_str()) == 0;
    }
  }
  ~SmallMount() {
    if (mounted_) ::umount2(path_.c_str(), MNT_DETACH);
  }
  SmallMount(const SmallMount&) = delete;
  bool mounted() const { return mounted_; }
  const std::string& path() const { return path_; }

 private:
  test::TemporaryDirectory directory_;
  std::string path_;
  bool mounted_ = false;
};

/// Somebody else's file, which takes all that is left.
class Filler {
 public:
  explicit Filler(const std::string& directory) : path_(directory + "/filler") {
    const storage::Fd fd(::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    REQUIRE(fd);
    const std::string block(4096, 'f');
    while (::write(fd.get(), block.data(), block.size()) > 0) {
    }
    CHECK(errno == ENOSPC);
  }
  ~Filler() { ::unlink(path_.c_str()); }

 private:
  std::string path_;
};

/// Runs of the process over one disk.
struct Site {
  explicit Site(const std::string& kind) : mount(kind) {}

  /// The same order as the server's: the ballast first, so that the index has room to recover.
  void start() {
    {
      storage::Ballast ballast(storage::posix_file_system(), {.directory = mount.path()});
      REQUIRE(ballast.open().has_value());
    }
    kv::RocksDbOptions options;
    options.directory = mount.path() + "/index";
    auto opened = kv::open_rocksdb(registry::schema(), options);
    if (!opened.has_value()) FAIL(opened.error().message << ": " << opened.error().log_detail);
    store = std::move(*opened);
    auto made = World::open({.store = *store,
                             .files = storage::posix_file_system(),
                             .directory = mount.path(),
                             .clock = clock,
                             .seed = ++starts,
                             .inline_bytes_max = inline_bytes_max,
                             .whole_ballast = true});
    if (!made.has_value()) FAIL(made.error().message << ": " << made.error().log_detail);
    world = std::move(*made);
  }
  void stop() {
    world.reset();
    store.reset();
  }
  registry::Registry& registry() { return world->registry(); }

  SmallMount mount;
  test::ManualClock clock;
  std::uint64_t starts = 0;
  std::uint64_t inline_bytes_max = 4 << 10;
  std::unique_ptr<kv::Store> store;
  std::unique_ptr<World> world;
};

std::string noise(std::size_t size, unsigned seed) {
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>((seed = seed * 1664525 + 1013904223) >> 24);
  return out;
}

oci::RepositoryName repo() { return oci::RepositoryName::parse("team/app").value(); }

registry::Buffer filled(World& world, std::string_view bytes) {
  registry::Buffer buffer = world.buffers().acquire_now(bytes.size());
  std::memcpy(buffer.space().data(), bytes.data(), bytes.size());
  buffer.set_size(bytes.size());
  return buffer;
}

Task<void> append(World& world, registry::Upload& upload, std::string_view content) {
  while (!content.empty()) {
    const std::string_view slice = content.substr(0, 256 << 10);
    content.remove_prefix(slice.size());
    registry::Buffer buffer = filled(world, slice);
    BERTH_CO_CHECK(co_await upload.append(std::move(buffer)));
  }
  co_return co_await upload.flush();
}

Task<void> push(World& world, std::string content) {
  const oci::Digest digest = oci::sha256(content);
  BERTH_CO_TRY(auto upload, co_await world.registry().start_upload(Actor{}, repo(), oci::Algorithm::sha256, true));
  BERTH_CO_CHECK(co_await append(world, *upload, content));
  co_return co_await upload->commit(digest);
}

std::string manifest_over(const std::string& blob) {
  const std::string descriptor = "\"digest\":\"" + oci::sha256(blob).to_string() +
                                 "\",\"size\":" + std::to_string(blob.size()) + "}";
  return "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"config\":{\"mediaType\":"
         "\"application/vnd.oci.image.config.v1+json\"," +
         descriptor + ",\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\"," + descriptor + "]}";
}

Result<void> put(World& world, const std::string& blob, const std::string& tag) {
  registry::PutManifestRequest request{repo(), oci::Tag::parse(tag).value(), "", manifest_over(blob), {}, {}, {}, true};
  auto answer = world.wait(world.registry().put_manifest(Actor{}, std::move(request)));
  if (!answer.has_value()) return answer.error();
  return {};
}

std::string get_tag(World& world, const std::string& tag) {
  const auto answer =
      world.wait(world.registry().get_manifest(Actor{}, repo(), oci::Tag::parse(tag).value(), false));
  return answer.has_value() ? (*answer)->bytes : "<" + answer.error().message + ">";
}

bool readable(World& world, const std::string& blob) {
  const auto content = world.wait(world.registry().open_blob(Actor{}, repo(), oci::sha256(blob)));
  if (!content.has_value()) return false;
  if (content->bytes) return *content->bytes == blob;
  std::string bytes(content->size, '\0');
  const auto got = storage::posix_file_system().read_at(content->file->fd.get(),
                                                        std::as_writable_bytes(std::span(bytes)), 0);
  return got.has_value() && bytes == blob;
}

Result<void> delete_tag(World& world, const std::string& tag) {
  return world.wait(world.registry().delete_tag(Actor{}, repo(), oci::Tag::parse(tag).value(), {},
                                                registry::TagSet::everything()));
}

bool is_refusal(const Result<void>& answer) {
  return answer.failed_with(ErrorCode::storage_full) || answer.failed_with(ErrorCode::unavailable);
}

/// Seconds until pushes are taken again, by the real clock.
double seconds_until_writable(World& world) {
  const auto begin = std::chrono::steady_clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(); };
  while (!world.registry().writable() && elapsed() < 20) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  return elapsed();
}

void check_index(World& world) {
  const auto view = world.view();
  const auto findings = registry::check_index(view->reader(kv::Tier::any));
  REQUIRE(findings.has_value());
  CHECK(findings->empty());
}

}  // namespace

TEST_CASE("a disk that fills in the middle of a push and of a tag overwrite") {
  const std::string kind = GENERATE("tmpfs", "ext4");
  INFO(kind);
  Site site(kind);
  if (!site.mount.mounted()) {
    WARN("skipped: " << kind << " cannot be mounted here");
    return;
  }
  site.start();
  const std::string base = noise(300'000, 1), small = noise(1000, 2), large = noise(2 * kMiB, 3);
  REQUIRE(site.world->wait(push(*site.world, base)).has_value());
  REQUIRE(site.world->wait(push(*site.world, small)).has_value());
  REQUIRE(put(*site.world, base, "v1").has_value());
  REQUIRE(put(*site.world, base, "old").has_value());

  auto upload = site.world->wait(site.registry().start_upload(Actor{}, repo(), oci::Algorithm::sha256, false)).value();
  const std::string id = upload->id();
  REQUIRE(site.world->wait(append(*site.world, *upload, std::string_view(large).substr(0, kMiB))).has_value());
  {
    const Filler filler(site.mount.path());
    CHECK(is_refusal(site.world->wait(append(*site.world, *upload, std::string_view(large).substr(kMiB)))));
    upload.reset();
    CHECK_FALSE(site.registry().writable());

    CHECK(is_refusal(site.world->wait(push(*site.world, noise(100'000, 4)))));
    const Result<void> overwritten = put(*site.world, small, "v1");
    CHECK(is_refusal(overwritten));
    CHECK(get_tag(*site.world, "v1") == manifest_over(base));
    CHECK(readable(*site.world, base));
    CHECK(delete_tag(*site.world, "old").has_value());
    CHECK(get_tag(*site.world, "v1") == manifest_over(base));
  }
  CHECK(seconds_until_writable(*site.world) < 5);

  // The session is there still and goes on where it stood.
  const std::uint64_t offset = site.world->wait(site.registry().upload_offset(Actor{}, repo(), id)).value();
  CHECK(offset >= kMiB);
  REQUIRE(offset <= large.size());
  upload = site.world->wait(site.registry().claim_upload(Actor{}, repo(), id)).value();
  CHECK(site.world->wait(append(*site.world, *upload, std::string_view(large).substr(offset))).has_value());
  CHECK(site.world->wait(upload->commit(oci::sha256(large))).has_value());
  upload.reset();
  CHECK(readable(*site.world, large));
  CHECK(put(*site.world, small, "v1").has_value());

  site.stop();
  site.start();
  CHECK(get_tag(*site.world, "v1") == manifest_over(small));
  CHECK(get_tag(*site.world, "old").starts_with("<"));
  CHECK(readable(*site.world, large));
  check_index(*site.world);
}

TEST_CASE("a disk that pushes fill: refused in time, deletes go on, a restart too, and space comes back") {
  const std::string kind = GENERATE("tmpfs", "ext4");
  const bool inline_blobs = GENERATE(false, true);
  const bool orderly = GENERATE(false, true);
  INFO(kind << ", inline " << inline_blobs << ", orderly stop " << orderly);
  Site site(kind);
  if (!site.mount.mounted()) {
    WARN("skipped: " << kind << " cannot be mounted here");
    return;
  }
  site.inline_bytes_max = inline_blobs ? 128 << 10 : 4 << 10;
  site.start();

  std::vector<std::string> blobs;  // with a tag each: b0, b1, …
  unsigned refused = 0;
  for (unsigned n = 0; n < 2000 && refused < 20; ++n) {
    std::string blob = noise(60'000, 100 + n);
    const auto pushed = site.world->wait(push(*site.world, blob));
    const auto tagged = pushed.has_value() ? put(*site.world, blob, "b" + std::to_string(blobs.size())) : pushed;
    if (tagged.has_value()) {
      blobs.push_back(std::move(blob));
    } else {
      CHECK(is_refusal(tagged));
      ++refused;
    }
  }
  CHECK(blobs.size() >= 20);
  CHECK_FALSE(site.registry().writable());

  CHECK(delete_tag(*site.world, "b0").has_value());
  if (orderly) {
    site.world.reset();
    ignore(site.store->flush());  // wants as much room as the index' log takes: it may not be there, and nothing is lost
  }
  site.stop();
  site.start();
  CHECK(get_tag(*site.world, "b0").starts_with("<"));
  for (std::size_t i = 1; i < blobs.size(); ++i) {
    INFO(i);
    REQUIRE(get_tag(*site.world, "b" + std::to_string(i)) == manifest_over(blobs[i]));
    REQUIRE(readable(*site.world, blobs[i]));
  }
  check_index(*site.world);

  for (const std::string& blob : blobs) {
    const auto gone = site.world->wait(
        site.registry().delete_manifest(Actor{}, repo(), oci::sha256(manifest_over(blob)), {},
                                        registry::TagSet::everything()));
    CHECK(gone.has_value());
  }
  CHECK(site.world->collect(std::chrono::seconds(20)));
  check_index(*site.world);
  // What the index itself held gives its room back when RocksDB next flushes and compacts, which nothing hurries here.
  if (inline_blobs) return;
  CHECK(seconds_until_writable(*site.world) < 5);
  CHECK(site.world->wait(push(*site.world, noise(60'000, 1))).has_value());
  check_index(*site.world);
}
