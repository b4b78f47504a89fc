#include "registry/upload.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace berth::registry {

namespace {

constexpr std::string_view kSidecarTitle = "berth upload 1";

Error upload_unknown() { return make_error(ErrorCode::upload_unknown, "there is no such upload session"); }
Error superseded() { return make_error(ErrorCode::aborted, "a newer request works on this upload session"); }

/// Takes the next line, without its end. False when there is none.
bool take_line(std::string_view& text, std::string_view& line) {
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos) return false;
  line = text.substr(0, end);
  text.remove_prefix(end + 1);
  return true;
}

template <class Number>
bool parse_number(std::string_view text, Number& number) {
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  return failure == std::errc{} && end == text.data() + text.size();
}

}  // namespace

// ---- the sidecar ----

std::string UploadFacts::encode() const {
  std::string text(kSidecarTitle);
  text.append("\n").append(repository);
  text.append("\n").append(std::to_string(actor));
  text.append("\n").append(oci::to_string(algorithm));
  text.append("\n").append(std::to_string(started.time_since_epoch().count())).append("\n");
  return text;
}

Result<UploadFacts> UploadFacts::decode(std::string_view text) {
  const Error damaged = make_error(ErrorCode::corrupt, "an upload session's note is damaged");
  std::string_view title, repository, actor, algorithm, started;
  const bool whole = take_line(text, title) && take_line(text, repository) && take_line(text, actor) &&
                     take_line(text, algorithm) && take_line(text, started) && text.empty();
  if (!whole || title != kSidecarTitle) return damaged;
  const auto name = oci::RepositoryName::parse(repository);
  const auto hash = oci::parse_algorithm(algorithm);
  std::int64_t started_ms = 0;
  UploadFacts facts;
  if (!name || !hash || !parse_number(actor, facts.actor) || !parse_number(started, started_ms)) return damaged;
  facts.repository = name->text();
  facts.algorithm = *hash;
  facts.started = WallTime(std::chrono::milliseconds(started_ms));
  return facts;
}

// ---- a session ----

UploadSession::UploadSession(const Parts& parts, std::string id, UploadFacts facts, bool resumable)
    : parts_(parts), id_(std::move(id)), facts_(std::move(facts)), resumable_(resumable),
      last_use_(parts.clock.steady()), content_(parts.content, id_, facts_.encode(), facts_.algorithm) {}

UploadSession::UploadSession(const Parts& parts, std::string id, UploadFacts facts, std::uint64_t size)
    : parts_(parts), id_(std::move(id)), facts_(std::move(facts)), resumable_(true), last_use_(parts.clock.steady()),
      offset_(size), content_(parts.content, id_, facts_.encode(), facts_.algorithm, size) {}

// ---- claims ----

Result<std::shared_ptr<UploadClaim>> UploadSession::enter() {
  auto claim = std::make_shared<UploadClaim>();
  std::function<void()> interrupt;
  {
    const Lock lock(mutex_);
    if (gone_) return upload_unknown();
    if (!holder_) {
      claim->state = UploadClaim::State::holding;
      holder_ = claim;
      return claim;
    }
    if (const auto older = std::exchange(waiter_, claim)) {
      older->state = UploadClaim::State::lost;
      older->changed.set();
    }
    interrupt = std::exchange(holder_->interrupt, nullptr);
  }
  if (interrupt) interrupt();  // it may take locks of its own
  return claim;
}

Task<void> UploadSession::hold(std::shared_ptr<UploadClaim> claim) {
  while (true) {
    {
      const Lock lock(mutex_);
      if (claim->state == UploadClaim::State::lost) co_return superseded();
      if (gone_) co_return upload_unknown();
      if (claim->state == UploadClaim::State::holding) break;
    }
    co_await claim->changed.wait();
  }
  // Nobody else touches the content now. What an earlier process left, or a truncation, is hashed again here.
  if (content_.needs_restore()) {
    ContentJob restore = [](UploadContent& content) { return content.restore(); };
    BERTH_CO_CHECK(co_await run(claim, parts_.disk, std::move(restore)));
  }
  while (!content_.is_hashed()) {
    ContentJob hash = [](UploadContent& content) { return content.hash_slice(); };
    BERTH_CO_CHECK(co_await run(claim, parts_.cpu, std::move(hash)));
  }
  content_.mark();
  const Lock lock(mutex_);
  offset_ = content_.size();
  co_return Result<void>{};
}

