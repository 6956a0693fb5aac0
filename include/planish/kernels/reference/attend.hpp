#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include <planish/core/abi.hpp>
#include <planish/core/affine.hpp>
#include <planish/core/executor.hpp>
#include <planish/core/rescale.hpp>
#include <planish/kernels/reference/cache_rows.hpp>
#include <planish/kernels/reference/exponential.hpp>
#include <planish/packing/attention.hpp>

namespace planish::inline PLANISH_ABI::kernels::reference {

/// Scratch of `attend`, per worker: none.
[[nodiscard]] constexpr std::size_t attend_scratch_bytes(const Attention& /*a*/, index /*lines*/) noexcept { return 0; }

/// Adds the upper half of the sums to the lower, and so on.
[[nodiscard]] inline float fold_sums(float (&sums)[16]) noexcept {
  for (int half = 8; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) sums[i] += sums[i + half];
  return sums[0];
}

/// Sum of the probabilities of one page: sixteen interleaved sums, then pairwise.
[[nodiscard]] inline float page_sum(const float* p) noexcept {
  float sums[16];
  for (int i = 0; i < 16; ++i) sums[i] = ((p[i] + p[i + 16]) + p[i + 32]) + p[i + 48];
  return fold_sums(sums);
}

/// Σ p[t] · z[t] of one page in the same order.
[[nodiscard]] inline float page_dot(const float* p, const float* z) noexcept {
  float sums[16] = {};
  for (int t = 0; t < page_tokens; ++t) sums[t % 16] = multiply_add(p[t], z[t], sums[t % 16]);
  return fold_sums(sums);
}

/// One line's query: floats, or codes and a scale.
class LineQuery {
 public:
  LineQuery(const Attention& a, index row, index first_column) noexcept : a_(&a), row_(row), column_(first_column) {
    if (!is_integer()) return;
    ValueRange range;
    bool finite = true;
    for (index i = 0; i < a.keys.head_size; ++i) {
      const float q = scaled(i);
      finite = finite && planish::is_finite(q);
      range.lowest = std::min(range.lowest, q);
      range.highest = std::max(range.highest, q);
    }
    affine_ = finite ? symmetric_affine(range, {}, 8) : not_finite_affine();
  }
  [[nodiscard]] bool is_integer() const noexcept { return a_->precision != AttentionPrecision::floats; }
  [[nodiscard]] float scale() const noexcept { return affine_.scale; }
  /// The code of an integer query.
  [[nodiscard]] std::int32_t code(index i) const noexcept {
    return planish::is_finite(affine_.scale) ? to_code(scaled(i), affine_, code_range(8, Symmetry::symmetric)) : 0;
  }
  /// The float, or the code as one.
  [[nodiscard]] float operator()(index i) const noexcept {
    return is_integer() ? static_cast<float>(code(i)) : scaled(i);
  }

