#pragma once
#include <algorithm>
#include <optional>
#include <type_traits>

#include <planish/calibration/tape/kronecker_blocks.hpp>
#include <planish/calibration/tape/lanes.hpp>
#include <planish/calibration/tape/transpose.hpp>
#include <planish/core/divide_up.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape {

namespace detail {

/// A Kronecker transform of which one factor may be missing, then it is the identity: y = Lᵀ (M R) row by row, where M
/// is a row of x ⊙ s. Scaled rows are made anew where they are needed: keeping them is two passes through memory.
template <class T>
class KroneckerRecord {
 public:
  KroneckerRecord(Variable<T> x, index n1, index n2, std::optional<Variable<T>> left, std::optional<Variable<T>> right,
                  std::optional<Variable<T>> scale)
      : x_(x),
        left_(left),
        right_(right),
        scale_(scale),
        n1_(n1),
        n2_(n2),
        abreast_(matrices_abreast<T>(n2)),
        in_(without_gaps(x)) {
    if (left) left_matrix_ = without_gaps(*left);
    constexpr index group = 4 * 24 * 24;  // elements: a few such arrays stay in the first cache,
    constexpr index block = 32 * 1024;    // and in the second
    const auto rows_of = [&](index elements) {
      return std::max<index>(elements / std::max<index>(n1 * n2 * abreast_, 1), 1) * abreast_;
    };
    group_ = rows_of(group);
    block_ = round_up(rows_of(block), group_);
    blocks_ = divide_up(x.rows(), block_);
  }

  /// Fills y.
  void forward(MatrixView<T> y) const {
    forward(y, [](index, index) {});
  }

  /// The same, and finish(first, count) as soon as rows of y are there, while they are near.
  template <class Finish>
  void forward(MatrixView<T> y, Finish&& finish) const {
    Tape<T>& tape = x_.tape();
    const index size = group_ * n1_ * n2_, scratch_size = left_factor_scratch(n1_, n2_);
    const index room_size = 2 * size + scratch_size;
    auto rooms = tape.borrow(tape.executor().workers() * room_size);
    for_blocks([&](index, index first, index count, int worker) {
      T *const room = rooms.data() + worker * room_size, *const scratch = room + size,
               *const scaled = scratch + scratch_size;
      for_groups(first, count, [&](index at, index rows) {
        MatrixView<const T> m = scaled_rows(at, rows, scaled);
        const MatrixView<T> to = y.middle_rows(at, rows);
        if (right_) {
          const MatrixView<T> product = left_ ? MatrixView<T>(room, rows, n1_ * n2_) : to;
          block_product(stacked(m), right_->value(), stacked(product));
          m = product;
        }
        if (left_) apply_left_factor(m, n1_, left_matrix_.data(), to, {scratch, extent(scratch_size)});
      });
      finish(first, count);
    });
  }

  /// Gives every factor, the scale and x its share. With G = L dY and D = G Rᵀ: dx = D ⊙ s, ds = Σ D ⊙ x,
  /// dR = Σ Mᵀ G, dL = Σ (M R) dYᵀ.
  void backward(MatrixView<const T> dy) const {
    backward(false, [&](index first, index count, T*) { return dy.middle_rows(first, count); });
  }

