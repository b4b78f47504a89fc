#include "server/tls.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <spdlog/fmt/fmt.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/log.h"
#include "server/connection_metrics.h"

namespace berth::server {
namespace {

constexpr std::size_t kFileBytesMax = 4 << 20;
constexpr auto kPoll = std::chrono::seconds(60);
/// Files that belong together are written one after the other: the last of them ends the wait.
constexpr auto kSettle = std::chrono::milliseconds(300);
constexpr int kSettleRoundsMax = 20;

WallTime now() { return std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now()); }

Error about(const std::string& file, std::string_view what) {
  return make_error(ErrorCode::request_invalid, fmt::format("{}: {}", file, what));
}

Result<std::string> read_file(const std::string& path) {
  // A pipe in place of a file must not hold us.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return about(path, fmt::format("cannot be opened: {}", std::strerror(errno)));
  struct stat status{};
  if (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) return about(path, "is not a file");
  std::string text;
  char piece[16 << 10];
  for (;;) {
    const auto bytes = ::read(file.get(), piece, sizeof piece);
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes < 0) return about(path, fmt::format("cannot be read: {}", std::strerror(errno)));
    if (bytes == 0) return text;
    text.append(piece, static_cast<std::size_t>(bytes));
    if (text.size() > kFileBytesMax) return about(path, fmt::format("is larger than {} bytes", kFileBytesMax));
  }
}

/// A hash of texts in order, each with its size.
std::string hash_of(const std::vector<std::string_view>& texts) {
  const std::unique_ptr<EVP_MD_CTX, FreeWith<EVP_MD_CTX_free>> context(EVP_MD_CTX_new());
  unsigned char digest[EVP_MAX_MD_SIZE] = {};
  unsigned size = 0;
  EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr);
  for (const auto text : texts) {
    const std::uint64_t bytes = text.size();
    EVP_DigestUpdate(context.get(), &bytes, sizeof bytes);
    EVP_DigestUpdate(context.get(), text.data(), text.size());
  }
  EVP_DigestFinal_ex(context.get(), digest, &size);
  return {reinterpret_cast<const char*>(digest), size};
}

}  // namespace

Tls::Tls(std::vector<std::optional<TlsOptions>> listeners) {
  bool any = false;
  for (auto& options : listeners) {
    states_.push_back(options ? std::make_unique<State>() : nullptr);
    if (options) states_.back()->options = *std::move(options);
    any |= states_.back() != nullptr;
  }
  if (!any) return;
  tickets_ = std::make_shared<TicketKeys>();
  pool_ = std::make_unique<Pool>("tls", std::max(1U, std::thread::hardware_concurrency()));
  pool_watched_ = watch_pool(*pool_);
}

Tls::~Tls() {
  if (!thread_.joinable()) return;
  const std::uint64_t one = 1;
  while (::write(end_.get(), &one, sizeof one) < 0 && errno == EINTR) {
  }
  thread_.join();
}

Result<Tls::Content> Tls::read_files(const TlsOptions& options) {
  Content content;
  for (const auto& pair : options.certificates) {
    BERTH_TRY(auto certificate, read_file(pair.certificate));
    BERTH_TRY(auto key, read_file(pair.key));
    content.pairs.emplace_back(std::move(certificate), std::move(key));
  }
  if (!options.client_ca.empty()) {
    BERTH_TRY(content.client_ca, read_file(options.client_ca));
  }
  std::vector<std::string_view> texts{content.client_ca};
  for (const auto& [certificate, key] : content.pairs) {
    texts.push_back(certificate);
    texts.push_back(key);
  }
  content.hash = hash_of(texts);
  return content;
}

Result<std::shared_ptr<const TlsContext>> Tls::make_context(std::size_t listener, const Content& content) const {
  const auto& options = states_[listener]->options;
  TlsContext::Parts parts;
  for (std::size_t i = 0; i < content.pairs.size(); ++i) {
    auto parsed = parse_certificate(content.pairs[i].first, content.pairs[i].second, now());
    if (!parsed)
      return about(fmt::format("{} with {}", options.certificates[i].certificate, options.certificates[i].key),
                   parsed.error().message);
    parsed->status.listener = listener;
    parsed->status.file = options.certificates[i].certificate;
    parts.certificates.push_back(*std::move(parsed));
  }
  if (!options.client_ca.empty()) {
    auto authorities = parse_certificates(content.client_ca);
    if (!authorities) return about(options.client_ca, authorities.error().message);
    for (const auto& authority : *authorities) {
      auto status = status_of(*authority);
      status.listener = listener;
      status.file = options.client_ca;
      status.loaded = now();
      status.vouches = true;
      parts.client_authority_statuses.push_back(std::move(status));
    }
    parts.client_authorities = *std::move(authorities);
  }
  parts.client_certificates = options.client_certificates;
  parts.only_1_3 = options.only_1_3;
  parts.scope = hash_of({content.client_ca, fmt::format("{} {}", listener, static_cast<int>(options.client_certificates))});
  parts.tickets = tickets_;
  return TlsContext::make(std::move(parts));
}

