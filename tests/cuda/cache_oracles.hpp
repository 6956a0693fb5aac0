#pragma once
// What the kernels of a KV cache must compute, for the tests on an emulator and for the checks on a device.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <planish/kernels/cuda/cache_pages.cuh>
#include <planish/kernels/reference/cache_rows.hpp>

#include "row_oracles.hpp"

namespace cache_oracles {

namespace pl = planish;
namespace cuda = planish::kernels::cuda;
using pl::index;

inline std::size_t at(index i) { return static_cast<std::size_t>(i); }

/// A batch of sequences on the host: the float rows of all tokens, their pages as the CPU makes them, and the pages of
/// a device, poisoned, dealt to sequences in a shuffled order.
struct Batch {
  cuda::CacheShape shape;
  cuda::CacheLayout layout;
  std::vector<std::int32_t> lengths;
  int pages_each = 0;
  std::vector<std::int32_t> table;
  std::vector<std::uint8_t> pool;  // pages from `pool_begin()` on
  oracles::Input keys, values;     // [sequence][most tokens] rows
  pl::ClipPair key_clip{0.95f, 0.9f}, value_clip{0.9f, 1.0f};
  int most = 0;             // tokens of the longest
  std::uint8_t poison = 0;  // what no token has been stored in

  /// `bad`: some rows hold NaN or infinity, or numbers below all scales.
  Batch(const cuda::CacheShape& s, std::vector<std::int32_t> of_sequences, cuda::ElementType type, bool bad,
        std::uint64_t seed, int spare_tokens = 0)
      : shape(s), layout(cuda::cache_layout_of(s)), lengths(std::move(of_sequences)), keys({}, type), values({}, type) {
    for (const int length : lengths) most = std::max(most, length);
    pages_each = (most + spare_tokens + 63) / 64 + 1;
    pl::Random random(seed);
    const index pages = static_cast<index>(lengths.size()) * pages_each;
    for (index i = 0; i < pages; ++i) table.push_back(static_cast<std::int32_t>(i));
    for (index i = pages - 1; i > 0; --i)
      std::swap(table[at(i)], table[random.below(static_cast<std::uint64_t>(i) + 1)]);
    pool.assign(at(pages * layout.page_bytes() + 128), poison = seed % 2 == 0 ? 0xff : 0x7e);  // NaN, or 8e37
    keys = oracles::Input(rows(random, bad, 2.0f), type);
    values = oracles::Input(rows(random, bad, 0.3f), type);
  }

  [[nodiscard]] index width() const { return index{shape.kv_heads} * shape.head_size; }
  [[nodiscard]] std::uint8_t* pool_begin() {
    const auto address = reinterpret_cast<std::uintptr_t>(pool.data());
    return pool.data() + (128 - address % 128) % 128;
  }
  [[nodiscard]] index pool_bytes() const { return static_cast<index>(table.size()) * layout.page_bytes(); }
  [[nodiscard]] cuda::CachePages pages() { return {layout, pool_begin(), table.data(), pages_each, lengths.data()}; }
  [[nodiscard]] const std::uint8_t* head(index sequence, index page, int kv_head) {
    return pages().head(table[at(sequence * pages_each + page)], kv_head);
  }
  [[nodiscard]] const float* row(bool value, index sequence, index token, int kv_head) const {
    return (value ? values : keys).values.data() + (sequence * most + token) * width() + kv_head * shape.head_size;
  }

