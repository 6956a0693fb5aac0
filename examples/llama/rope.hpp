#pragma once
#include <cmath>
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
          for (index i = 0; i < turned_; ++i) turn(head[i], head[i + turned_], cosine[i], sine[i]);
        else
          for (index i = 0; i < turned_; ++i) turn(head[2 * i], head[2 * i + 1], cosine[i], sine[i]);
    }
  }

 private:
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
