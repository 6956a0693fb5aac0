#pragma once
// Heads of new tokens and what must become of them, for the tests on an emulator and for the checks on a device.
#include <cmath>

#include <planish/kernels/cuda/append_heads_plan.cuh>

#include "cache_oracles.hpp"

namespace cache_oracles {

/// A batch whose tokens come as heads side by side: of the batch's keys and values, and queries of its own.
struct HeadsBatch {
  Batch batch;  // its keys are turned, as the pages have them where there is no transform
  int query_heads;
  cuda::RotaryTable rotary;
  std::vector<float> tables;                  // cosines from a multiple of 16 bytes on, then sines
  std::vector<float> queries;                 // turned and rounded: [sequence][most tokens] rows
  std::vector<std::uint16_t> rows;            // of x, for every token of the batch, with room to begin on 16 bytes
  std::vector<float> query_right, key_right;  // head_size × head_size
  cuda::KroneckerFactors query_factors, key_factors;
  cuda::ElementType type;

  HeadsBatch(const cuda::CacheShape& shape, int heads, std::vector<std::int32_t> lengths, int pairs, bool interleaved,
             cuda::ElementType of, std::uint64_t seed)
      : batch(shape, std::move(lengths), of, true, seed), query_heads(heads), type(of) {
    pl::Random random(seed + 100);
    const index size = shape.head_size, tokens = static_cast<index>(batch.lengths.size()) * batch.most;
    rotary.pairs = pairs;
    rotary.interleaved = interleaved;
    const index table = (index{batch.most} * pairs + 3) / 4 * 4;
    tables.resize(at(2 * table + 4));
    auto* const cosines = tables.data() + (16 - reinterpret_cast<std::uintptr_t>(tables.data()) % 16) % 16 / 4;
    for (index i = 0; i < index{batch.most} * pairs; ++i) {
      const double angle = static_cast<double>(i / pairs) * std::pow(100.0, -static_cast<double>(i % pairs) / pairs);
      cosines[i] = static_cast<float>(std::cos(angle));
      cosines[table + i] = static_cast<float>(std::sin(angle));
    }
    rotary.cosines = cosines;
    rotary.sines = cosines + table;
    oracles::Input q(samples::floats(tokens * heads * size, random, 2.0), of);
    rows.resize(at(tokens * stride() + 8));
    for (index t = 0; t < tokens; ++t) {
      std::uint16_t* to = x() + t * stride();
      to = std::copy_n(q.halves.data() + t * heads * size, heads * size, to);
      to = std::copy_n(batch.keys.halves.data() + t * batch.width(), batch.width(), to);
      std::copy_n(batch.values.halves.data() + t * batch.width(), batch.width(), to);
    }
    for (index t = 0; t < tokens; ++t) {
      for (index h = 0; h < heads; ++h)
        turn(q.values.data() + (t * heads + h) * size, static_cast<int>(t % batch.most));
      for (index h = 0; h < shape.kv_heads; ++h)
        turn(batch.keys.values.data() + t * batch.width() + h * size, static_cast<int>(t % batch.most));
    }
    queries = std::move(q.values);
    for (std::vector<float>* right : {&query_right, &key_right})
      *right = samples::floats(size * size, random, 1.0 / std::sqrt(static_cast<double>(size)));
    query_factors = *cuda::KroneckerFactors::make(1, shape.head_size, nullptr, query_right.data(), of);
    key_factors = *cuda::KroneckerFactors::make(1, shape.head_size, nullptr, key_right.data(), of);
  }

  [[nodiscard]] index stride() const { return (query_heads + 2 * index{batch.shape.kv_heads}) * batch.shape.head_size; }
  [[nodiscard]] std::uint16_t* x() {
    return rows.data() + (16 - reinterpret_cast<std::uintptr_t>(rows.data()) % 16) % 16 / 2;
  }

