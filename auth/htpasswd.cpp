#include "auth/htpasswd.h"

#include <fcntl.h>
#include <spdlog/fmt/fmt.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>

#include "auth/account_name.h"
#include "auth/passwords.h"
#include "base/log.h"

namespace berth::auth {
namespace {

constexpr std::chrono::seconds kLookEvery{1};
constexpr std::size_t kSaltEnd = 29;  // "$2y$10$" and 22 digits of salt

class Descriptor {
 public:
  explicit Descriptor(const std::string& path) : value_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
  Descriptor(const Descriptor&) = delete;
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  int get() const { return value_; }

 private:
  int value_;
};

Error io_error(std::string_view what, const std::string& path) {
  return make_error(ErrorCode::io_error, fmt::format("{}: {}: {}", path, what, std::strerror(errno)));
}

std::int64_t nanoseconds(const timespec& time) { return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec; }

}  // namespace

Result<Htpasswd> Htpasswd::parse(std::string_view text, std::string_view file) {
  Htpasswd parsed;
  std::map<std::string, std::size_t, std::less<>> salts;  // "$2y$10$" → how many
  std::size_t number = 0;
  const auto refuse = [&](std::string_view why) {
    return make_error(ErrorCode::request_invalid, fmt::format("{}:{}: {}", file, number, why));
  };
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.front() == '#') continue;
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) return refuse("expected name:hash");
    auto name = account_name(line.substr(0, colon));
    if (!name) {
      return refuse("a user name has up to 64 letters, digits, '.', '_', '@' and '-', with a letter or digit at both ends");
    }
    const std::string_view hash = line.substr(colon + 1);
    if (!hash.starts_with("$2") || !is_password_hash(hash)) {
      return refuse("only bcrypt hashes of cost 4 to 14 are accepted; write them with htpasswd -B");
    }
    if (!parsed.hashes_.emplace(*std::move(name), hash).second) return refuse("this user is there already");
    ++salts[std::string(hash.substr(0, kSaltEnd - 22))];
  }
  const auto most = std::max_element(salts.begin(), salts.end(),
                                     [](const auto& left, const auto& right) { return left.second < right.second; });
  // The cost decides the time, and nothing hashes to dots alone.
  if (most != salts.end()) parsed.decoy_ = most->first + std::string(60 - most->first.size(), '.');
  return parsed;
}

const std::string* Htpasswd::find(std::string_view user) const {
  const auto name = account_name(user);
  const auto found = name ? hashes_.find(*name) : hashes_.end();
  return found == hashes_.end() ? nullptr : &found->second;
}

HtpasswdFile::HtpasswdFile(std::string path, Pool& pool, const Clock& clock)
    : path_(std::move(path)), pool_(pool), clock_(clock) {}

Result<std::unique_ptr<HtpasswdFile>> HtpasswdFile::open(std::string path, Pool& pool, const Clock& clock) {
  std::unique_ptr<HtpasswdFile> file(new HtpasswdFile(std::move(path), pool, clock));
  BERTH_TRY(Content content, file->read());
  BERTH_TRY(Htpasswd parsed, Htpasswd::parse(content.text, file->path_));
  file->current_ = std::make_shared<const Htpasswd>(std::move(parsed));
  file->stamp_ = content.stamp;
  file->settled_ = content.settled;
  file->looked_at_ = clock.steady();
  return file;
}

Result<HtpasswdFile::Stamp> HtpasswdFile::stamp(const std::string& path, int descriptor) {
  struct stat status {};
  const int code = descriptor < 0 ? ::stat(path.c_str(), &status) : ::fstat(descriptor, &status);
  if (code != 0) return io_error("cannot look at the file", path);
  if (!S_ISREG(status.st_mode)) return make_error(ErrorCode::io_error, fmt::format("{}: not a regular file", path));
  return Stamp{.modified_ns = nanoseconds(status.st_mtim),
               .changed_ns = nanoseconds(status.st_ctim),
               .size = static_cast<std::uint64_t>(status.st_size),
               .inode = status.st_ino,
               .device = status.st_dev};
}

Result<HtpasswdFile::Content> HtpasswdFile::read() const {
  const Descriptor descriptor(path_);
  if (descriptor.get() < 0) return io_error("cannot open the file", path_);
  BERTH_TRY(const Stamp before, stamp(path_, descriptor.get()));
  if (before.size > Htpasswd::kFileSizeMax) {
    return make_error(ErrorCode::request_invalid, fmt::format("{}: larger than 16 MiB", path_));
  }
  Content content{.text = std::string(before.size, '\0'), .stamp = before};
  std::size_t filled = 0;
  while (filled < content.text.size()) {
    const ssize_t got = ::read(descriptor.get(), content.text.data() + filled, content.text.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return io_error("cannot read the file", path_);
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  content.text.resize(filled);
  BERTH_TRY(const Stamp after, stamp(path_, descriptor.get()));
  // A write in the same tick of the kernel's clock, to the same size, would leave the stamp as it is: only a file that
  // has been left alone for a while is known by its stamp.
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  constexpr std::int64_t kTickNs = 100'000'000;
  content.settled = before == after && nanoseconds(now) - before.changed_ns > kTickNs;
  return content;
}

bool HtpasswdFile::fresh() const { return clock_.steady() < good_until(); }

void HtpasswdFile::complain(const Error& error) {
  if (error.message == complaint_) return;
  complaint_ = error.message;
  log::error("the htpasswd file cannot be used; the users it had before stay", {{"file", path_}, {"why", error.message}});
}

std::shared_ptr<const Htpasswd> HtpasswdFile::look() {
  const std::lock_guard looking(looking_);
  const auto done = [this] {
    const std::lock_guard lock(mutex_);
    looked_at_ = clock_.steady();
    return current_;
  };
  if (fresh()) {  // somebody else looked while we waited
    const std::lock_guard lock(mutex_);
    return current_;
  }
  const auto now = stamp(path_);
  if (!now) {
    complain(now.error());
    return done();
  }
  if (settled_ && *now == stamp_) return done();
  auto content = read();
  if (!content) {
    complain(content.error());
    settled_ = false;
    return done();
  }
  stamp_ = content->stamp;
  settled_ = content->settled;
  auto parsed = Htpasswd::parse(content->text, path_);
  if (!parsed) {
    complain(parsed.error());
    return done();
  }
  complaint_.clear();
  auto next = std::make_shared<const Htpasswd>(*std::move(parsed));
  {
    const std::lock_guard lock(mutex_);
    current_ = std::move(next);
    ++version_;
  }
  return done();
}

Task<std::shared_ptr<const Htpasswd>> HtpasswdFile::current(std::shared_ptr<HtpasswdFile> self) {
  if (self->fresh()) {
    const std::lock_guard lock(self->mutex_);
    co_return self->current_;
  }
  auto job = [self] { return self->look(); };
  co_return co_await offload(self->pool_, std::move(job));
}

SteadyTime HtpasswdFile::good_until() const {
  const std::lock_guard lock(mutex_);
  return looked_at_ + kLookEvery;
}

std::uint64_t HtpasswdFile::version() const {
  const std::lock_guard lock(mutex_);
  return version_;
}

}  // namespace berth::auth
