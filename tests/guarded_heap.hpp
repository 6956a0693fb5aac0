#pragma once
// A heap whose blocks end at a page that nobody may touch, by replacing operator new: for one unit of a program of its
// own. Nothing of it is there where the heap is a sanitizer's (SANITIZER_OWNS_HEAP), which watches these ends itself.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <sys/mman.h>
#include <unistd.h>

#include "sanitizer_heap.hpp"

#if !defined(SANITIZER_OWNS_HEAP)

namespace guarded_heap {

inline thread_local bool on = false;

/// While it lives, this thread's blocks are guarded; those taken before and after are not.
class Scope {
 public:
  Scope() noexcept { on = true; }
  ~Scope() { on = false; }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
};

/// Address space for the blocks, handed out once.
struct Arena {
  std::byte *first = nullptr, *next = nullptr;
  std::size_t size = std::size_t{1} << (sizeof(void*) > 4 ? 33 : 29),
              page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));

  Arena() noexcept {
    void* const mapping = ::mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping != MAP_FAILED) first = next = static_cast<std::byte*>(mapping);
  }
  [[nodiscard]] bool has(const void* block) const noexcept {
    return first != nullptr && block >= first && block < first + size;
  }
};
inline Arena& arena() noexcept {
  static Arena all;
  return all;
}

constexpr std::size_t step = 16;   // what operator new promises
constexpr std::byte unused{0xff};  // between the last element and the page

/// Layout of a block: its size in the first page, then pages that end with the block, then a forbidden page.
inline void* take(std::size_t bytes) noexcept {
  Arena& a = arena();
  const std::size_t whole = (bytes + step - 1) / step * step, room = (whole + a.page - 1) / a.page * a.page + a.page;
  if (a.first == nullptr || a.next + room + a.page > a.first + a.size) return nullptr;
  std::byte* const block = a.next;
  if (::mprotect(block, room, PROT_READ | PROT_WRITE) != 0) return nullptr;
  a.next += room + a.page;
  std::memset(block, std::to_integer<int>(unused), room);
  std::memcpy(block, &bytes, sizeof bytes);
  return block + room - whole;
}

/// Ends the program where something was written behind the block; nobody may touch its pages from here on.
inline void give(void* memory) noexcept {
  const Arena& a = arena();
  auto* const start = static_cast<std::byte*>(memory);
  std::byte* const block = a.first + (static_cast<std::size_t>(start - a.first) / a.page - 1) * a.page;
  std::size_t bytes = 0;
  std::memcpy(&bytes, block, sizeof bytes);
  const std::size_t whole = (bytes + step - 1) / step * step;
  for (const std::byte* at = start + bytes; at < start + whole; ++at)
    if (*at != unused) std::abort();
  const auto room = static_cast<std::size_t>(start + whole - block);
  ::madvise(block, room, MADV_DONTNEED);
  ::mprotect(block, room, PROT_NONE);
}

inline void* allocate(std::size_t bytes) noexcept { return on ? take(bytes) : std::malloc(bytes); }
inline void release(void* memory) noexcept {
  if (memory == nullptr) return;
  if (arena().has(memory))
    give(memory);
  else
    std::free(memory);
}

}  // namespace guarded_heap

// Not inlined: GCC would take a new and the free of its delete for a mismatched pair.
[[gnu::noinline]] void* operator new(std::size_t size) {
  if (void* memory = guarded_heap::allocate(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { guarded_heap::release(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { guarded_heap::release(memory); }

#endif
