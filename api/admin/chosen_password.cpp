#include "api/admin/chosen_password.h"

#include "api/account_tools.h"

namespace berth::api::admin {

namespace {

constexpr std::size_t kPasswordMin = 8;  ///< bytes; what comes in from outside sets its own rules

}  // namespace

Task<std::string> hash_chosen(Context& context, std::string password) {
  if (password.size() < kPasswordMin) {
    co_return make_error(ErrorCode::request_invalid,
                         "password is shorter than " + std::to_string(kPasswordMin) + " bytes");
  }
  co_return co_await context.accounts().hash_password(std::move(password));
}

}  // namespace berth::api::admin