  /// A turned head times a factor, both rounded, in double; `right` empty: the head itself.
  [[nodiscard]] std::vector<double> transformed(const float* head, const std::vector<float>& right) const {
    const index size = batch.shape.head_size;
    if (right.empty()) return {head, head + size};
    std::vector<double> y(at(size));
    for (index c = 0; c < size; ++c)
      for (index k = 0; k < size; ++k) y[at(c)] += double{head[k]} * rounded(double{right[at(k * size + c)]}, type);
    return y;
  }

  /// How many rows of q, of the tokens [before, after) of every sequence one after another, are not the transformed
  /// queries within `slack` of their largest element, beside the rounding of the output.
  [[nodiscard]] index wrong_queries(const std::vector<std::uint16_t>& q, const std::vector<std::int32_t>& before,
                                    const std::vector<std::int32_t>& after, bool transforms) const {
    const index size = batch.shape.head_size;
    index wrong = 0, row = 0;
    for (index s = 0; s < static_cast<index>(before.size()); ++s)
      for (index t = before[at(s)]; t < after[at(s)]; ++t, ++row)
        for (index h = 0; h < query_heads; ++h) {
          const auto y = transformed(queries.data() + ((s * batch.most + t) * query_heads + h) * size,
                                     transforms ? query_right : std::vector<float>{});
          double largest = 0.0;
          for (const double v : y) largest = std::max(largest, std::abs(v));
          for (index c = 0; c < size; ++c) {
            const double made = double{cuda::load_element(q.data(), type, (row * query_heads + h) * size + c)};
            const double rounding = type == cuda::ElementType::half ? 0x1p-11 : 0x1p-8;
            wrong +=
                !(std::abs(made - y[at(c)]) <= (transforms ? rounding * std::abs(y[at(c)]) + 0x1p-18 * largest : 0.0));
          }
        }
    return wrong;
  }

  /// How many transformed keys of those tokens have codes further than a twentieth of a step beyond half a step from
  /// the exact ones, or another scale.
  [[nodiscard]] index wrong_keys(const std::vector<std::int32_t>& after) {
    index wrong = 0;
    for (index s = 0; s < static_cast<index>(after.size()); ++s)
      for (index t = 0; t < after[at(s)]; ++t)
        for (int h = 0; h < batch.shape.kv_heads; ++h) {
          const auto y = transformed(batch.row(false, s, t, h), key_right);
          const Stored made = stored_on_device(batch, false, s, t, h);
          double lowest = 0.0, highest = 0.0;
          bool finite = true;
          for (const double v : y) {
            lowest = std::min(lowest, v), highest = std::max(highest, v);
            finite = finite && std::isfinite(static_cast<float>(v));
          }
          if (!finite) {
            wrong += !std::isnan(made.scale);
            continue;
          }
          const pl::RowQuantizer q{
              .bits = batch.shape.key_bits, .symmetry = pl::Symmetry::asymmetric, .clip = batch.key_clip};
          const pl::Affine exact = q.affine({static_cast<float>(lowest), static_cast<float>(highest)});
          wrong += !(std::abs(made.scale - exact.scale) <= exact.scale * 0x1p-14f);
          const double most = (1 << batch.shape.key_bits) - 1;
          for (index c = 0; c < batch.shape.head_size; ++c) {
            const double steps = y[at(c)] / double{made.scale} + made.zero;
            wrong += !(std::abs(std::clamp(steps, 0.0, most) - made.codes[at(c)]) <= 0.55);
          }
        }
    return wrong;
  }

 private:
  void turn(float* head, int position) const {
    for (int i = 0; i < rotary.pairs; ++i) {
      float &first = head[rotary.interleaved ? 2 * i : i],
            &second = head[rotary.interleaved ? 2 * i + 1 : i + rotary.pairs];
      const float a = first, b = second;
      const float c = rotary.cosines[index{position} * rotary.pairs + i],
                  s = rotary.sines[index{position} * rotary.pairs + i];
      first = static_cast<float>(rounded(double{std::fma(a, c, -(b * s))}, type));
      second = static_cast<float>(rounded(double{std::fma(a, s, b * c)}, type));
    }
  }
};

}  // namespace cache_oracles
