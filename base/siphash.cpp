#include "base/siphash.h"

#include <bit>
#include <cstring>

namespace berth {
namespace {

static_assert(std::endian::native == std::endian::little, "words are read as they lie in memory");

std::uint64_t word_at(const void* from) {
  std::uint64_t word = 0;
  std::memcpy(&word, from, sizeof word);
  return word;
}

struct State {
  std::uint64_t a, b, c, d;

  void rounds(int count) {
    for (int i = 0; i < count; ++i) {
      a += b;
      b = std::rotl(b, 13) ^ a;
      a = std::rotl(a, 32);
      c += d;
      d = std::rotl(d, 16) ^ c;
      a += d;
      d = std::rotl(d, 21) ^ a;
      c += b;
      b = std::rotl(b, 17) ^ c;
      c = std::rotl(c, 32);
    }
  }
  void take(std::uint64_t word) {
    d ^= word;
    rounds(2);
    a ^= word;
  }
  std::uint64_t out() const { return a ^ b ^ c ^ d; }
};

}  // namespace

SipDigest siphash(const SipKey& key, std::string_view text) {
  const std::uint64_t first = word_at(key.data());
  const std::uint64_t second = word_at(key.data() + 8);
  State state{first ^ 0x736f6d6570736575u, second ^ 0x646f72616e646f6du ^ 0xeeu, first ^ 0x6c7967656e657261u,
              second ^ 0x7465646279746573u};
  std::size_t at = 0;
  for (; at + 8 <= text.size(); at += 8) state.take(word_at(text.data() + at));
  std::uint64_t last = static_cast<std::uint64_t>(text.size()) << 56;
  std::memcpy(&last, text.data() + at, text.size() - at);
  state.take(last);

  SipDigest digest;
  state.c ^= 0xeeu;
  state.rounds(4);
  digest.low = state.out();
  state.b ^= 0xddu;
  state.rounds(4);
  digest.high = state.out();
  return digest;
}

}  // namespace berth
