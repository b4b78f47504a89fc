// Result<T>: everything a caller can be told is a value, not an exception.
//
// Members are named as in std::expected so that a later switch is mechanical. In test builds an error that nobody
// looked at ends the process when its Result is destroyed: a dropped error is a bug, and `co_await f();` drops silently.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace berth {

/// What went wrong, finer than the wire codes. `api/errors` maps each to a wire code and an HTTP status.
/// Append only at the end of a group; the values never reach the disk.
enum class ErrorCode : std::uint8_t {
  // What a client got wrong.
  name_invalid,
  tag_invalid,
  digest_invalid,       ///< does not follow the digest grammar, or upper-case hex, or wrong length
  digest_unsupported,   ///< well-formed, but of an algorithm berth does not implement: absent to readers, refused to writers
  digest_mismatch,      ///< the content does not hash to the digest that was claimed
  manifest_invalid,
  manifest_too_large,
  manifest_blob_unknown,  ///< `subjects` holds every missing digest
  size_invalid,
  upload_range_invalid,  ///< a chunk that does not start where the upload stands; `upload_offset` is set
  range_unsatisfiable,   ///< a blob read that starts past the end
  page_invalid,          ///< `n` is not a non-negative integer
  precondition_failed,
  too_many_tags,
  request_invalid,
  request_too_large,
  expectation_failed,
  method_not_allowed,
  route_unknown,
  // What is not there.
  blob_unknown,
  upload_unknown,
  manifest_unknown,
  repository_unknown,
  // What is not allowed.
  unauthorized,
  denied,
  too_many_requests,
  host_refused,  ///< a foreign Host or Origin on a listener that trusts this machine only
  // What the server cannot do now.
  storage_full,
  unavailable,
  request_timeout,
  aborted,  ///< the peer went away or a newer request took over; never an error in the log
  // What should not happen.
  io_error,
  corrupt,      ///< stored bytes that fail a check
  would_block,  ///< internal: a cache-only read needs the disk; the caller repeats it on the disk pool
  internal,
};

/// The stable lower-case name, for logs and tests ("blob_unknown").
std::string_view to_string(ErrorCode code);

struct Error {
  ErrorCode code = ErrorCode::internal;
  std::string message;                            ///< for the client; never holds paths or secrets
  std::string log_detail = {};                    ///< for the log only
  std::vector<std::string> subjects = {};         ///< digests, one wire error each (manifest_blob_unknown)
  std::optional<std::uint64_t> upload_offset = {};  ///< bytes the session holds (upload_range_invalid)
};

template <class T>
class [[nodiscard]] Result;

namespace detail {
/// Dies when an error is destroyed unseen, in every build but the one that ships: a bug to find in tests, and no reason
/// to take a server down.
class ErrorWatch {
 public:
#ifdef BERTH_SHIPPED
  void arm(const Error&) {}
  void see() const {}
#else
  ErrorWatch() = default;
  ErrorWatch(const ErrorWatch& other) : armed_(other.armed_) { other.armed_ = false; }
  ErrorWatch(ErrorWatch&& other) noexcept : armed_(std::exchange(other.armed_, false)) {}
  ErrorWatch& operator=(const ErrorWatch& other) {
    if (this != &other) check(), armed_ = std::exchange(other.armed_, false);
    return *this;
  }
  ErrorWatch& operator=(ErrorWatch&& other) noexcept {
    if (this != &other) check(), armed_ = std::exchange(other.armed_, false);
    return *this;
  }
  ~ErrorWatch() { check(); }
  void arm(const Error&) { armed_ = true; }
  void see() const { armed_ = false; }

 private:
  void check() const {
    if (!armed_) return;
    std::fputs("berth: an error Result was dropped unseen\n", stderr);
    std::abort();
  }
  mutable bool armed_ = false;
#endif
};
}  // namespace detail

