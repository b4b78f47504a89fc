#include "base/siphash.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <memory>
#include <string>

#include "tests/support/seeded_entropy.h"

namespace berth {
namespace {

SipDigest by_openssl(const SipKey& key, std::string_view text) {
  const std::unique_ptr<EVP_MAC, decltype(&EVP_MAC_free)> method(EVP_MAC_fetch(nullptr, "SIPHASH", nullptr), EVP_MAC_free);
  const std::unique_ptr<EVP_MAC_CTX, decltype(&EVP_MAC_CTX_free)> context(EVP_MAC_CTX_new(method.get()), EVP_MAC_CTX_free);
  std::size_t size = 16;
  const OSSL_PARAM params[] = {OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size), OSSL_PARAM_construct_end()};
  REQUIRE(EVP_MAC_init(context.get(), reinterpret_cast<const unsigned char*>(key.data()), key.size(), params) == 1);
  REQUIRE(EVP_MAC_update(context.get(), reinterpret_cast<const unsigned char*>(text.data()), text.size()) == 1);
  unsigned char out[16] = {};
  REQUIRE(EVP_MAC_final(context.get(), out, &size, sizeof out) == 1);
  REQUIRE(size == 16);
  SipDigest digest;
  std::memcpy(&digest.low, out, 8);
  std::memcpy(&digest.high, out + 8, 8);
  return digest;
}

}  // namespace

TEST_CASE("SipHash is what OpenSSL says it is, for every length") {
  test::SeededEntropy entropy{7};
  for (std::size_t size = 0; size < 200; ++size) {
    SipKey key{};
    entropy.fill(key);
    std::string text(size, '\0');
    entropy.fill(std::as_writable_bytes(std::span(text)));
    INFO(size);
    CHECK(siphash(key, text) == by_openssl(key, text));
  }
}

TEST_CASE("both halves of a digest count") {
  const SipDigest one{1, 2};
  CHECK(one == SipDigest{1, 2});
  CHECK_FALSE(one == SipDigest{1, 3});
  CHECK_FALSE(one == SipDigest{2, 2});
}

}  // namespace berth
