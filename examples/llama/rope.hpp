#pragma once
#include <cmath>
#include <cstring>
#include <vector>

#include <planish/core/matrix_view.hpp>

#include "config.hpp"

namespace llama {

/// Rotary position embedding (arXiv 2104.09864): at position p, pair i of every head turns by p · frequency[i].
class Rope {
 public:
  Rope() = default;

  /// Tables for positions [0, positions).
  Rope(const Config& config, index positions)
      : pairs_(config.pairs),
        head_size_(config.head_size),
        turned_(static_cast<index>(config.rotary_frequencies.size())) {
    cosines_.reserve(static_cast<std::size_t>(positions * turned_));
    sines_.reserve(cosines_.capacity());
    for (index p = 0; p < positions; ++p)
      for (double frequency : config.rotary_frequencies) {
        cosines_.push_back(static_cast<float>(std::cos(static_cast<double>(p) * frequency)));
        sines_.push_back(static_cast<float>(std::sin(static_cast<double>(p) * frequency)));
      }
  }

  /// Turns every head of each row in place; x is tokens × heads · head size, row r stands at `first_position + r`.
  void apply(planish::MatrixView<float> x, index first_position) const noexcept {
    // Pair i is (i, i + turned) with rotate_half and (2i, 2i + 1) with interleaved pairs.
    const bool halves = pairs_ == RotaryPairs::halves;
    for (index r = 0; r < x.rows(); ++r) {
      const float* cosine = cosines_.data() + (first_position + r) * turned_;
      const float* sine = sines_.data() + (first_position + r) * turned_;
      for (float* head = x.row(r); head < x.row(r) + x.columns(); head += head_size_)
        if (halves)
          turn_halves(head, cosine, sine);
        else
          turn_neighbours(head, cosine, sine);
    }
  }

 private:
  // Registers of eight, spelled so that g++ and clang++ make them on every target.
  using Four [[gnu::vector_size(16)]] = float;
  using Eight [[gnu::vector_size(32)]] = float;
  template <class Vector>
  static void load(Vector& to, const float* from) noexcept {
    std::memcpy(&to, from, sizeof to);
  }
  static void store(float* to, const Eight& values) noexcept { std::memcpy(to, &values, sizeof values); }

  void turn_halves(float* head, const float* cosine, const float* sine) const noexcept {
    index i = 0;
    for (; i + 8 <= turned_; i += 8) {
      Eight a, b, c, s;
      load(a, head + i);
      load(b, head + i + turned_);
      load(c, cosine + i);
      load(s, sine + i);
      store(head + i, a * c - b * s);
      store(head + i + turned_, a * s + b * c);
    }
    for (; i < turned_; ++i) turn(head[i], head[i + turned_], cosine[i], sine[i]);
  }
  void turn_neighbours(float* head, const float* cosine, const float* sine) const noexcept {
    constexpr Eight signs = {-1.0f, 1.0f, -1.0f, 1.0f, -1.0f, 1.0f, -1.0f, 1.0f};
    index i = 0;
    for (; i + 4 <= turned_; i += 4) {
      Four c, s;
      Eight pairs;
      load(c, cosine + i);
      load(s, sine + i);
      load(pairs, head + 2 * i);
      const Eight swapped = __builtin_shufflevector(pairs, pairs, 1, 0, 3, 2, 5, 4, 7, 6);
      const Eight cosines = __builtin_shufflevector(c, c, 0, 0, 1, 1, 2, 2, 3, 3);
      const Eight sines = __builtin_shufflevector(s, s, 0, 0, 1, 1, 2, 2, 3, 3);
      store(head + 2 * i, pairs * cosines + swapped * (sines * signs));
    }
    for (; i < turned_; ++i) turn(head[2 * i], head[2 * i + 1], cosine[i], sine[i]);
  }

  static void turn(float& a, float& b, float cosine, float sine) noexcept {
    const float turned = a * cosine - b * sine;
    b = a * sine + b * cosine;
    a = turned;
  }

  RotaryPairs pairs_ = RotaryPairs::interleaved;
  index head_size_ = 0;
  index turned_ = 0;                    // pairs of a head that turn
  std::vector<float> cosines_, sines_;  // positions × pairs
};

}  // namespace llama
