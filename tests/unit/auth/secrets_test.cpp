#include "auth/secrets.h"

#include <catch2/catch.hpp>
#include <cctype>
#include <set>
#include <string>

#include "base/bytes.h"
#include "tests/support/seeded_entropy.h"

namespace berth::auth {
namespace {

/// Gives the same byte always.
class ConstantEntropy final : public Entropy {
 public:
  explicit ConstantEntropy(unsigned char value) : value_(value) {}
  void fill(std::span<std::byte> out) override {
    for (auto& byte : out) byte = static_cast<std::byte>(value_);
  }

 private:
  unsigned char value_;
};

}  // namespace

TEST_CASE("a secret has its prefix, 256 bits and a checksum") {
  struct Row {
    SecretKind kind;
    const char* prefix;
  };
  test::SeededEntropy entropy(5);
  for (const auto& row : {Row{SecretKind::robot, "berth_r_"}, Row{SecretKind::personal, "berth_p_"},
                          Row{SecretKind::refresh, "berth_f_"}}) {
    const Secret secret = make_secret(row.kind, entropy);
    INFO(secret.text);
    CHECK_THAT(secret.text, Catch::StartsWith(row.prefix));
    CHECK(secret.text.size() == 57);
    CHECK(parse_secret(secret.text) == row.kind);
    CHECK(secret.hash == hash_secret(secret.text));
    CHECK(secret.hash.size() == 32);
    // Any one wrong character is noticed without a look-up.
    for (std::size_t i = 0; i < secret.text.size(); ++i) {
      std::string typo = secret.text;
      typo[i] = typo[i] == 'a' ? 'b' : 'a';
      CHECK_FALSE(parse_secret(typo));
    }
    CHECK_FALSE(parse_secret(secret.text + '0'));
    CHECK_FALSE(parse_secret(secret.text.substr(1)));
  }
  CHECK_FALSE(parse_secret(""));
}

TEST_CASE("secrets keep their form, so that scanners go on finding them") {
  ConstantEntropy zeros(0);
  ConstantEntropy ones(0xff);
  // CRC-32 and base 62 computed with another program.
  CHECK(make_secret(SecretKind::robot, zeros).text == "berth_r_00000000000000000000000000000000000000000001YCBfs");
  CHECK(make_secret(SecretKind::personal, ones).text == "berth_p_yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp11osaCH");
}

TEST_CASE("no two secrets are alike") {
  SystemEntropy entropy;
  std::set<std::string> seen;
  for (int i = 0; i < 500; ++i) CHECK(seen.insert(make_secret(SecretKind::personal, entropy).text).second);
}

TEST_CASE("hashes of secrets are compared whole") {
  const std::string hash = hash_secret("a");
  std::string other = hash;
  other.back() = static_cast<char>(other.back() ^ 1);
  CHECK(same_secret_hash(hash, hash_secret("a")));
  CHECK_FALSE(same_secret_hash(hash, other));
  CHECK_FALSE(same_secret_hash(hash, hash.substr(0, 31)));
  CHECK_FALSE(same_secret_hash(hash, ""));
}

}  // namespace berth::auth