  /// The same where the gradient of y is made a block of rows at a time: slopes_of(first, count, room) returns rows of
  /// it, in `room` (as many elements, if `in_room`) or where they lie.
  template <class Slopes>
  void backward(bool in_room, Slopes&& slopes_of) const {
    Tape<T>& tape = x_.tape();
    const bool to_left = left_ && left_->needs_gradient(), to_right = right_ && right_->needs_gradient();
    const bool to_x = x_.needs_gradient(), to_scale = scale_ && scale_->needs_gradient();
    const index n = n1_ * n2_, size = block_ * n, small = group_ * n, scratch_size = left_factor_scratch(n1_, n2_);
    const index room_size = (scale_ ? 4 : 3) * size + small + scratch_size + (in_room ? size : 0);
    auto rooms = tape.borrow(tape.executor().workers() * room_size);
    auto left_transposed = tape.borrow(n1_ * n1_), right_transposed = tape.borrow(n2_ * n2_);
    if (left_) copy_transposed(*left_, left_transposed.data());
    if (right_) copy_transposed(*right_, right_transposed.data());
    auto left_partials = tape.borrow(to_left ? blocks_ * n1_ * n1_ : 0);
    auto right_partials = tape.borrow(to_right ? blocks_ * n2_ * n2_ : 0);
    auto scale_partials = tape.borrow(to_scale ? blocks_ * n : 0);
    const GradientTarget<T> dx = to_x ? tape.gradient(x_) : GradientTarget<T>{};
    for_blocks([&](index block, index first, index count, int worker) {
      T* const room = rooms.data() + worker * room_size;
      T *const products = room, *const outers = room + size, *const inner = room + 2 * size;
      T *const passing = room + 3 * size, *const scratch = passing + small, *const scaled = scratch + scratch_size;
      T* const scale_partial = scale_partials.data() + (to_scale ? block * n : 0);
      if (to_scale) std::fill_n(scale_partial, n, T{});
      const MatrixView<const T> dy = slopes_of(first, count, room + room_size - (in_room ? size : 0));
      const MatrixView<const T> block_rows = scaled_rows(first, count, scaled);
      const bool one_by_one = abreast_ == 1;  // then no rows have to be laid out anew for dL
      for_groups(first, count, [&](index at, index rows) {
        const index offset = (at - first) * n;
        const MatrixView<T> between(passing, rows, n);
        const MatrixView<const T> m = block_rows.middle_rows(at - first, rows);
        MatrixView<const T> g = dy.middle_rows(at - first, rows);
        MatrixView<const T> product = m;
        if (to_left && right_) {
          // M R once more: cheaper than to keep it, for that is two passes through memory.
          const MatrixView<T> to = one_by_one ? MatrixView<T>(products + offset, rows, n) : between;
          block_product(stacked(m), right_->value(), stacked(to));
          product = to;
        }
        if (to_left && !one_by_one) {
          lay_abreast(product, n1_, abreast_, products + offset);
          lay_abreast(g, n1_, abreast_, outers + offset);
        }
        const MatrixView<T> share = dx.fresh ? dx.at.middle_rows(at, rows) : between;
        if (left_ && (to_x || to_scale || to_right)) {
          const MatrixView<T> to = right_ ? MatrixView<T>(inner + offset, rows, n) : share;
          apply_left_factor(g, n1_, left_transposed.data(), to, {scratch, extent(scratch_size)});
          g = to;
        }
        if (!to_x && !to_scale) return;
        if (right_) block_product(stacked(g), {right_transposed.data(), n2_, n2_}, stacked(share));
        for (index r = 0; to_scale && r < rows; ++r)
          for_lanes<T>(n, [&, from = share.row(r), x = in_.row(at + r)](auto lanes) {
            accumulate<T>(load(from, lanes) * load(x, lanes), scale_partial, lanes, false);
          });
        for (index r = 0; to_x && (scale_ || !dx.fresh) && r < rows; ++r)
          for_lanes<T>(n, [&, to = dx.at.row(at + r), from = share.row(r)](auto lanes) {
            accumulate<T>(scale_ ? load(from, lanes) * load(scale_->value().row(0), lanes) : load(from, lanes), to,
                          lanes, dx.fresh);
          });
      });
      const T *const m = block_rows.data(), *const outer = dy.data();
      if (to_left)
        sum_left_products(one_by_one && !right_ ? m : products, one_by_one ? outer : outers, divide_up(count, abreast_),
                          n1_, abreast_ * n2_, left_partials.data() + block * n1_ * n1_);
      if (to_right)
        block_product(MatrixView<const T>(m, count * n1_, n2_).transposed(), {left_ ? inner : outer, count * n1_, n2_},
                      {right_partials.data() + block * n2_ * n2_, n2_, n2_});
    });
    if (to_left) sum_partials(left_partials.data(), blocks_, tape.gradient(*left_));
    if (to_right) sum_partials(right_partials.data(), blocks_, tape.gradient(*right_));
    if (to_scale) sum_partials(scale_partials.data(), blocks_, tape.gradient(*scale_));
  }

 private:
  /// The value of x, copied if its rows do not follow one another.
  static MatrixView<const T> without_gaps(Variable<T> x) {
    const MatrixView<const T> from = x.value();
    if (from.row_stride() == from.columns()) return from;
    const MatrixView<T> copy = x.tape().scratch(from.rows(), from.columns());
    for (index r = 0; r < from.rows(); ++r) std::copy_n(from.row(r), from.columns(), copy.row(r));
    return copy;
  }

  /// Rows of x ⊙ s, in `room` where there is a scale.
  [[nodiscard]] MatrixView<const T> scaled_rows(index first, index count, T* room) const noexcept {
    const MatrixView<const T> rows = in_.middle_rows(first, count);
    if (!scale_) return rows;
    const MatrixView<T> scaled(room, count, rows.columns());
    for (index r = 0; r < count; ++r)
      for_lanes<T>(rows.columns(), [&, from = rows.row(r), to = scaled.row(r)](auto lanes) {
        store(load(from, lanes) * load(scale_->value().row(0), lanes), to, lanes);
      });
    return scaled;
  }

  template <class U>
  [[nodiscard]] MatrixView<U> stacked(MatrixView<U> rows) const noexcept {
    return {rows.data(), rows.rows() * n1_, n2_};
  }

