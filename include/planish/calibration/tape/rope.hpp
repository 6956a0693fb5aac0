#pragma once
#include <cmath>
#include <span>
#include <vector>

#include <planish/calibration/tape/lanes.hpp>
#include <planish/calibration/tape/row_blocks.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape {

/// Which two channels of a head turn together, of n pairs: (2i, 2i + 1), or (i, i + n).
enum class RotaryPairs { interleaved, halves };

/// θ^(−2i / channels) radians per position for pair i (arXiv 2104.09864, §3.2.2).
[[nodiscard]] inline std::vector<double> rotary_frequencies(index channels, double theta) {
  std::vector<double> frequencies(static_cast<std::size_t>(channels / 2));
  for (std::size_t i = 0; i < frequencies.size(); ++i)
    frequencies[i] = std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(channels));
  return frequencies;
}

/// Cosines and sines of position · frequency, for every position of a window and every pair that turns.
template <class T>
class RotaryTable {
 public:
  /// `frequencies`: radians per position of each pair, scaled for long contexts or not.
  RotaryTable(index positions, std::span<const double> frequencies) {
    resize(positions, static_cast<index>(frequencies.size()));
    for (index p = 0; p < positions; ++p)
      for (index i = 0; i < pairs_; ++i) {
        const double angle = static_cast<double>(p) * frequencies[static_cast<std::size_t>(i)];
        values_[at(p, i)] = static_cast<T>(std::cos(angle));
        values_[at(p, pairs_ + i)] = static_cast<T>(std::sin(angle));
      }
  }

  /// From tables of positions × pairs.
  RotaryTable(MatrixView<const T> cosines, MatrixView<const T> sines) {
    if (cosines.rows() != sines.rows() || cosines.columns() != sines.columns())
      Tape<T>::fail("cosines of ", cosines.rows(), " x ", cosines.columns(), " and sines of ", sines.rows(), " x ",
                    sines.columns());
    resize(cosines.rows(), cosines.columns());
    for (index p = 0; p < positions_; ++p)
      for (index i = 0; i < pairs_; ++i) {
        values_[at(p, i)] = cosines(p, i);
        values_[at(p, pairs_ + i)] = sines(p, i);
      }
  }

  [[nodiscard]] index positions() const noexcept { return positions_; }
  [[nodiscard]] index pairs() const noexcept { return pairs_; }
  [[nodiscard]] const T* cosines(index position) const noexcept { return values_.data() + at(position, 0); }
  [[nodiscard]] const T* sines(index position) const noexcept { return values_.data() + at(position, pairs_); }

 private:
  void resize(index positions, index pairs) {
    positions_ = positions;
    pairs_ = pairs;
    values_.resize(static_cast<std::size_t>(2 * positions * pairs));
  }
  [[nodiscard]] std::size_t at(index position, index i) const noexcept {
    return static_cast<std::size_t>(2 * position * pairs_ + i);
  }

  index positions_ = 0, pairs_ = 0;
  std::vector<T> values_;  // positions × (cosines, sines)
};

/// How a rotary embedding sees a matrix of tokens.
struct RotaryLayout {
  index head_size;
  index window;  ///< tokens from position 0 to the next position 0
  RotaryPairs pairs = RotaryPairs::halves;
};

namespace detail {

/// Turns the pairs of one head, by the negative angle where `direction` is −1; channels that belong to no pair stay.
template <class T>
void turn_head(const T* x, T* y, const T* cosines, const T* sines, index pairs, const RotaryLayout& layout, T direction,
               bool fresh) noexcept {
  if (layout.pairs == RotaryPairs::halves) {
    const Lanes<T> sign(direction);
    for_lanes<T>(pairs, [&](auto at) {
      const Lanes<T> a = load(x, at), b = load(x + pairs, at), cosine = load(cosines, at);
      const Lanes<T> sine = load(sines, at) * sign;
      accumulate<T>(a * cosine - b * sine, y, at, fresh);
      accumulate<T>(a * sine + b * cosine, y + pairs, at, fresh);
    });
  } else {
    for (index i = 0; i < pairs; ++i) {
      const T a = x[2 * i], b = x[2 * i + 1], cosine = cosines[i], sine = sines[i] * direction;
      const T turned[] = {a * cosine - b * sine, a * sine + b * cosine};
      accumulate(y + 2 * i, 2, fresh, [&](index j) { return turned[j]; });
    }
  }
  const index turned = 2 * pairs;
  accumulate(y + turned, layout.head_size - turned, fresh, [&](index j) { return x[turned + j]; });
}

/// Turns every head of every row of x into y.
template <class T>
void turn_rows(ExecutorReference executor, MatrixView<const T> x, GradientTarget<T> y, const RotaryTable<T>& table,
               const RotaryLayout& layout, T direction) {
  for_row_blocks(executor, x.rows(), rows_per_block(x.rows(), x.columns()), [&](index first, index count) {
    for (index r = first; r < first + count; ++r) {
      const T *const cosines = table.cosines(r % layout.window), *const sines = table.sines(r % layout.window);
      for (index c = 0; c < x.columns(); c += layout.head_size)
        turn_head(x.row(r) + c, y.at.row(r) + c, cosines, sines, table.pairs(), layout, direction, y.fresh);
    }
  });
}

}  // namespace detail

/// Rotary position embedding (arXiv 2104.09864): pair i of every head of the token at position p turns by p ·
/// frequency i. x is tokens × heads · head size, whole windows one after another. The table stays the caller's and must
/// outlive the record. The gradient turns back.
template <class T>
[[nodiscard]] Variable<T> rotary_embedding(Variable<T> x, const RotaryTable<T>& table, const RotaryLayout& layout) {
  if (layout.head_size < 1 || x.columns() % layout.head_size != 0 || 2 * table.pairs() > layout.head_size)
    Tape<T>::fail("cannot turn ", table.pairs(), " pairs of heads of ", layout.head_size, " channels in ", x.columns(),
                  " columns");
  if (layout.window < 1 || x.rows() % layout.window != 0 || layout.window > table.positions())
    Tape<T>::fail("cannot turn ", x.rows(), " tokens in windows of ", layout.window, " by a table of ",
                  table.positions(), " positions");
  Tape<T>& tape = x.tape();
  auto [y, out] = tape.result(x.rows(), x.columns(), {x});
  detail::turn_rows<T>(tape.executor(), x.value(), {out, true}, table, layout, T{1});
  tape.on_backward(y, [&tape, x, &table, layout](MatrixView<const T> dy) {
    detail::turn_rows<T>(tape.executor(), dy, tape.gradient(x), table, layout, T{-1});
  });
  return y;
}

}  // namespace planish::inline PLANISH_ABI::calibration::tape