 private:
  [[nodiscard]] std::vector<float> rows(pl::Random& random, bool bad, float spread) const {
    const index count = static_cast<index>(lengths.size()) * most, heads = shape.kv_heads, size = shape.head_size;
    auto x = samples::floats(count * heads * size, random, spread);
    for (index r = 0; r < count * heads; ++r) {
      float* row = x.data() + r * size;
      const index loud = static_cast<index>(random.below(static_cast<std::uint64_t>(size)));
      row[loud] *= 8.0f;
      const index token = r / heads % most;  // values grow, so that what was summed must follow
      if (spread < 1.0f)
        for (index c = 0; c < size; ++c) row[c] *= token < 70 ? 0.003f : token < 200 ? 0.1f : 1.0f;
      if (r % 11 == 3)
        for (index c = 0; c < size; ++c) row[c] *= 0.01f;
      if (poison == 0xff && r % 13 == 5) std::fill_n(row, size, 0.0f);  // a scale of 1, above all others
      if (r % 17 == 6)
        for (index c = 0; c < size; ++c) row[c] = std::abs(row[c]);
      if (bad && r % 37 == 9) row[loud] = std::numeric_limits<float>::quiet_NaN();
      if (bad && r % 37 == 20) row[loud] = -std::numeric_limits<float>::infinity();
      if (bad && r % 37 == 31)
        for (index c = 0; c < size; ++c) row[c] *= 0x1p-130f;
    }
    return x;
  }
};

/// One token's codes of one head as the CPU stores them, and what lies beside them.
struct Stored {
  std::vector<int> codes;
  float scale;
  int zero;
};

inline Stored stored_by_reference(const Batch& b, bool value, index sequence, index token, int kv_head) {
  const index size = b.shape.head_size;
  pl::KvPages pages;
  pages.head_size = size;
  pages.bits = value ? b.shape.value_bits : b.shape.key_bits;
  pages.clip = value ? b.value_clip : b.key_clip;
  std::vector<std::uint8_t> codes(
      at(value ? pl::value_page_bytes(size, pages.bits) : pl::key_page_bytes(size, pages.bits)));
  float scales[pl::page_tokens];
  std::uint8_t zeros[pl::page_tokens];
  const pl::KvPage page{nullptr, codes.data(), scales, zeros, 0};
  const index slot = token % pl::page_tokens;
  const float* x = b.row(value, sequence, token, kv_head);
  Stored s;
  const int centre = pl::code_centre(pages.bits);
  if (value)
    (void)pl::kernels::reference::store_value(pages, page, slot, x, 1);
  else
    (void)pl::kernels::reference::store_key(pages, page, slot, x, 1);
  for (index i = 0; i < size; ++i) {
    const float e = value ? pl::kernels::reference::value_element(pages, page, slot, i)
                          : pl::kernels::reference::key_element(pages, page, slot, i);
    s.codes.push_back(static_cast<int>(e) + centre);
  }
  s.scale = scales[slot];
  s.zero = zeros[slot];
  return s;
}

/// What a device's pages hold for a token.
inline Stored stored_on_device(Batch& b, bool value, index sequence, index token, int kv_head) {
  const std::uint8_t* head = b.head(sequence, token / 64, kv_head);
  const int t = static_cast<int>(token % 64), width = value ? b.layout.value_width : b.layout.key_width;
  Stored s;
  for (int c = 0; c < b.shape.head_size; ++c) {
    const auto place = value ? cuda::value_place(b.layout, t, c) : cuda::key_place(b.layout, t, c);
    s.codes.push_back((head[place.byte] >> place.shift) & ((1 << width) - 1));
  }
  std::copy_n(head + (value ? cuda::value_scale_place(b.layout, t) : cuda::key_scale_place(b.layout, t)), 4,
              reinterpret_cast<std::uint8_t*>(&s.scale));
  s.zero = head[value ? cuda::value_zero_place(b.layout, t) : cuda::key_zero_place(b.layout, t)];
  return s;
}

/// Differences between the pages of a device and what the CPU stores, over the first `counts` tokens of every sequence;
/// and bytes of poison that a token not yet appended has lost. `first`: what the first of them is.
inline index page_differences(Batch& b, const std::vector<std::int32_t>& counts, std::string* first = nullptr) {
  index wrong = 0;
  const auto note = [&](const char* what, bool value, index s, index t, int h, const Stored& made, double expected) {
    if (wrong == 0 || first == nullptr || !first->empty()) return;
    *first = std::string(what) + (value ? " of value " : " of key ") + std::to_string(t) + " of sequence " +
             std::to_string(s) + ", head " + std::to_string(h) + ": scale " + std::to_string(made.scale) + ", zero " +
             std::to_string(made.zero) + ", code " + std::to_string(made.codes[0]) + "; expected " +
             std::to_string(expected);
  };
  for (index s = 0; s < static_cast<index>(counts.size()); ++s)
    for (index t = 0; t < index{b.pages_each} * 64; ++t)
      for (int h = 0; h < b.shape.kv_heads; ++h)
        for (const bool value : {false, true}) {
          const Stored made = stored_on_device(b, value, s, t, h);
          if (t >= counts[at(s)]) {
            const int width = value ? b.layout.value_width : b.layout.key_width;
            for (int c = 0; c < b.shape.head_size; ++c)
              wrong += made.codes[at(c)] != ((b.poison >> cuda::code_shift(width, c)) & ((1 << width) - 1));
            wrong += std::bit_cast<std::uint32_t>(made.scale) != b.poison * 0x01010101u || made.zero != b.poison;
            note("poison", value, s, t, h, made, b.poison);
            continue;
          }
          const Stored expected = stored_by_reference(b, value, s, t, h);
          wrong += made.codes != expected.codes;
          note("codes", value, s, t, h, made, expected.codes[0]);
          wrong += oracles::bits_of(made.scale) != oracles::bits_of(expected.scale) || made.zero != expected.zero;
          note("scale or zero point", value, s, t, h, made, double{expected.scale});
        }
  return wrong;
}

/// Writes what the CPU stores into the pages, for tests of what reads them.
inline void fill_pages(Batch& b) {
  for (index s = 0; s < static_cast<index>(b.lengths.size()); ++s)
    for (index t = 0; t < b.lengths[at(s)]; ++t)
      for (int h = 0; h < b.shape.kv_heads; ++h)
        for (const bool value : {false, true}) {
          const Stored made = stored_by_reference(b, value, s, t, h);
          auto* head = const_cast<std::uint8_t*>(b.head(s, t / 64, h));
          const int slot = static_cast<int>(t % 64), width = value ? b.layout.value_width : b.layout.key_width;
          for (int c = 0; c < b.shape.head_size; ++c) {
            const auto place = value ? cuda::value_place(b.layout, slot, c) : cuda::key_place(b.layout, slot, c);
            pl::kernels::reference::set_page_code(head, {place.byte, place.shift}, width, made.codes[at(c)]);
          }
          std::copy_n(reinterpret_cast<const std::uint8_t*>(&made.scale), 4,
                      head + (value ? cuda::value_scale_place(b.layout, slot) : cuda::key_scale_place(b.layout, slot)));
          head[value ? cuda::value_zero_place(b.layout, slot) : cuda::key_zero_place(b.layout, slot)] =
              static_cast<std::uint8_t>(made.zero);
        }
}

/// (code − zero point) · scale of a token in the pages.
inline std::vector<float> dequantized(Batch& b, bool value, index sequence, index token, int kv_head) {
  const Stored s = stored_on_device(b, value, sequence, token, kv_head);
  std::vector<float> x;
  for (const int code : s.codes) x.push_back(pl::to_value(code, {s.scale, s.zero}));
  return x;
}

/// A value as an element of a type, and back.
inline double rounded(double value, cuda::ElementType type) {
  const auto x = static_cast<float>(value);
  if (type == cuda::ElementType::bfloat16) return double{pl::BFloat16::from_float(x).to_float()};
  if (type == cuda::ElementType::half) return double{pl::Half::from_float(x).to_float()};
  return double{x};
}

/// One line of attention in double, over what the pages hold, and how far a kernel may be from each channel:
///   (2^-11 + 2^-19) Σ p |v|, weights rounded to a half once (2^-19 alone for float32 queries, where two stand for
///   one), 2 δ Σ p |v|, δ the error of an exponent: 2^-20 of its terms' sizes, and 2^-37 of the largest element of the
///   query
///     times Σ |k|,
///   2^-20 + 2^-28 of a token of Σ p (|e| + |z|) · scale, codes and zero points less their centre, which float32 sums,
///   2^-37 of the largest step of a value, times its codes, for each token, where weights fall below halves,
///   and the rounding of the output.
struct Line {
  std::vector<double> y, bound;
};

inline Line exact_line(Batch& b, const float* q, index sequence, int kv_head, index visible, double softmax_scale,
                       bool two_parts, cuda::ElementType output) {
  const index size = b.shape.head_size;
  Line line{std::vector<double>(at(size)), std::vector<double>(at(size))};
  if (visible <= 0) return line;
  std::vector<double> scores, absolute(at(size)), summed(at(size));
  double delta = 0.0, highest = -std::numeric_limits<double>::infinity(), largest_q = 0.0;
  for (index i = 0; i < size; ++i) largest_q = std::max(largest_q, std::abs(double{q[i]}));
  for (index t = 0; t < visible; ++t) {
    const Stored k = stored_on_device(b, false, sequence, t, kv_head);
    double score = 0.0, sizes = 0.0, of_keys = 0.0;
    const int centre = 1 << (b.layout.key_width - 1);
    double sum = 0.0;
    for (index i = 0; i < size; ++i) {
      const double key = double{k.scale} * (k.codes[at(i)] - k.zero);
      score += q[i] * key;
      sizes += std::abs(double{q[i]} * (k.codes[at(i)] - centre));
      of_keys += std::abs(key);
      sum += q[i];
    }
    sizes = (sizes + std::abs(sum * (k.zero - centre))) * double{k.scale};
    scores.push_back(score * softmax_scale);
    highest = std::max(highest, scores.back());
    delta = std::max(delta, std::abs(softmax_scale) * (0x1p-20 * sizes + 0x1p-37 * largest_q * of_keys));
  }
  double total = 0.0, step = 0.0;
  for (index t = 0; t < visible; ++t) {
    const double p = std::exp(scores[at(t)] - highest);
    const Stored v = stored_on_device(b, true, sequence, t, kv_head);
    total += p;
    step = std::max(step, double{v.scale});
    for (index c = 0; c < size; ++c) {
      const double value = double{v.scale} * (v.codes[at(c)] - v.zero);
      line.y[at(c)] += p * value;
      absolute[at(c)] += p * std::abs(value);
      const int centre = 1 << (b.layout.value_width - 1);
      summed[at(c)] += p * double{v.scale} * (std::abs(v.codes[at(c)] - centre) + std::abs(v.zero - centre));
    }
  }
  const double relative = (two_parts ? 0x1p-19 : 0x1p-11 + 0x1p-19) + 2.0 * delta;
  const double least = 0x1p-37 * step * (1 << b.layout.value_width) * static_cast<double>(visible);
  const double sums = 0x1p-20 + 0x1p-28 * static_cast<double>(visible);
  const double rounding = output == cuda::ElementType::bfloat16 ? 0x1p-8
                          : output == cuda::ElementType::half   ? 0x1p-11
                                                                : 0x1p-23;
  for (index c = 0; c < size; ++c) {
    line.y[at(c)] /= total;
    line.bound[at(c)] = (relative * absolute[at(c)] + sums * summed[at(c)] + least) / total +
                        rounding * std::abs(line.y[at(c)]) + 0x1p-25;
  }
  return line;
}

}  // namespace cache_oracles
