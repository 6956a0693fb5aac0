#pragma once
// The cache's kernels by backend.
#include <concepts>
#include <cstddef>
#include <span>

#include <planish/backend/default.hpp>
#include <planish/kernels/cpu/entry_points.hpp>
#include <planish/kernels/reference/attend.hpp>
#include <planish/packing/attention.hpp>

namespace planish::inline PLANISH_ABI {

/// Bytes that one worker's `attend` needs for so many lines.
template <std::same_as<Cpu> B>
[[nodiscard]] std::size_t attend_scratch_bytes(B, const Attention& a, index lines) noexcept {
  return kernels::cpu::attend_scratch_bytes(a, lines);
}
[[nodiscard]] constexpr std::size_t attend_scratch_bytes(Reference, const Attention& a, index lines) noexcept {
  return kernels::reference::attend_scratch_bytes(a, lines);
}

/// Attention of these lines of one KV head; returns how many came out as NaN or infinity.
template <std::same_as<Cpu> B>
index attend(B, const Attention& a, index kv_head, Range lines, std::span<std::byte> scratch) noexcept {
  return kernels::cpu::attend(a, kv_head, lines, scratch);
}
inline index attend(Reference, const Attention& a, index kv_head, Range lines, std::span<std::byte> scratch) noexcept {
  return kernels::reference::attend(a, kv_head, lines, scratch);
}

/// Quantizes one key, or one value, into a page. False if it held NaN or infinity.
template <std::same_as<Cpu> B>
bool store_key(B, const KvPages& keys, const KvPage& page, index slot, const float* x, index step) noexcept {
  return kernels::cpu::store_key(keys, page, slot, x, step);
}
inline bool store_key(Reference, const KvPages& keys, const KvPage& page, index slot, const float* x,
                      index step) noexcept {
  return kernels::reference::store_key(keys, page, slot, x, step);
}
template <std::same_as<Cpu> B>
bool store_value(B, const KvPages& values, const KvPage& page, index slot, const float* x, index step) noexcept {
  return kernels::cpu::store_value(values, page, slot, x, step);
}
inline bool store_value(Reference, const KvPages& values, const KvPage& page, index slot, const float* x,
                        index step) noexcept {
  return kernels::reference::store_value(values, page, slot, x, step);
}

namespace detail {
template <class B>
concept Attends = requires(const B& b, const Attention& a, Range lines, std::span<std::byte> scratch) {
  { attend_scratch_bytes(b, a, index{}) } -> std::same_as<std::size_t>;
  { attend(b, a, index{}, lines, scratch) } -> std::same_as<index>;
};
template <class B>
concept StoresTokens = requires(const B& b, const KvPages& pages, const KvPage& page, const float* x) {
  { store_key(b, pages, page, index{}, x, index{}) } -> std::same_as<bool>;
  { store_value(b, pages, page, index{}, x, index{}) } -> std::same_as<bool>;
};
}  // namespace detail

/// A backend that keeps keys and values and attends to them.
template <class B>
concept AttentionBackend = detail::Attends<B> && detail::StoresTokens<B>;

namespace detail {
template <class B>
struct AttentionBackendOrSentence {
  static constexpr bool value = AttentionBackend<B>;
  static_assert(AttentionBackend<B>,
                "planish: a cache is kept by Cpu or Reference, or by a tag that satisfies AttentionBackend");
};
/// AttentionBackend, with a sentence in front of the compiler's own words.
template <class B>
concept MustBeAttentionBackend = AttentionBackendOrSentence<B>::value;
}  // namespace detail

static_assert(AttentionBackend<Cpu> && AttentionBackend<Reference>);

}  // namespace planish::inline PLANISH_ABI
