#include "oci/digest.h"

#include <catch2/catch.hpp>
#include <optional>
#include <set>
#include <string>

namespace berth::oci {
namespace {

struct HashVector {
  const char* name;
  std::string text;
  const char* sha256;
  const char* sha512;
};

// FIPS 180-4 examples as NIST publishes them.
const HashVector kVectors[] = {
    {"empty", "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
     "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a"
     "5383"
     "27af927da3e"},
    {"one block", "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
     "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2"
     "a9ac9"
     "4fa54ca49f"},
    {"two blocks of sha256", "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
     "204a8fc6dda82f0a0ced7beb8e08a41657c16ef468b228a8279be331a703c33596fd15c13b1b07f9aa1d3bea57789ca031ad85c7a71dd7035"
     "4ec63"
     "1238ca3445"},
    {"a million a", std::string(1000000, 'a'), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
     "e718483d0ce769644e2e42c7bc15b4638e1f98b13b2044285632a803afa973ebde0ff244877ea60a4cb0432ce577c31beb009c5c2c49aa2e4"
     "eadb2"
     "17ad8cc09b"},
};

std::string hex_of(std::size_t size, char digit = 'a') { return std::string(size, digit); }

}  // namespace

TEST_CASE("hashes agree with NIST's vectors, however the bytes are split") {
  for (const auto& vector : kVectors) {
    INFO(vector.name);
    CHECK(hash(Algorithm::sha256, as_bytes(vector.text)).hex() == vector.sha256);
    CHECK(hash(Algorithm::sha512, as_bytes(vector.text)).hex() == vector.sha512);
    for (const std::size_t step : {std::size_t{1}, std::size_t{63}, std::size_t{4097}}) {
      if (vector.text.size() / step > 100000) continue;
      Hasher hasher(Algorithm::sha512);
      for (std::size_t at = 0; at < vector.text.size(); at += step) {
        hasher.update(as_bytes(std::string_view(vector.text).substr(at, step)));
      }
      CHECK(hasher.finish().hex() == vector.sha512);
    }
  }
  CHECK(sha256("abc").to_string() == std::string("sha256:") + kVectors[1].sha256);
}

TEST_CASE("a hasher can be moved in the middle") {
  Hasher first(Algorithm::sha256);
  first.update(as_bytes("a"));
  Hasher second = std::move(first);
  second.update(as_bytes("bc"));
  CHECK(second.algorithm() == Algorithm::sha256);
  CHECK(second.finish() == sha256("abc"));
}

TEST_CASE("digest texts") {
  struct Row {
    const char* name;
    std::string text;
    std::optional<ErrorCode> error;
  };
  const Row rows[] = {
      {"sha256", "sha256:" + hex_of(64), {}},
      {"sha512", "sha512:" + hex_of(128, '0'), {}},
      {"empty", "", ErrorCode::digest_invalid},
      {"no colon", "sha256", ErrorCode::digest_invalid},
      {"only a colon", ":", ErrorCode::digest_invalid},
      {"no algorithm", ":" + hex_of(64), ErrorCode::digest_invalid},
      {"no hash", "sha256:", ErrorCode::digest_invalid},
      {"short", "sha256:" + hex_of(63), ErrorCode::digest_invalid},
      {"long", "sha256:" + hex_of(65), ErrorCode::digest_invalid},
      {"sha512 of sha256's length", "sha512:" + hex_of(64), ErrorCode::digest_invalid},
      {"sha256 of sha512's length", "sha256:" + hex_of(128), ErrorCode::digest_invalid},
      {"upper case", "sha256:" + hex_of(63) + "A", ErrorCode::digest_invalid},
      {"not hex", "sha256:" + hex_of(63) + "g", ErrorCode::digest_invalid},
      {"as the conformance suite spells it", "sha256:baddigeststring", ErrorCode::digest_invalid},
      {"upper-case algorithm", "SHA256:" + hex_of(64), ErrorCode::digest_invalid},
      {"two colons", "sha256::" + hex_of(64), ErrorCode::digest_invalid},
      {"colon in the hash", "sha256:" + hex_of(32) + ":" + hex_of(31), ErrorCode::digest_invalid},
      {"slash", "sha256:../../../etc/passwd", ErrorCode::digest_invalid},
      {"zero byte", "sha256:" + hex_of(63) + std::string(1, '\0'), ErrorCode::digest_invalid},
      {"blank in front", " sha256:" + hex_of(64), ErrorCode::digest_invalid},
      {"blank behind", "sha256:" + hex_of(64) + " ", ErrorCode::digest_invalid},
      {"newline behind", "sha256:" + hex_of(64) + "\n", ErrorCode::digest_invalid},
      {"blake3", "blake3:" + hex_of(64), ErrorCode::digest_unsupported},
      {"md5", "md5:" + hex_of(32), ErrorCode::digest_unsupported},
      {"a compound algorithm",
       "multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8=", ErrorCode::digest_unsupported},
      {"every separator", "a+b.c_d-e:Z", ErrorCode::digest_unsupported},
      {"two separators", "a++b:abc", ErrorCode::digest_invalid},
      {"separator in front", "+a:abc", ErrorCode::digest_invalid},
      {"separator behind", "a-:abc", ErrorCode::digest_invalid},
      {"as long as allowed", "x:" + hex_of(253), ErrorCode::digest_unsupported},
      {"one too long", "x:" + hex_of(254), ErrorCode::digest_invalid},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    const auto digest = Digest::parse(row.text);
    CHECK(digest.has_value() == !row.error.has_value());
    if (row.error) {
      CHECK(digest.error().code == *row.error);
      CHECK_FALSE(digest.error().message.empty());
      if (*row.error == ErrorCode::digest_unsupported) CHECK(is_digest_grammar(row.text));
    } else {
      CHECK(digest->to_string() == row.text);
      CHECK(is_digest_grammar(row.text));
    }
  }
}

TEST_CASE("the general digest grammar takes any algorithm and any encoding") {
  for (const std::string& text : {std::string("sha256:baddigeststring"), "sha256:" + hex_of(63) + "A",
                                  std::string("md5:0"), std::string("a.b+c:_-=Az09")}) {
    INFO(text);
    CHECK(is_digest_grammar(text));
  }
  for (const char* text :
       {"", ":", "a:", ":a", "a:b:c", "A:b", "a_:b", "a:b/c", "a:b c", "a b:c", "a:b%", "\xc3\xa9:a"}) {
    INFO(text);
    CHECK_FALSE(is_digest_grammar(text));
  }
}

TEST_CASE("algorithm names") {
  CHECK(parse_algorithm("sha256").value() == Algorithm::sha256);
  CHECK(parse_algorithm("sha512").value() == Algorithm::sha512);
  CHECK(parse_algorithm("blake3").failed_with(ErrorCode::digest_unsupported));
  for (const char* text : {"", "SHA256", "sha256:", "sha 256", "-", "sha256-"}) {
    INFO(text);
    CHECK(parse_algorithm(text).failed_with(ErrorCode::digest_invalid));
  }
}

TEST_CASE("digest keys give back what went in and keep algorithms apart") {
  for (const Algorithm algorithm : {Algorithm::sha256, Algorithm::sha512}) {
    const Digest digest = hash(algorithm, as_bytes("abc"));
    const std::string key = digest.key();
    CHECK(key.size() == Digest::key_size(algorithm));
    CHECK(key[0] == (algorithm == Algorithm::sha256 ? '\x01' : '\x02'));
    CHECK(Digest::decode_key(key).value() == digest);
    CHECK(Digest::decode_key(key.substr(0, key.size() - 1)).failed_with(ErrorCode::corrupt));
    CHECK(Digest::decode_key(key + 'x').failed_with(ErrorCode::corrupt));
    CHECK(Digest::decode_key('\x07' + key.substr(1)).failed_with(ErrorCode::corrupt));
    CHECK(Digest::from_raw(algorithm, digest.raw()) == digest);
  }
  CHECK(Digest::decode_key("").failed_with(ErrorCode::corrupt));

  // The same first bytes under two algorithms are two digests.
  const Digest narrow = Digest::parse("sha256:" + hex_of(64)).value();
  const Digest wide = Digest::parse("sha512:" + hex_of(64) + hex_of(64, '0')).value();
  CHECK(narrow != wide);
  CHECK(narrow.key() != wide.key());
}

TEST_CASE("the copy of a running hash goes on by itself") {
  for (const Algorithm algorithm : {Algorithm::sha256, Algorithm::sha512}) {
    Hasher hasher(algorithm);
    hasher.update(as_bytes("ab"));
    Hasher copy = hasher.copy();
    hasher.update(as_bytes("x"));
    CHECK(hasher.finish() == hash(algorithm, as_bytes("abx")));
    CHECK(copy.algorithm() == algorithm);
    copy.update(as_bytes("c"));
    CHECK(copy.finish() == hash(algorithm, as_bytes("abc")));
  }
}

TEST_CASE("digest order is the order of keys") {
  std::set<std::pair<std::string, Digest>> by_key;
  for (int i = 0; i < 50; ++i) {
    for (const Algorithm algorithm : {Algorithm::sha256, Algorithm::sha512}) {
      const Digest digest = hash(algorithm, as_bytes(std::to_string(i)));
      by_key.emplace(digest.key(), digest);
    }
  }
  REQUIRE(by_key.size() == 100);
  const Digest* before = nullptr;
  for (const auto& [key, digest] : by_key) {
    if (before != nullptr) CHECK(*before < digest);
    before = &digest;
  }
  CHECK(DigestHash{}(sha256("a")) != DigestHash{}(sha256("b")));
}

}  // namespace berth::oci