/// A T or an Error. Default-constructed it is an internal error (Asio's co_spawn wants a default constructor).
template <class T>
class [[nodiscard]] Result {
 public:
  using value_type = T;
  Result() : state_(std::in_place_index<1>) {}
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) { watch_.arm(std::get<1>(state_)); }
  template <class U>
    requires(std::is_constructible_v<T, U &&> && !std::is_same_v<std::remove_cvref_t<U>, Result> &&
             !std::is_same_v<std::remove_cvref_t<U>, Error> && !std::is_same_v<std::remove_cvref_t<U>, T>)
  Result(U&& value) : state_(std::in_place_index<0>, std::forward<U>(value)) {}

  bool has_value() const { return watch_.see(), state_.index() == 0; }
  explicit operator bool() const { return has_value(); }
  bool failed_with(ErrorCode code) const { return !has_value() && std::get<1>(state_).code == code; }

  T& value() & { return get(); }
  const T& value() const& { return const_cast<Result*>(this)->get(); }
  T&& value() && { return std::move(get()); }
  T& operator*() & { return get(); }
  const T& operator*() const& { return const_cast<Result*>(this)->get(); }
  T&& operator*() && { return std::move(get()); }
  T* operator->() { return &get(); }
  const T* operator->() const { return &const_cast<Result*>(this)->get(); }
  T value_or(T fallback) const& { return has_value() ? std::get<0>(state_) : std::move(fallback); }

  const Error& error() const& { return watch_.see(), std::get<1>(state_); }
  Error&& error() && { return watch_.see(), std::get<1>(std::move(state_)); }

 private:
  T& get() {
    watch_.see();
    if (state_.index() != 0) {  // A caller that did not check: a bug, never the network's or the disk's doing.
      std::fprintf(stderr, "berth: value() of an error: %s\n", std::get<1>(state_).message.c_str());
      std::abort();
    }
    return std::get<0>(state_);
  }
  std::variant<T, Error> state_;
  [[no_unique_address]] detail::ErrorWatch watch_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;
  Result() = default;  ///< success
  Result(Error error) : error_(std::move(error)) { watch_.arm(*error_); }
  bool has_value() const { return watch_.see(), !error_.has_value(); }
  explicit operator bool() const { return has_value(); }
  bool failed_with(ErrorCode code) const { return !has_value() && error_->code == code; }
  void value() const {
    if (!has_value()) std::abort();
  }
  const Error& error() const& { return watch_.see(), *error_; }
  Error&& error() && { return watch_.see(), *std::move(error_); }

 private:
  std::optional<Error> error_;
  [[no_unique_address]] detail::ErrorWatch watch_;
};

/// A Result that is on purpose not looked at, with the reason at the call.
template <class T>
void ignore(const Result<T>& result) {
  (void)result.has_value();
}

inline Error make_error(ErrorCode code, std::string message, std::string log_detail = {}) {
  return Error{code, std::move(message), std::move(log_detail)};
}

}  // namespace berth

#define BERTH_CONCAT_(a, b) a##b
#define BERTH_CONCAT(a, b) BERTH_CONCAT_(a, b)

/// `BERTH_TRY(auto x, f());` binds the value or returns the error.
#define BERTH_TRY(declaration, expression) BERTH_TRY_(BERTH_CONCAT(berth_try_, __COUNTER__), declaration, expression)
#define BERTH_TRY_(name, declaration, expression) \
  auto name = (expression);                       \
  if (!name.has_value()) return std::move(name).error(); \
  declaration = *std::move(name)
/// `BERTH_CHECK(f());` returns the error of a Result<void> (or of any Result whose value is not wanted).
#define BERTH_CHECK(expression)                                              \
  do {                                                                       \
    auto berth_checked = (expression);                                       \
    if (!berth_checked.has_value()) return std::move(berth_checked).error(); \
  } while (false)

/// The same inside a coroutine.
#define BERTH_CO_TRY(declaration, expression) BERTH_CO_TRY_(BERTH_CONCAT(berth_try_, __COUNTER__), declaration, expression)
#define BERTH_CO_TRY_(name, declaration, expression)        \
  auto name = (expression);                                 \
  if (!name.has_value()) co_return std::move(name).error(); \
  declaration = *std::move(name)
#define BERTH_CO_CHECK(expression)                                              \
  do {                                                                          \
    auto berth_checked = (expression);                                          \
    if (!berth_checked.has_value()) co_return std::move(berth_checked).error(); \
  } while (false)