void UploadSession::leave(const std::shared_ptr<UploadClaim>& claim) {
  const Lock lock(mutex_);
  claim->state = UploadClaim::State::released;
  claim->interrupt = nullptr;
  if (waiter_ == claim) waiter_.reset();
  if (holder_ != claim || leaving_) return;
  leaving_ = true;
  if (!job_running_) release();
}

void UploadSession::on_superseded(const std::shared_ptr<UploadClaim>& claim, std::function<void()> interrupt) {
  {
    const Lock lock(mutex_);
    if (!waiter_) {
      claim->interrupt = std::move(interrupt);
      return;
    }
  }
  interrupt();  // it has happened already
}

void UploadSession::release() {
  failure_.reset();
  slot_.reset();
  if (!gone_ && !resumable_) end_locked(counts::UploadEnd::aborted);
  // The client is lost, or was refused: what it sent is kept all the same. Once, for the disk may be full.
  if (!gone_ && content_.unsaved() && !save_tried_) {
    save_tried_ = true;
    start_job(parts_.disk, [this] {
      const Result<void> saved = content_.save();
      if (!saved) fail(saved.error());
    });
    return;
  }
  hand_over();
}

void UploadSession::hand_over() {
  failure_.reset();
  leaving_ = false;
  save_tried_ = false;
  last_use_ = parts_.clock.steady();
  if (!gone_) offset_ = content_.size();
  holder_ = std::exchange(waiter_, nullptr);
  if (!holder_) return;
  holder_->state = UploadClaim::State::holding;
  holder_->changed.set();
}

// ---- jobs ----

void UploadSession::start_job(Background& pool, std::function<void()> job) {
  job_running_ = true;
  pool.post([self = shared_from_this(), job = std::move(job)] {
    job();
    const Lock lock(self->mutex_);
    self->end_job();
  });
}

void UploadSession::end_job() {
  job_running_ = false;
  progress_.set();
  if (gone_ && !discarded_) {
    discarded_ = true;
    start_job(parts_.disk, [this] { ignore(content_.discard()); });  // what stays expires after the next start
  } else if (leaving_) {
    release();
  }
}

void UploadSession::fail(const Error& error) {
  const bool full = error.code == ErrorCode::storage_full;
  const bool passing = full || error.code == ErrorCode::unavailable;  // out of room or of descriptors: no byte suffered
  if (full) parts_.ballast.report_full();
  const Lock lock(mutex_);
  failure_ = error;
  slot_.reset();
  offset_ = content_.size();
  if (!passing) end_locked(counts::UploadEnd::error);  // nobody knows what the disk holds
}

void UploadSession::end_locked(counts::UploadEnd how) {
  if (std::exchange(gone_, true)) return;
  counts::upload(how);
  parts_.table.remove(id_);
  if (published_) parts_.table.add_orphan(*std::exchange(published_, std::nullopt));
  if (waiter_) waiter_->changed.set();
  if (job_running_) return;  // its end does the rest
  discarded_ = true;
  if (content_.has_staging_file()) {
    start_job(parts_.disk, [this] { ignore(content_.discard()); });  // as in end_job()
  } else {
    ignore(content_.discard());  // only memory: it cannot fail
  }
}

void UploadSession::set_published(std::optional<storage::Place> place) {
  const Lock lock(mutex_);
  published_ = std::move(place);
}

void UploadSession::end(counts::UploadEnd how) {
  const Lock lock(mutex_);
  end_locked(how);
}

