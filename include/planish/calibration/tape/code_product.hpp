#pragma once
// Products of two matrices that are codes times scales, by the kernels that run behind a model.
#include <algorithm>
#include <cstdint>

#include <planish/backend/cpu.hpp>
#include <planish/calibration/tape/tape.hpp>
#include <planish/core/divide_up.hpp>
#include <planish/kernels/cpu/pack_code_panel.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape::detail {

/// One panel of weights, packed from codes, and what a worker needs to multiply by it.
class CodePanel {
 public:
  [[nodiscard]] static std::size_t room(index rows, index columns) noexcept {
    return workspace_bytes<std::uint8_t>(kernels::cpu::code_panel_room(columns)) +
           workspace_bytes<std::int32_t>(panel_width) + workspace_bytes<float>(panel_width) + buffer_alignment +
           multiply_scratch_bytes(Cpu{}, rows, columns, 1) + buffer_alignment;
  }

  /// Channels [panel · 32, …) of w, whose rows go on with zeros to the end of the panel.
  [[nodiscard]] static CodePanel of_channels(QuantizedRowsView w, index panel, std::span<std::byte> room) noexcept {
    const index first = panel * panel_width;
    CodePanel made(std::min(panel_width, w.rows - first), w.columns, room);
    kernels::cpu::pack_code_panel(w, panel, made.codes_);
    made.view_.scales = w.scales + first;
    made.view_.sums = w.sums + first;
    return made;
  }

  /// Channels [panel · 32, …) of codes whose rows are terms; their scales count as 1.
  [[nodiscard]] static CodePanel of_terms(QuantizedRowsView terms, index panel, std::span<std::byte> room) noexcept {
    CodePanel made(std::min(panel_width, terms.columns - panel * panel_width), terms.rows, room);
    kernels::cpu::pack_term_panel(terms, panel, made.codes_);
    const auto ones = made.rest_.take<float>(panel_width);
    std::fill(ones.begin(), ones.end(), 1.0f);
    made.view_.scales = ones.data();
    made.view_.sums = made.view_.zeros;  // the other side has no zero points, so that nobody reads them
    return made;
  }

  /// y (rows of x × channels of the panel) = x wᵀ, or += it.
  PLANISH_LAZY void multiply(QuantizedRowsView x, MatrixView<float> y, bool adds = false) noexcept {
    const auto scratch = rest_.take<std::byte>(static_cast<index>(rest_.size() / buffer_alignment * buffer_alignment));
    const Epilogue epilogue{.residual = adds ? MatrixView<const float>(y) : MatrixView<const float>()};
    planish::multiply(Cpu{}, x, view_, epilogue, y, {0, 1}, scratch);
  }

 private:
  CodePanel(index channels, index columns, std::span<std::byte> room) noexcept
      : rest_(room), codes_(rest_.take<std::uint8_t>(kernels::cpu::code_panel_room(columns)).data()) {
    const auto zeros = rest_.take<std::int32_t>(panel_width);
    std::fill(zeros.begin(), zeros.end(), storage_offset(CodeStorage::byte));
    view_ = {.storage = CodeStorage::byte,
             .rows = channels,
             .columns = columns,
             .group_size = columns,
             .bits = 8,
             .symmetry = Symmetry::symmetric,
             .panels = codes_,
             .zeros = zeros.data()};
  }

  Workspace rest_;
  std::uint8_t* codes_;
  PackedWeightsView view_;
};

/// f(panel, rows, worker) for every panel of 32 channels, and for blocks of rows where there are few panels.
template <class F>
void for_panel_blocks(ExecutorReference executor, index rows, index panels, F&& f) {
  constexpr index least_rows = 64;  // of a task, for a panel to be worth packing
  const index wanted = 4 * static_cast<index>(executor.workers());
  const index blocks = std::clamp<index>(divide_up(wanted, panels), 1, divide_up(rows, least_rows));
  executor.run(static_cast<int>(panels * blocks),
               [&](int task, int worker) { f(task / blocks, part_of(rows, task % blocks, blocks), worker); });
}

/// y = x wᵀ in integers, rescaled as behind a model; false where one of the two is no codes, or too long for exact
/// sums.
PLANISH_LAZY bool multiply_codes_into(Tape<float>& tape, Variable<float> x, Variable<float> w, MatrixView<float> y) {
  if (!tape.codes_of(x) || !tape.codes_of(w)) return false;
  const QuantizedRowsView rows = *tape.codes_of(x), weights = *tape.codes_of(w);
  if (rows.columns > most_group_columns(8, Symmetry::symmetric)) return false;
  const std::size_t room = CodePanel::room(rows.rows, rows.columns);
  auto rooms = tape.borrow_bytes(static_cast<std::size_t>(tape.executor().workers()) * room);
  for_panel_blocks(tape.executor(), rows.rows, panel_count(weights.rows), [&](index panel, Range block, int worker) {
    const index first = panel * panel_width, count = block.end - block.begin;
    auto packed =
        CodePanel::of_channels(weights, panel, {rooms.data() + static_cast<std::size_t>(worker) * room, room});
    packed.multiply(
        rows.middle_rows(block.begin, count),
        y.middle_rows(block.begin, count).middle_columns(first, std::min(panel_width, weights.rows - first)));
  });
  return true;
}

/// Checks are of float64, which has no codes.
PLANISH_LAZY bool multiply_codes_into(Tape<double>&, Variable<double>, Variable<double>, MatrixView<double>) {
  return false;
}

}  // namespace planish::inline PLANISH_ABI::calibration::tape::detail
