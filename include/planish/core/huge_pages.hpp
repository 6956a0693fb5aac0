#pragma once
// Large buffers on large pages: one token reads every weight once, and with pages of 4 KiB a sixth of that time goes
// into looking addresses up.
#include <cstddef>

#if defined(__linux__) && __has_include(<sys/mman.h>)
#include <sys/mman.h>
#endif

#include <planish/core/abi.hpp>

namespace planish::inline PLANISH_ABI::detail {

inline constexpr std::size_t huge_page_bytes = std::size_t{2} << 20;

/// True for a buffer that fills a page of 2 MiB; what is left of it behind whole ones lies on small pages, so none of
/// it is wasted.
[[nodiscard]] constexpr bool wants_huge_pages(std::size_t bytes) noexcept { return bytes >= huge_page_bytes; }

/// Asks the system for large pages under memory that nobody has touched yet. A system that has none, or that does not
/// give them, changes nothing.
inline void prefer_huge_pages(void* memory, std::size_t bytes) noexcept {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  static_cast<void>(::madvise(memory, bytes / huge_page_bytes * huge_page_bytes, MADV_HUGEPAGE));
#else
  static_cast<void>(memory);
  static_cast<void>(bytes);
#endif
}

}  // namespace planish::inline PLANISH_ABI::detail
