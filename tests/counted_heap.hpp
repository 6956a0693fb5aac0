#pragma once
// Counts what a program holds of the heap, by replacing operator new: for one unit of a program of its own. Nothing of
// it is there where the heap is a sanitizer's (SANITIZER_OWNS_HEAP).
#include <atomic>
#include <cstdlib>
#include <malloc.h>
#include <new>

#include "sanitizer_heap.hpp"

#if !defined(SANITIZER_OWNS_HEAP)

namespace counted_heap {

inline std::atomic<std::size_t> held{0}, most_held{0};

inline void* take(void* memory) {
  if (memory == nullptr) return nullptr;
  const std::size_t now = held += ::malloc_usable_size(memory);
  if (now > most_held) most_held = now;
  return memory;
}
inline void* take_aligned(std::size_t size, std::align_val_t alignment) {
  const auto step = static_cast<std::size_t>(alignment);
  return take(std::aligned_alloc(step, (size + step - 1) / step * step));
}
inline void give(void* memory) {
  if (memory != nullptr) held -= ::malloc_usable_size(memory);
  std::free(memory);
}

/// The most that `work` holds at once, beyond what was held before.
template <class Work>
std::size_t most_of(Work&& work) {
  const std::size_t before = held;
  most_held = before;
  work();
  return most_held - before;
}

}  // namespace counted_heap

// Not inlined: GCC would take a new and the free of its delete for a mismatched pair.
[[gnu::noinline]] void* operator new(std::size_t size) {
  if (void* memory = counted_heap::take(std::malloc(size))) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t alignment) {
  if (void* memory = counted_heap::take_aligned(size, alignment)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return counted_heap::take(std::malloc(size));
}
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return counted_heap::take_aligned(size, alignment);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { counted_heap::give(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { counted_heap::give(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept { counted_heap::give(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  counted_heap::give(memory);
}

#endif
