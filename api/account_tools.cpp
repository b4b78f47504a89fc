#include "api/account_tools.h"

#include "auth/access_control.h"

namespace berth::api {

namespace {

class AccessTools final : public AccountTools {
 public:
  explicit AccessTools(auth::AccessControl& access) : access_(access) {}
  const auth::AuthOptions& options() const override { return access_.options(); }
  Task<std::string> hash_password(std::string password) override { return access_.hash_password(std::move(password)); }
  Task<auth::Principal> principal_of_subject(std::string subject) override {
    return access_.principal_of_subject(std::move(subject));
  }

 private:
  auth::AccessControl& access_;
};

}  // namespace

std::unique_ptr<AccountTools> make_account_tools(auth::AccessControl& access) {
  return std::make_unique<AccessTools>(access);
}

}  // namespace berth::api