  static void copy_transposed(Variable<T> from, T* to) {
    transpose_into({}, from.value(), GradientTarget<T>{{to, from.columns(), from.rows()}, true});
  }

  [[nodiscard]] static std::size_t extent(index size) noexcept { return static_cast<std::size_t>(size); }

  /// work(block, first row, rows, worker) for every block.
  template <class Work>
  void for_blocks(Work&& work) const {
    x_.tape().executor().run(static_cast<int>(blocks_), [&](int block, int worker) {
      work(static_cast<index>(block), block * block_, std::min(block_, in_.rows() - block * block_), worker);
    });
  }

  /// work(first row, rows) for the rows of a block, as many at a time as stay in the first cache.
  template <class Work>
  void for_groups(index first, index count, Work&& work) const {
    for (index at = 0; at < count; at += group_) work(first + at, std::min(group_, count - at));
  }

  Variable<T> x_;
  std::optional<Variable<T>> left_, right_, scale_;
  index n1_, n2_, abreast_;
  index group_ = 1, block_ = 1, blocks_ = 0;  // rows, rows, count
  MatrixView<const T> in_, left_matrix_;
};

template <class T>
void check_kronecker(Variable<T> x, index n1, index n2, const std::optional<Variable<T>>& left,
                     const std::optional<Variable<T>>& right, const std::optional<Variable<T>>& scale) {
  for (const auto& factor : {left, right})
    if (factor && (factor->rows() != factor->columns()))
      Tape<T>::fail("a factor of a Kronecker product is ", factor->rows(), " x ", factor->columns(), ", not square");
  if (n1 * n2 != x.columns() || (left && left->rows() != n1) || (right && right->rows() != n2))
    Tape<T>::fail("factors of ", n1, " and ", n2, " on rows of ", x.columns());
  if (scale && (scale->rows() != 1 || scale->columns() != x.columns()))
    Tape<T>::fail("scaling ", x.columns(), " columns by ", scale->rows(), " x ", scale->columns(), " factors");
}

template <class T>
[[nodiscard]] Variable<T> record_kronecker(Variable<T> x, index n1, index n2, std::optional<Variable<T>> left,
                                           std::optional<Variable<T>> right, std::optional<Variable<T>> scale) {
  check_kronecker<T>(x, n1, n2, left, right, scale);
  auto [y, out] = x.tape().result(x.rows(), x.columns(), {x, left.value_or(x), right.value_or(x), scale.value_or(x)});
  const KroneckerRecord<T> record(x, n1, n2, left, right, scale);
  record.forward(out);
  x.tape().on_backward(y, [record](MatrixView<const T> dy) { record.backward(dy); });
  return y;
}

}  // namespace detail

/// Every row of x ⊙ scale, reshaped row-major to M (n1 × n2), becomes leftᵀ M right: y = (x ⊙ scale) (left ⊗ right).
/// left: n1 × n1, right: n2 × n2, scale: 1 × n1·n2, or none.
template <class T>
[[nodiscard]] Variable<T> kronecker(Variable<T> x, Variable<T> left, Variable<T> right,
                                    std::type_identity_t<std::optional<Variable<T>>> scale = {}) {
  if (left.rows() * right.rows() != x.columns())
    Tape<T>::fail("a Kronecker product of ", left.rows(), " x ", left.columns(), " and ", right.rows(), " x ",
                  right.columns(), " on rows of ", x.columns());
  return detail::record_kronecker<T>(x, left.rows(), right.rows(), left, right, scale);
}

/// leftᵀ M, M the n1 × (columns / n1) matrix in a row of x ⊙ scale: y = (x ⊙ scale) (left ⊗ I).
template <class T>
[[nodiscard]] Variable<T> kronecker_left(Variable<T> x, Variable<T> left,
                                         std::type_identity_t<std::optional<Variable<T>>> scale = {}) {
  if (left.rows() == 0 || x.columns() % left.rows() != 0)
    Tape<T>::fail("a left factor of ", left.rows(), " x ", left.columns(), " on rows of ", x.columns());
  return detail::record_kronecker<T>(x, left.rows(), x.columns() / left.rows(), left, std::nullopt, scale);
}

/// M right, M the (columns / n2) × n2 matrix in a row of x ⊙ scale: y = (x ⊙ scale) (I ⊗ right).
template <class T>
[[nodiscard]] Variable<T> kronecker_right(Variable<T> x, Variable<T> right,
                                          std::type_identity_t<std::optional<Variable<T>>> scale = {}) {
  if (right.rows() == 0 || x.columns() % right.rows() != 0)
    Tape<T>::fail("a right factor of ", right.rows(), " x ", right.columns(), " on rows of ", x.columns());
  return detail::record_kronecker<T>(x, x.columns() / right.rows(), right.rows(), std::nullopt, right, scale);
}

}  // namespace planish::inline PLANISH_ABI::calibration::tape