void Tls::take(std::size_t listener, std::shared_ptr<const TlsContext> context, std::string hash) {
  auto& state = *states_[listener];
  for (const auto& status : context->certificates()) {
    if (status.vouches) continue;
    const auto names = fmt::format("{}", fmt::join(status.names, ","));
    log::info("certificate loaded", {{"file", status.file},
                                     {"names", names},
                                     {"key", status.key},
                                     {"issuer", status.issuer},
                                     {"not_after", format_rfc3339(status.not_after)},
                                     {"fingerprint", status.fingerprint}});
    if (status.names.empty())
      log::warning("a certificate names nobody: clients look at its alternative names and will refuse it",
                   {{"file", status.file}, {"subject", status.subject}});
  }
  state.hash = std::move(hash);
  state.warned.assign(context->certificates().size(), static_cast<int>(ExpiryStep::none));
  const std::lock_guard lock(mutex_);
  state.context = std::move(context);
  state.problem.clear();
}

Result<void> Tls::load() {
  const std::lock_guard reloading(reloading_);
  for (std::size_t listener = 0; listener < states_.size(); ++listener) {
    if (!states_[listener]) continue;
    BERTH_TRY(auto content, read_files(states_[listener]->options));
    BERTH_TRY(auto context, make_context(listener, content));
    take(listener, std::move(context), std::move(content.hash));
  }
  warn_of_expiry();
  return {};
}

void Tls::reload() {
  const std::lock_guard reloading(reloading_);
  for (std::size_t listener = 0; listener < states_.size(); ++listener) {
    if (states_[listener]) reload_one(listener);
  }
  warn_of_expiry();
}

void Tls::reload_one(std::size_t listener) {
  auto& state = *states_[listener];
  auto content = read_files(state.options);
  if (content && content->hash == state.hash) {
    const std::lock_guard lock(mutex_);
    state.problem.clear();
    return;
  }
  std::string problem;
  if (!content) {
    problem = content.error().message;
  } else if (auto context = make_context(listener, *content)) {
    take(listener, *std::move(context), std::move(content->hash));
    return;
  } else {
    problem = context.error().message;
  }
  {
    const std::lock_guard lock(mutex_);
    if (state.problem == problem) return;
    state.problem = problem;
  }
  log::error("a certificate could not be loaded; the one loaded before stays in use", {{"problem", problem}});
}

void Tls::warn_of_expiry() {
  for (const auto& state : states_) {
    if (!state) continue;
    const auto& statuses = state->context->certificates();
    for (std::size_t i = 0; i < statuses.size(); ++i) {
      const auto step = expiry_step(statuses[i].not_after, now());
      if (static_cast<int>(step) <= state->warned[i]) continue;
      state->warned[i] = static_cast<int>(step);
      const auto level = step >= ExpiryStep::day_1 ? log::Level::error : log::Level::warning;
      const std::string_view ended = statuses[i].vouches
                                         ? "an authority of client certificates has expired: what it signed is refused"
                                         : "a certificate has expired: clients refuse it";
      log::event(level, step == ExpiryStep::expired ? ended : "a certificate expires soon",
                 {{"file", statuses[i].file}, {"not_after", format_rfc3339(statuses[i].not_after)}});
    }
  }
}

std::shared_ptr<const TlsContext> Tls::context(std::size_t listener) const {
  const std::lock_guard lock(mutex_);
  return states_[listener]->context;
}

std::vector<CertificateStatus> Tls::certificates() const {
  std::vector<CertificateStatus> all;
  const std::lock_guard lock(mutex_);
  for (const auto& state : states_) {
    if (!state || !state->context) continue;
    for (auto status : state->context->certificates()) {
      status.problem = state->problem;
      all.push_back(std::move(status));
    }
  }
  return all;
}

void Tls::watch() {
  if (!pool_ || thread_.joinable()) return;
  end_ = Descriptor(::eventfd(0, EFD_CLOEXEC));
  if (!end_) {
    log::warning("certificates are read again on SIGHUP only", {{"error", std::strerror(errno)}});
    return;
  }
  changes_.emplace();
  for (const auto& state : states_) {
    if (!state) continue;
    changes_->add(state->options.client_ca);
    for (const auto& pair : state->options.certificates) {
      changes_->add(pair.certificate);
      changes_->add(pair.key);
    }
  }
  thread_ = std::thread([this] { run_watch(); });
}

void Tls::run_watch() {
  ::pthread_setname_np(::pthread_self(), "berth-tls-files");
  std::array<pollfd, 2> wait{{{end_.get(), POLLIN, 0}, {changes_->descriptor(), POLLIN, 0}}};
  const auto wait_for = [&wait](std::chrono::milliseconds longest) {
    return ::poll(wait.data(), wait.size(), static_cast<int>(longest.count()));
  };
  for (;;) {
    int ready = wait_for(kPoll);
    for (int round = 0; ready > 0 && round < kSettleRoundsMax; ++round) {
      if (wait[0].revents != 0) return;
      changes_->drain();
      ready = wait_for(kSettle);
    }
    if (ready > 0 && wait[0].revents != 0) return;
    reload();
  }
}

}  // namespace berth::server