bool UploadSession::expire(SteadyTime now, const IdleTimes& times) {
  const Lock lock(mutex_);
  if (gone_ || holder_ || job_running_) return false;
  if (now - last_use_ < (offset_ == 0 ? times.empty : times.used)) {
    content_.park();
    return false;
  }
  end_locked(counts::UploadEnd::expired);
  return true;
}

// ---- the pipe ----

Result<void> UploadSession::check(const UploadClaim& claim) {
  if (failure_) return *std::exchange(failure_, std::nullopt);
  if (gone_) return upload_unknown();
  if (waiter_ && !claim.committing) return superseded();
  return {};
}

void UploadSession::begin_commit(UploadClaim& claim) {
  const Lock lock(mutex_);
  claim.committing = true;
}

std::uint64_t UploadSession::offset() const {
  const Lock lock(mutex_);
  return offset_;
}

Task<void> UploadSession::append(std::shared_ptr<UploadClaim> claim, Buffer buffer) {
  while (true) {
    {
      const Lock lock(mutex_);
      BERTH_CO_CHECK(check(*claim));
      const std::uint64_t room = parts_.blob_bytes_max - std::min(parts_.blob_bytes_max, offset_);
      if (parts_.blob_bytes_max != 0 && buffer.size() > room) {
        co_return make_error(ErrorCode::denied, "the blob is larger than this registry accepts");
      }
      if (!job_running_ && content_.keep(buffer.bytes())) {
        offset_ = content_.size();
        co_return Result<void>{};
      }
      if (!slot_) {
        offset_ += buffer.size();
        slot_ = std::move(buffer);
        if (!job_running_) start_writing();
        co_return Result<void>{};
      }
    }
    co_await progress_.wait();
  }
}

void UploadSession::start_writing() {
  job_running_ = true;
  parts_.disk.post([self = shared_from_this()] { self->write_slices(); });
}

void UploadSession::write_slices() {
  // After so many slices it is another job's turn.
  constexpr int kSlicesMax = 16;
  for (int slice = 0; slice < kSlicesMax; ++slice) {
    Buffer buffer;
    {
      const Lock lock(mutex_);
      if (gone_) slot_.reset();
      if (!slot_) return end_job();
      buffer = *std::exchange(slot_, std::nullopt);
      progress_.set();
    }
    const Result<void> written = content_.write(buffer.bytes());
    if (!written) fail(written.error());
  }
  parts_.disk.post([self = shared_from_this()] { self->write_slices(); });
}

Task<void> UploadSession::settle(std::shared_ptr<UploadClaim> claim) {
  while (true) {
    {
      const Lock lock(mutex_);
      if (!job_running_) co_return check(*claim);
    }
    co_await progress_.wait();
  }
}

Task<void> UploadSession::run(std::shared_ptr<UploadClaim> claim, Background& pool, ContentJob job) {
  BERTH_CO_CHECK(co_await settle(claim));
  {
    const Lock lock(mutex_);
    start_job(pool, [this, job = std::move(job)] {
      const Result<void> done = job(content_);
      if (!done) fail(done.error());
    });
  }
  co_return co_await settle(std::move(claim));
}

Task<void> UploadSession::flush(std::shared_ptr<UploadClaim> claim) {
  BERTH_CO_CHECK(co_await settle(claim));
  // What nobody can resume is not worth a file.
  if (!resumable_ || !content_.unsaved()) co_return Result<void>{};
  ContentJob save = [](UploadContent& content) { return content.save(); };
  co_return co_await run(std::move(claim), parts_.disk, std::move(save));
}

Task<void> UploadSession::truncate(std::shared_ptr<UploadClaim> claim, std::uint64_t offset) {
  BERTH_CO_CHECK(co_await settle(claim));
  if (content_.has_staging_file()) {
    ContentJob cut = [offset](UploadContent& content) { return content.truncate(offset); };
    BERTH_CO_CHECK(co_await run(claim, parts_.disk, std::move(cut)));
  } else {
    BERTH_CO_CHECK(content_.truncate(offset));
  }
  const Lock lock(mutex_);
  offset_ = content_.size();
  co_return Result<void>{};
}

