#pragma once
// Kronecker products of bfloat16 terms in matrix tiles, a row tile at a time: while one is rounded, the one before
// meets the right factor, what came of the one before that becomes terms in pairs, and the row before meets the left
// factor.
#include <planish/kernels/cpu/isa/pair_tiles.hpp>

#if defined(PLANISH_HAS_AMX_BF16)
#include <algorithm>
#include <span>

#include <planish/core/index.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/kernels/cpu/kronecker_panels.hpp>
#include <planish/kernels/reference/kronecker_bfloat16.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

class KroneckerTiles {
 public:
  /// Scratch: reference::kronecker_bfloat16_scratch_size elements.
  KroneckerTiles(const Bfloat16FactorsView& factors, std::span<float> scratch) noexcept
      : f_(factors),
        height_(PairTiles::height(f_.n1)),
        tiles_(PairTiles::row_tiles(f_.n1)),
        columns_(PairTiles::column_tiles(f_.n2)),
        queue_(height_) {
    const index blocks = PairTiles::blocks(f_.n2), left_blocks = PairTiles::blocks(f_.n1);
    PairLine* lines = reinterpret_cast<PairLine*>(detail::on_a_line(scratch));
    for (index i = 0; i < 2; ++i, lines += height_ * blocks) terms_[i] = lines;
    for (index i = 0; i < 2; ++i, lines += left_blocks * 16 * columns_) pairs_[i] = lines;
    float* floats = reinterpret_cast<float*>(lines);
    for (index i = 0; i < 2; ++i, floats += height_ * columns_ * 16) between_[i] = floats;
    constexpr index short_row = 2048;
    for (float*& room : results_) {
      room = floats;
      if (f_.n1 * f_.n2 <= short_row) floats += (tiles_ * height_ * f_.n2 + 31) / 16 * 16;
    }
    if (f_.left != nullptr) clear_spare_pairs();
  }

  /// True if the result of a row stays while the next one is made: where they are short, and fit the first-level cache.
  [[nodiscard]] bool keeps_results() const noexcept { return results_[0] != results_[1]; }

  /// Dense rows x; `done(r, result)` for each in order.
  template <class Done>
  void run(MatrixView<const float> x, Done&& done) noexcept {
    const index steps = x.rows() * tiles_, terms_lead = f_.right != nullptr ? 2 : 0;
    const index left_lead = f_.left != nullptr ? terms_lead + tiles_ : 1;
    for (index step = 0; step <= steps + left_lead; ++step) {
      const index made = step - left_lead - 1;
      const bool ends = made >= 0 && made % tiles_ == tiles_ - 1;
      const auto finish = [&] { done(made / tiles_, result(made)); };
      if (step > steps || (ends && !keeps_results())) queue_.finish();  // else the next product makes room
      if (ends && !keeps_results()) finish();
      if (f_.right != nullptr && step >= 1 && step <= steps) multiply_right(step - 1);
      if (f_.left != nullptr && step >= left_lead && step < steps + left_lead) multiply_left(step - left_lead);
      if (f_.right != nullptr && step < steps) round(x.row(step / tiles_), step);
      if (f_.left != nullptr && step >= terms_lead && step - terms_lead < steps)
        pair_up(x.row((step - terms_lead) / tiles_), step - terms_lead);
      if (ends && keeps_results()) finish();
    }
  }

 private:
  [[nodiscard]] float* result(index step) const noexcept { return results_[step / tiles_ % 3]; }
  [[nodiscard]] index first_row(index step) const noexcept { return step % tiles_ * height_; }
  [[nodiscard]] index rows(index step) const noexcept { return std::min(height_, f_.n1 - first_row(step)); }

  void round(const float* x, index step) noexcept {
    isa::store_terms(x + first_row(step) * f_.n2, rows(step), f_.n2, terms_[step % 2], height_);
  }

  void multiply_right(index step) noexcept {
    const bool ends = f_.left == nullptr;
    float* const to = result(step) + first_row(step) * f_.n2;
    queue_.multiply({terms_[step % 2], f_.right_tiles, PairTiles::blocks(f_.n2), columns_,
                     ends ? to : between_[step % 2], ends ? f_.n2 : columns_ * 16});
  }

  void pair_up(const float* x, index step) noexcept {
    const index pair = first_row(step) / 2;
    PairLine* const all = pairs_[step / tiles_ % 2];
    const bool given = f_.right == nullptr;
    const float* from = given ? x + first_row(step) * f_.n2 : between_[step % 2];
    const index stride = given ? f_.n2 : columns_ * 16;
    index left = rows(step);
    for (index p = pair; left > 0;) {  // lines of a block lie together
      const index here = std::min(left, (16 - p % 16) * 2);
      isa::store_pairs(from, here, stride, stride, all + p / 16 * 16 * columns_ + p % 16);
      p += here / 2;
      from += here * stride;
      left -= here;
    }
  }

  void multiply_left(index step) noexcept {
    const index blocks = PairTiles::blocks(f_.n1), tile = step % tiles_;
    queue_.multiply({f_.left_tiles + tile * blocks * height_, pairs_[step / tiles_ % 2], blocks, columns_,
                     result(step) + first_row(step) * f_.n2, f_.n2},
                    true);
  }

  /// Pairs behind the last meet zeros of the left factor, and must be finite.
  void clear_spare_pairs() noexcept {
    const index used = (f_.n1 + 1) / 2, all = PairTiles::blocks(f_.n1) * 16;
    for (PairLine* pairs : pairs_)
      for (index pair = used; pair < all; ++pair)
        for (index c = 0; c < columns_; ++c) pairs[(pair / 16 * columns_ + c) * 16 + pair % 16] = PairLine{};
  }

  Bfloat16FactorsView f_;
  index height_, tiles_, columns_;
  isa::PairTileQueue queue_;
  PairLine *terms_[2], *pairs_[2];
  float *between_[2], *results_[3];
};

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
#endif
