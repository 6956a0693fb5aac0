#pragma once
// A heap that notices who writes behind what was taken: every block is followed by bytes of ones, which are looked at
// when it is given back. What reads them finds NaN, or -1. For the main unit of a program; weak, so that units which
// count what is taken (counted_heap.hpp) may have operators of their own: the forms that are not here lead to these.
#include <cstddef>
#include <cstdlib>
#include <new>

#include "sanitizer_heap.hpp"

#if defined(__GLIBC__) && !defined(SANITIZER_OWNS_HEAP)  // which says how much a block really has
#include <cstdio>
#include <cstring>
#include <malloc.h>

namespace watched_heap {

inline constexpr std::size_t least_behind = 64;  // bytes, and then the size that was asked for
inline constexpr unsigned char mark = 0xff;

inline std::size_t room_of(void* memory) { return ::malloc_usable_size(memory) - sizeof(std::size_t); }

inline void* watch(void* memory, std::size_t size) {
  if (memory == nullptr) throw std::bad_alloc();
  const std::size_t room = room_of(memory);
  auto* const bytes = static_cast<unsigned char*>(memory);
  std::memset(bytes + size, mark, room - size);
  std::memcpy(bytes + room, &size, sizeof(size));
  return memory;
}
inline std::size_t with_room(std::size_t size) {
  const std::size_t all = size + least_behind + sizeof(std::size_t);
  if (all < size) throw std::bad_alloc();
  return all;
}
inline void give(void* memory) {
  if (memory == nullptr) return;
  const std::size_t room = room_of(memory);
  const auto* const bytes = static_cast<const unsigned char*>(memory);
  std::size_t size = 0;
  std::memcpy(&size, bytes + room, sizeof(size));
  bool whole = size <= room && room - size >= least_behind;
  for (std::size_t i = size; whole && i < room; ++i) whole = bytes[i] == mark;
  if (!whole) {
    std::fputs("ERROR: something was written behind a block of the heap\n", stderr);
    std::abort();
  }
  std::free(memory);
}

}  // namespace watched_heap

// Not inlined: GCC would take a new and the free of its delete for a mismatched pair.
[[gnu::noinline, gnu::weak]] void* operator new(std::size_t size) {
  return watched_heap::watch(std::malloc(watched_heap::with_room(size)), size);
}
[[gnu::noinline, gnu::weak]] void* operator new(std::size_t size, std::align_val_t alignment) {
  const auto step = static_cast<std::size_t>(alignment);
  return watched_heap::watch(std::aligned_alloc(step, watched_heap::with_room(size)), size);
}
[[gnu::noinline, gnu::weak]] void operator delete(void* memory) noexcept { watched_heap::give(memory); }
[[gnu::noinline, gnu::weak]] void operator delete(void* memory, std::align_val_t) noexcept {
  watched_heap::give(memory);
}
[[gnu::noinline, gnu::weak]] void operator delete(void* memory, std::size_t /*size*/) noexcept {
  ::operator delete(memory);
}
[[gnu::noinline, gnu::weak]] void operator delete(void* memory, std::size_t /*size*/,
                                                  std::align_val_t alignment) noexcept {
  ::operator delete(memory, alignment);
}

#endif
