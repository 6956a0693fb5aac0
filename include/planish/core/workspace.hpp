#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include <planish/core/abi.hpp>
#include <planish/core/aligned_buffer.hpp>
#include <planish/core/divide_up.hpp>
#include <planish/core/index.hpp>

namespace planish::inline PLANISH_ABI {

/// Bytes that `count` elements of T take in a Workspace: whole cache lines.
template <class T>
[[nodiscard]] constexpr std::size_t workspace_bytes(index count) noexcept {
  return round_up(static_cast<std::size_t>(count) * sizeof(T), buffer_alignment);
}

/// Hands out cache-aligned pieces of memory that the caller owns, front to back; nothing is allocated or freed. It
/// belongs to one call. Ask for the size first: every operation that takes one has a `workspace_size(...)` in bytes.
class Workspace {
 public:
  Workspace() = default;

  /// Memory of any alignment; up to 63 bytes are skipped to reach a cache line.
  explicit Workspace(std::span<std::byte> memory) noexcept {
    const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
    const std::size_t skip = (buffer_alignment - address % buffer_alignment) % buffer_alignment;
    if (skip < memory.size()) rest_ = {memory.data() + skip, memory.size() - skip};
  }

  /// `count` uninitialised elements, or an empty span if too little is left.
  template <class T>
  [[nodiscard]] std::span<T> take(index count) noexcept {
    const std::size_t bytes = workspace_bytes<T>(count);
    if (bytes > rest_.size()) return {};
    auto* first = reinterpret_cast<T*>(rest_.data());
    rest_ = {rest_.data() + bytes, rest_.size() - bytes};
    return {first, static_cast<std::size_t>(count)};
  }

  /// Bytes left.
  [[nodiscard]] std::size_t size() const noexcept { return rest_.size(); }

 private:
  std::span<std::byte> rest_;
};

}  // namespace planish::inline PLANISH_ABI
