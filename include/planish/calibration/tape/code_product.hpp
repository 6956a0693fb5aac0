#pragma once
// Products of two matrices that are codes times scales, by the kernels that run behind a model.
#include <algorithm>
#include <cstdint>

#include <planish/backend/cpu.hpp>
#include <planish/calibration/tape/tape.hpp>
#include <planish/kernels/cpu/pack_code_panel.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape::detail {

/// One panel of weights, packed from rows of codes, and what a worker needs to multiply by it.
class CodePanel {
 public:
  [[nodiscard]] static std::size_t room(index rows, index columns) noexcept {
    return workspace_bytes<std::uint8_t>(kernels::cpu::code_panel_room(columns)) +
           workspace_bytes<std::int32_t>(panel_width) + buffer_alignment +
           multiply_scratch_bytes(Cpu{}, rows, columns, 1) + buffer_alignment;
  }

  /// Channels [panel · 32, …) of w, whose rows go on with zeros to the end of the panel.
  CodePanel(QuantizedRowsView w, index panel, std::span<std::byte> room) noexcept : rest_(room) {
    const index first = panel * panel_width;
    const auto panels = rest_.take<std::uint8_t>(kernels::cpu::code_panel_room(w.columns));
    const auto zeros = rest_.take<std::int32_t>(panel_width);
    std::fill(zeros.begin(), zeros.end(), storage_offset(CodeStorage::byte));
    kernels::cpu::pack_code_panel(w, panel, panels.data());
    view_ = {.storage = CodeStorage::byte,
             .rows = std::min(panel_width, w.rows - first),
             .columns = w.columns,
             .group_size = w.columns,
             .bits = 8,
             .symmetry = Symmetry::symmetric,
             .panels = panels.data(),
             .scales = w.scales + first,
             .zeros = zeros.data(),
             .sums = w.sums + first};
  }

  /// y (rows of x × channels of the panel) = x wᵀ.
  PLANISH_LAZY void multiply(QuantizedRowsView x, MatrixView<float> y) noexcept {
    const auto scratch = rest_.take<std::byte>(static_cast<index>(rest_.size() / buffer_alignment * buffer_alignment));
    planish::multiply(Cpu{}, x, view_, Epilogue{}, y, {0, 1}, scratch);
  }

 private:
  Workspace rest_;
  PackedWeightsView view_;
};

/// y = x wᵀ in integers, rescaled as behind a model; false where one of the two is no codes, or too long for exact
/// sums.
PLANISH_LAZY bool multiply_codes_into(Tape<float>& tape, Variable<float> x, Variable<float> w, MatrixView<float> y) {
  if (!tape.codes_of(x) || !tape.codes_of(w)) return false;
  const QuantizedRowsView rows = *tape.codes_of(x), weights = *tape.codes_of(w);
  if (rows.columns > most_group_columns(8, Symmetry::symmetric)) return false;
  const index panels = panel_count(weights.rows), wanted = 4 * static_cast<index>(tape.executor().workers());
  constexpr index least_rows = 64;  // of a task, for a panel to be worth packing
  const index blocks = std::clamp<index>((wanted + panels - 1) / panels, 1, (rows.rows + least_rows - 1) / least_rows);
  const std::size_t room = CodePanel::room(rows.rows, rows.columns);
  auto rooms = tape.borrow_bytes(static_cast<std::size_t>(tape.executor().workers()) * room);
  tape.executor().run(static_cast<int>(panels * blocks), [&](int task, int worker) {
    const index panel = task / blocks;
    const Range block = part_of(rows.rows, task % blocks, blocks);
    CodePanel packed(weights, panel, {rooms.data() + static_cast<std::size_t>(worker) * room, room});
    const index first = panel * panel_width;
    packed.multiply(rows.middle_rows(block.begin, block.end - block.begin),
                    y.middle_rows(block.begin, block.end - block.begin)
                        .middle_columns(first, std::min(panel_width, weights.rows - first)));
  });
  return true;
}

/// Checks are of float64, which has no codes.
PLANISH_LAZY bool multiply_codes_into(Tape<double>&, Variable<double>, Variable<double>, MatrixView<double>) {
  return false;
}

}  // namespace planish::inline PLANISH_ABI::calibration::tape::detail