Task<oci::Digest> UploadSession::digest(std::shared_ptr<UploadClaim> claim, oci::Algorithm algorithm) {
  // Up to here hashing in place costs less than a change of threads.
  constexpr std::uint64_t kHashInPlaceMax = 256 << 10;
  BERTH_CO_CHECK(co_await settle(claim));
  content_.hash_with(algorithm);
  while (!content_.is_hashed()) {
    ContentJob hash = [](UploadContent& content) { return content.hash_slice(); };
    BERTH_CO_CHECK(co_await run(claim, parts_.cpu, std::move(hash)));
  }
  if (content_.in_memory() && content_.size() > kHashInPlaceMax) {
    ContentJob hash = [](UploadContent& content) {
      content.digest();  // remembered there
      return Result<void>{};
    };
    BERTH_CO_CHECK(co_await run(claim, parts_.cpu, std::move(hash)));
  }
  co_return content_.digest();
}

// ---- the table ----

Result<void> UploadTable::add(std::shared_ptr<UploadSession> session) {
  if (count_.fetch_add(1, std::memory_order_relaxed) >= open_max_) {
    count_.fetch_sub(1, std::memory_order_relaxed);
    return make_error(ErrorCode::too_many_requests, "too many upload sessions are open; try again later");
  }
  if (!count_in(session->facts().actor)) {
    count_.fetch_sub(1, std::memory_order_relaxed);
    if (session->facts().actor == kAnonymousActor) {
      return make_error(ErrorCode::too_many_requests,
                        "too many upload sessions are open of those who have not logged in; try again later");
    }
    return make_error(ErrorCode::too_many_requests,
                      "this account has too many upload sessions open; finish or cancel some");
  }
  Shard& shard = shard_of(session->id());
  const std::lock_guard lock(shard.mutex);
  const std::string& id = session->id();
  shard.sessions.emplace(id, std::move(session));
  return {};
}

std::shared_ptr<UploadSession> UploadTable::find(const std::string& id) const {
  const Shard& shard = shard_of(id);
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.sessions.find(id);
  return found == shard.sessions.end() ? nullptr : found->second;
}

void UploadTable::remove(const std::string& id) {
  std::shared_ptr<UploadSession> last;  // goes after the lock, if this is its end
  Shard& shard = shard_of(id);
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.sessions.find(id);
  if (found == shard.sessions.end()) return;
  last = std::move(found->second);
  shard.sessions.erase(found);
  count_.fetch_sub(1, std::memory_order_relaxed);
  count_out(last->facts().actor);
}

bool UploadTable::count_in(ActorId actor) {
  const std::lock_guard lock(by_actor_mutex_);
  std::size_t& open = by_actor_[actor];
  if (open >= (actor == kAnonymousActor ? open_max_of_nobody_ : open_max_of_one_)) return false;
  ++open;
  return true;
}

void UploadTable::count_out(ActorId actor) {
  const std::lock_guard lock(by_actor_mutex_);
  const auto found = by_actor_.find(actor);
  if (found != by_actor_.end() && --found->second == 0) by_actor_.erase(found);
}

std::vector<std::shared_ptr<UploadSession>> UploadTable::all() const {
  std::vector<std::shared_ptr<UploadSession>> sessions;
  sessions.reserve(size());
  for (const Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    for (const auto& [id, session] : shard.sessions) sessions.push_back(session);
  }
  return sessions;
}

void UploadTable::add_orphan(storage::Place place) {
  const std::lock_guard lock(orphans_mutex_);
  orphans_.push_back(std::move(place));
}

std::vector<storage::Place> UploadTable::take_orphans() {
  const std::lock_guard lock(orphans_mutex_);
  return std::exchange(orphans_, {});
}

}  // namespace berth::registry
