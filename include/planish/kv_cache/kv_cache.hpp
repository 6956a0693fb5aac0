#pragma once
#include <algorithm>
#include <concepts>
#include <numbers>
#include <type_traits>
#include <utility>

#include <planish/backend/attention.hpp>
#include <planish/core/abi.hpp>
#include <planish/core/divide_up.hpp>
#include <planish/core/executor.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/core/result.hpp>
#include <planish/core/workspace.hpp>
#include <planish/kv_cache/attend_blocks.hpp>
#include <planish/kv_cache/options.hpp>
#include <planish/kv_cache/page_store.hpp>

namespace planish::inline PLANISH_ABI {

namespace detail {
template <class... Elements>
concept AreFloat = (std::same_as<std::remove_const_t<Elements>, float> && ...);
}  // namespace detail

/// Keys and values of one attention layer and one sequence, quantized when they are appended. Whatever attends,
/// prefill and decode alike, reads what is stored, so the score of a prompt contains the cache's error; and a row's
/// result is the same to the bit however the prompt was cut into calls.
/// One writer; any number of readers between two writes.
class KvCache {
 public:
  KvCache() = default;

  /// An empty cache. Fails on sizes out of range and when memory runs out.
  PLANISH_LAZY static Result<KvCache> make(const KvCacheOptions& options) noexcept {
    if (Status s = check(options); !s.ok()) return s;
    KvCache cache;
    cache.options_ = options;
    const index size = options.head_size;
    auto keys =
        PageStore::make(options.kv_heads, layout(options, options.key_bits, options.key_clip, key_page_floats(size),
                                                 key_page_bytes(size, options.key_bits)));
    if (!keys) return keys.status();
    auto values =
        PageStore::make(options.kv_heads, layout(options, options.value_bits, options.value_clip,
                                                 value_page_floats(size), value_page_bytes(size, options.value_bits)));
    if (!values) return values.status();
    cache.keys_ = std::move(*keys);
    cache.values_ = std::move(*values);
    return cache;
  }

  [[nodiscard]] const KvCacheOptions& options() const noexcept { return options_; }
  [[nodiscard]] index tokens() const noexcept { return tokens_; }
  [[nodiscard]] index capacity() const noexcept { return options_.capacity; }

  /// Bytes of memory held, for the whole capacity.
  PLANISH_LAZY [[nodiscard]] std::size_t size_bytes() const noexcept {
    return keys_.size_bytes() + values_.size_bytes();
  }

  /// Where everything lies; `packing/kv_pages.hpp` says how.
  [[nodiscard]] KvPages keys() const noexcept { return keys_.pages(); }
  [[nodiscard]] KvPages values() const noexcept { return values_.pages(); }

  /// Quantizes and stores the next k.rows() tokens; k and v are tokens × kv_heads · head_size, k after its position
  /// embedding and transform. Wrong shapes (`shape_mismatch`) and tokens beyond the capacity (`invalid_argument`)
  /// change nothing. A vector with NaN or infinity is stored as NaN (all that attend to it get NaN) and reported as
  /// not_finite, with the first such token and head.
  template <detail::MustBeAttentionBackend B = DefaultBackend>
  Status append(MatrixView<const float> k, MatrixView<const float> v, const B& backend = {}) noexcept {
    const index width = options_.kv_heads * options_.head_size;
    if (k.columns() != width || v.columns() != width || k.rows() != v.rows())
      return {ErrorCode::shape_mismatch,
              "KV cache: append got keys ",
              k.rows(),
              "x",
              k.columns(),
              " and values ",
              v.rows(),
              "x",
              v.columns(),
              ", needs ",
              width,
              " columns and equal rows"};
    if (k.rows() > options_.capacity - tokens_)
      return {ErrorCode::invalid_argument,  "KV cache: ",     tokens_, " tokens and ", k.rows(),
              " more exceed the capacity ", options_.capacity};
    const KvPages keys = keys_.pages(), values = values_.pages();
    Status status;
    for (index r = 0; r < k.rows(); ++r) {
      const index token = tokens_ + r, slot = token % page_tokens;
      for (index head = 0; head < options_.kv_heads; ++head) {
        const index column = head * options_.head_size;
        const bool key_is_finite =
            store_key(backend, keys, keys.page(head, token / page_tokens), slot, &k(r, column), k.column_stride());
        const bool value_is_finite = store_value(backend, values, values.page(head, token / page_tokens), slot,
                                                 &v(r, column), v.column_stride());
        if ((!key_is_finite || !value_is_finite) && status.ok())
          status = {ErrorCode::not_finite,
                    "KV cache: the ",
                    key_is_finite ? "value" : "key",
                    " of token ",
                    token,
                    ", head ",
                    head,
                    " holds NaN or infinity"};
      }
    }
    tokens_ += k.rows();
    return status;
  }