 private:
  [[nodiscard]] float scaled(index i) const noexcept { return a_->query(row_, column_ + i) * a_->query_scale; }
  const Attention* a_;
  index row_, column_;
  Affine affine_{};
};

/// The score of one token.
[[nodiscard]] inline float score_of(const Attention& a, const LineQuery& query, float query_sum, const KvPage& keys,
                                    index t) noexcept {
  const index size = a.keys.head_size;
  if (query.is_integer() && t >= keys.float_tokens) {
    std::int32_t sum = 0;
    const auto zero = static_cast<std::int32_t>(centred_zero(a.keys, keys, t));
    for (index i = 0; i < size; ++i)
      sum += query.code(i) * (static_cast<std::int32_t>(key_element(a.keys, keys, t, i)) - zero);
    return multiply_add(multiply_add(static_cast<float>(sum), query.scale(), 0.0f), keys.scales[t], 0.0f);
  }
  float score = 0.0f;
  for (index i = 0; i < size; ++i) score = multiply_add(query(i), key_element(a.keys, keys, t, i), score);
  if (query.is_integer()) return multiply_add(score, query.scale(), 0.0f);
  if (t < keys.float_tokens) return score;
  return multiply_add(multiply_add(-centred_zero(a.keys, keys, t), query_sum, score), keys.scales[t], 0.0f);
}

/// Weights of a page in 8 bits, unsigned: w becomes its code; returns the scale, max w / 255, or NaN if one is not
/// finite.
[[nodiscard]] inline float quantize_weights(float (&w)[page_tokens]) noexcept {
  float highest = 0.0f;
  bool finite = true;
  for (float x : w) {
    finite = finite && planish::is_finite(x);
    highest = std::max(highest, x);
  }
  float scale = highest / 255.0f;
  if (scale < least_scale) scale = 1.0f;
  for (float& x : w) x = finite ? round_half_even(x / scale) : 0.0f;
  return finite ? scale : not_finite_affine().scale;
}

/// Channel i of Σ w (e − z) over a page with integer weights, which holds no floats.
[[nodiscard]] inline float weighted_sum(const Attention& a, const KvPage& values, const float* w, index count,
                                        index i) noexcept {
  std::int32_t sum = 0;
  for (index t = 0; t < count; ++t)
    sum += static_cast<std::int32_t>(w[t]) *
           static_cast<std::int32_t>(value_element(a.values, values, t, i) - centred_zero(a.values, values, t));
  return static_cast<float>(sum);
}

/// Streaming softmax attention for lines [lines.begin, lines.end) of one KV head, one page of tokens after another, so
/// a line's result does not depend on which other rows are asked for. Codes enter as integers less their centre, e;
/// scales and zero points (less the centre, z) are applied to sums: with q already multiplied by query_scale,
///     score = (Σ_i q_i e_i − z Σ_i q_i) · scale,      Σ_i in rising order (Σ q_i: sixteen interleaved sums).
/// Per page: scores, the new running maximum m, p = 2^(score − m), weights w = p · scale. Then the sum becomes sum ·
/// 2^(m_old − m) + Σ p, and each channel total · 2^(m_old − m) − Σ w z, to which w e is added in rising order of
/// tokens. Tokens that are kept as floats have e = their float, z = 0, scale = 1. Returns how many lines came out as
/// NaN or infinity.
inline index attend(const Attention& a, index kv_head, Range lines, std::span<std::byte> /*scratch*/) noexcept {
  const index size = a.keys.head_size;
  index not_finite = 0;
  for (index line = lines.begin; line < lines.end; ++line) {
    const index row = line / a.group;
    const index first_column = (kv_head * a.group + line % a.group) * size;
    const index visible = a.first_position + row + 1;
    const LineQuery query(a, row, first_column);
    float query_sums[16] = {};
    for (index i = 0; i < size; ++i) query_sums[i % 16] = query_sums[i % 16] + multiply_add(query(i), 1.0f, 0.0f);
    const float query_sum = fold_sums(query_sums);
    float maximum = -std::numeric_limits<float>::infinity(), sum = 0.0f;
    for (index i = 0; i < size; ++i) a.output(row, first_column + i) = 0.0f;
    for (index first = 0; first < visible; first += page_tokens) {
      const KvPage keys = a.keys.page(kv_head, first / page_tokens);
      const KvPage values = a.values.page(kv_head, first / page_tokens);
      const index count = visible - first < page_tokens ? visible - first : page_tokens;
      float p[page_tokens] = {}, zeros[page_tokens] = {};
      float highest = maximum;
      for (index t = 0; t < count; ++t) {
        const float score = score_of(a, query, query_sum, keys, t);
        p[t] = score;
        highest = std::max(highest, score);
      }
      for (index t = 0; t < count; ++t) p[t] = power_of_two(p[t] - highest);
      const float decay = power_of_two(maximum - highest);
      sum = multiply_add(sum, decay, page_sum(p));
      maximum = highest;
      for (index t = values.float_tokens; t < count; ++t) {
        p[t] = multiply_add(p[t], values.scales[t], 0.0f);
        zeros[t] = centred_zero(a.values, values, t);
      }
      const bool integer_weights = query.is_integer() && values.float_tokens == 0;
      const float weight_scale = integer_weights ? quantize_weights(p) : 1.0f;
      const float correction = page_dot(p, zeros);
      for (index i = 0; i < size; ++i) {
        float& output = a.output(row, first_column + i);
        if (integer_weights) {
          const float sum_of_page = weighted_sum(a, values, p, count, i);
          output = multiply_add(sum_of_page, weight_scale, multiply_add(output, decay, 0.0f));
          continue;
        }
        float total = multiply_add(output, decay, -correction);
        for (index t = 0; t < count; ++t) total = multiply_add(p[t], value_element(a.values, values, t, i), total);
        output = total;
      }
    }
    bool finite = true;
    for (index i = 0; i < size; ++i) {
      const float value = a.output(row, first_column + i) / sum;
      finite = finite && is_finite(value);
      a.output(row, first_column + i) = value;
    }
    not_finite += finite ? 0 : 1;
  }
  return not_finite;
}

}  // namespace planish::inline PLANISH_ABI::kernels::reference
