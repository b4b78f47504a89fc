#include "tests/faults/world.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "base/log.h"
#include "registry/keys.h"

namespace berth::faults {
namespace {

registry::RegistryOptions options(const WorldParts& parts) {
  registry::RegistryOptions out;
  out.inline_bytes_max = parts.inline_bytes_max;
  out.collection_grace = World::kGrace;
  out.undo_window = World::kGrace;
  out.reap_delay = std::chrono::minutes(1);
  out.upload_ttl = World::kGrace;
  out.collector_interval = std::chrono::milliseconds(2);
  return out;
}

storage::BallastOptions ballast_options(const WorldParts& parts) {
  storage::BallastOptions out;
  out.directory = parts.directory;
  if (!parts.whole_ballast) out.size_min = out.size_max = 64 << 10;
  return out;
}

std::function<void(const Error&)> or_die(std::function<void(const Error&)> on_fatal) {
  if (on_fatal) return on_fatal;
  return [](const Error& error) { die("the index could not be written: " + error.log_detail); };
}

}  // namespace

void die(std::string_view why) {
  std::fprintf(stderr, "%.*s\n", static_cast<int>(why.size()), why.data());
  if (std::getenv(kChildVariable) != nullptr) std::_Exit(kDeadExit);
  std::abort();
}

World::World(const WorldParts& parts)
    : parts_(parts),
      entropy_(parts.seed),
      disk_pool_("disk", 2),
      cpu_pool_("cpu", 1),
      buffers_(8 << 20),
      cache_(registry::make_answer_cache(1 << 20)),
      ballast_(parts.files, ballast_options(parts)),
      committer_(
          parts.store, disk_pool_, kv::CommitterOptions{},
          [this](std::span<const std::string> touched, std::uint64_t version) {
            registry::invalidate(*cache_, touched, version);
          },
          or_die(parts.on_fatal)) {}

Result<std::unique_ptr<World>> World::open(WorldParts parts) {
  // Hundreds of failures on purpose are no news.
  static const bool quiet = [] {
    log::setup(log::Level::error, log::Format::text, ::open("/dev/null", O_WRONLY | O_CLOEXEC));
    spdlog::set_level(spdlog::level::off);
    return true;
  }();
  (void)quiet;
  std::unique_ptr<World> world(new World(parts));
  BERTH_CHECK(world->start());
  return world;
}

Result<void> World::start() {
  BERTH_CHECK(ballast_.open());
  // The large blob of the script ends with two direct writes.
  BERTH_TRY(blobs_, storage::open_local_blob_store(
                        parts_.files, {.directory = parts_.directory,
                                       .bucket_files_max = 4,
                                       .writeback_bytes = 8192,
                                       .direct = {.from_bytes = 8192, .chunk_bytes = 8192, .threads = 1}}));
  BERTH_CHECK(committer_.start());
  BERTH_TRY(registry_, registry::open_registry({parts_.store, committer_, *blobs_, ballast_, disk_pool_, disk_pool_, cpu_pool_,
                                                buffers_, parts_.clock, entropy_},
                                               cache_, options(parts_)));
  return {};
}

World::~World() {
  if (registry_) registry_->stop();
  committer_.stop();
  registry_.reset();
}

bool World::idle() const {
  const auto current = view();
  for (const std::string& prefix : {registry::DueKey::prefix(), registry::ReapKey::prefix()}) {
    auto cursor = current->reader(kv::Tier::any).scan(registry::family::queues, kv::prefix_range(prefix));
    if (!cursor.has_value() || (*cursor)->valid()) return false;
  }
  return std::filesystem::is_empty(parts_.directory + "/uploads");
}

bool World::collect(std::chrono::milliseconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  // One round gives up links, the next unlinks their files: each has a delay of its own.
  while (!idle()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    parts_.clock.advance(kGrace + std::chrono::minutes(1));
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

}  // namespace berth::faults
