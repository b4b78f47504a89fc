// Where the bytes of requests arrive.
//
// A connection that waits for its next request gives its block back, and each request takes one: blocks of the usual size
// go round within a thread, past the allocator, whose way for blocks of this size is long.
#pragma once

#include <boost/beast/core/flat_buffer.hpp>
#include <cstddef>
#include <memory>
#include <type_traits>
#include <vector>

namespace berth::server {

/// A few blocks of kSize bytes that nobody uses, of one thread.
class SpareBlocks {
 public:
  static constexpr std::size_t kSize = 4 << 10;

  static SpareBlocks& of_this_thread() {
    thread_local SpareBlocks blocks;
    return blocks;
  }
  SpareBlocks() { blocks_.reserve(kMax); }
  SpareBlocks(const SpareBlocks&) = delete;
  SpareBlocks& operator=(const SpareBlocks&) = delete;
  ~SpareBlocks() {
    for (void* block : blocks_) ::operator delete(block);
  }

  void* take() {
    if (blocks_.empty()) return ::operator new(kSize);
    void* block = blocks_.back();
    blocks_.pop_back();
    return block;
  }
  void give_back(void* block) noexcept {
    if (blocks_.size() < kMax) {
      blocks_.push_back(block);  // there is room: it does not allocate
    } else {
      ::operator delete(block);
    }
  }

 private:
  static constexpr std::size_t kMax = 16;
  std::vector<void*> blocks_;
};

/// An allocator over them. Blocks may come from one thread and go to another.
template <class T>
struct SpareBlockAllocator {
  using value_type = T;
  using is_always_equal = std::true_type;

  SpareBlockAllocator() = default;
  template <class U>
  SpareBlockAllocator(const SpareBlockAllocator<U>&) {}

  T* allocate(std::size_t count) {
    if (count * sizeof(T) == SpareBlocks::kSize) return static_cast<T*>(SpareBlocks::of_this_thread().take());
    return std::allocator<T>().allocate(count);
  }
  void deallocate(T* block, std::size_t count) noexcept {
    if (count * sizeof(T) == SpareBlocks::kSize) {
      SpareBlocks::of_this_thread().give_back(block);
    } else {
      std::allocator<T>().deallocate(block, count);
    }
  }
  friend bool operator==(const SpareBlockAllocator&, const SpareBlockAllocator&) { return true; }
};

/// Bytes that came and that nobody has used yet; shared by the head of one request, its body and the next head.
using Input = boost::beast::basic_flat_buffer<SpareBlockAllocator<char>>;

}  // namespace berth::server