  /// Other elements, for a sentence.
  template <class K, class V, class... Rest>
  requires(!detail::AreFloat<K, V>) Status append(MatrixView<K>, MatrixView<V>, Rest&&...)
  noexcept {
    static_assert(detail::AreFloat<K, V>, "planish: keys and values come as views of float; convert others first");
    return {};
  }

  /// Forgets all tokens from `tokens` on.
  void truncate(index tokens) noexcept { tokens_ = std::clamp<index>(tokens, 0, tokens_); }

  /// A copy, asked for by name: for sequences that share a beginning. Fails with out_of_memory.
  PLANISH_LAZY [[nodiscard]] Result<KvCache> clone() const noexcept {
    KvCache copy;
    copy.options_ = options_;
    copy.tokens_ = tokens_;
    auto keys = keys_.clone();
    if (!keys) return keys.status();
    auto values = values_.clone();
    if (!values) return values.status();
    copy.keys_ = std::move(*keys);
    copy.values_ = std::move(*values);
    return copy;
  }

  /// Bytes of workspace that `attend` needs.
  template <detail::MustBeAttentionBackend B = DefaultBackend>
  [[nodiscard]] std::size_t workspace_size(index rows, index query_heads, int workers,
                                           const B& backend = {}) const noexcept {
    return attend_workspace_size(backend, attention(rows, query_heads), options_.kv_heads, workers);
  }

  /// Causal attention: q and y are rows × query_heads · head_size, query_heads a multiple of kv_heads; row r is the
  /// token at first_position + r, already appended, and sees tokens [0, first_position + r]. q and y must not overlap.
  /// Rows that come out as NaN are reported as not_finite, the others are valid. Errors that write nothing:
  /// `shape_mismatch`, `invalid_argument` (positions that the cache does not hold, a workspace that is too small).
  template <detail::MustBeAttentionBackend B = DefaultBackend>
  Status attend(MatrixView<const float> q, index first_position, float softmax_scale, MatrixView<float> y,
                Workspace workspace, ExecutorReference executor = {}, const B& backend = {}) const noexcept {
    const index size = options_.head_size;
    if (q.rows() == 0 && y.rows() == 0) return {};
    if (size < 1 || q.columns() < 1 || q.columns() % (options_.kv_heads * size) != 0)
      return {ErrorCode::shape_mismatch,
              "attention: queries have ",
              q.columns(),
              " columns, not a multiple of ",
              options_.kv_heads,
              " KV heads of ",
              size};
    if (y.rows() != q.rows() || y.columns() != q.columns())
      return {ErrorCode::shape_mismatch,
              "attention: queries are ",
              q.rows(),
              "x",
              q.columns(),
              ", output is ",
              y.rows(),
              "x",
              y.columns()};
    if (first_position < 0 || first_position > tokens_ - q.rows())
      return {ErrorCode::invalid_argument,
              "attention: rows at positions ",
              first_position,
              "..",
              first_position + q.rows() - 1,
              ", the cache holds ",
              tokens_,
              " tokens"};
    Attention a = attention(q.rows(), q.columns() / size);
    a.query = q;
    a.output = y;
    a.first_position = first_position;
    a.query_scale = softmax_scale * std::numbers::log2e_v<float>;
    return attend_blocks(backend, a, options_.kv_heads, workspace, executor);
  }

  /// Other elements, for a sentence.
  template <class Q, class Y, class... Rest>
  requires(!detail::AreFloat<Q, Y>) Status attend(MatrixView<Q>, index, float, MatrixView<Y>, Rest&&...)
  const noexcept {
    static_assert(detail::AreFloat<Q, Y>, "planish: queries and outputs of attention are views of float");
    return {};
  }

 private:
  static KvPages layout(const KvCacheOptions& o, int bits, ClipPair clip, index page_floats,
                        index page_bytes) noexcept {
    const auto pages_for = [](index tokens) { return divide_up(tokens, page_tokens); };
    KvPages pages;
    pages.head_size = o.head_size;
    pages.bits = bits;
    pages.clip = clip;
    pages.pages_per_head = pages_for(o.capacity);
    pages.float_tokens = bits == 16 ? o.capacity : std::min(o.prefix_tokens, o.capacity);
    pages.float_pages_per_head = pages_for(pages.float_tokens);
    pages.float_page_size = page_floats;
    pages.code_page_size = bits == 16 ? 0 : page_bytes;
    return pages;
  }

  Attention attention(index rows, index query_heads) const noexcept {
    Attention a;
    a.keys = keys_.pages();
    a.values = values_.pages();
    a.query = {nullptr, rows, query_heads * options_.head_size};
    a.group = options_.kv_heads > 0 ? query_heads / options_.kv_heads : 0;
    a.precision = options_.precision;
    return a;
  }

  KvCacheOptions options_;
  index tokens_ = 0;
  PageStore keys_;
  PageStore values_;
};

}  // namespace planish::inline PLANISH_ABI
