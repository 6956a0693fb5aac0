#pragma once
#include <cstddef>
#include <limits>
#include <span>

#include <planish/core/abi.hpp>
#include <planish/core/executor.hpp>
#include <planish/core/rescale.hpp>
#include <planish/kernels/reference/cache_rows.hpp>
#include <planish/kernels/reference/exponential.hpp>
#include <planish/packing/attention.hpp>

namespace planish::inline PLANISH_ABI::kernels::reference {

/// Scratch of `attend`, per worker: none.
[[nodiscard]] constexpr std::size_t attend_scratch_bytes(const Attention& /*a*/, index /*lines*/) noexcept { return 0; }

/// Sum of the probabilities of one page: sixteen interleaved sums, then pairwise.
[[nodiscard]] inline float page_sum(const float* p) noexcept {
  float sums[16];
  for (int i = 0; i < 16; ++i) sums[i] = ((p[i] + p[i + 16]) + p[i + 32]) + p[i + 48];
  for (int half = 8; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) sums[i] += sums[i + half];
  return sums[0];
}

/// Streaming softmax attention for lines [lines.begin, lines.end) of one KV head, one page of tokens after another, so
/// a line's result does not depend on which other rows are asked for. Per page: scores (summed over channels in rising
/// order), the new running maximum m, p = 2^(score − m), then sum and output are scaled by 2^(m_old − m) and the page
/// is added in rising order of tokens. Returns how many lines came out as NaN or infinity.
inline index attend(const Attention& a, index kv_head, Range lines, std::span<std::byte> /*scratch*/) noexcept {
  const index size = a.keys.head_size;
  index not_finite = 0;
  for (index line = lines.begin; line < lines.end; ++line) {
    const index row = line / a.group;
    const index first_column = (kv_head * a.group + line % a.group) * size;
    const index visible = a.first_position + row + 1;
    float maximum = -std::numeric_limits<float>::infinity(), sum = 0.0f;
    for (index i = 0; i < size; ++i) a.output(row, first_column + i) = 0.0f;
    for (index first = 0; first < visible; first += page_tokens) {
      const KvPage keys = a.keys.page(kv_head, first / page_tokens);
      const KvPage values = a.values.page(kv_head, first / page_tokens);
      const index count = visible - first < page_tokens ? visible - first : page_tokens;
      float p[page_tokens] = {};
      float highest = maximum;
      for (index t = 0; t < count; ++t) {
        float score = 0.0f;
        for (index i = 0; i < size; ++i)
          score = multiply_add(a.query(row, first_column + i) * a.query_scale, key_element(a.keys, keys, t, i), score);
        p[t] = score;
        if (score > highest) highest = score;
      }
      for (index t = 0; t < count; ++t) p[t] = power_of_two(p[t] - highest);
      const float decay = power_of_two(maximum - highest);
      sum = multiply_add(sum, decay, page_sum(p));
      maximum = highest;
      for (index i = 0; i < size; ++i) {
        float total = a.output(row, first_column + i) * decay;
        for (index t = 0; t < count; ++t) total = multiply_add(p[t], value_element(a.values, values, t, i), total);
        a.output(row, first_column + i) = total;
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
