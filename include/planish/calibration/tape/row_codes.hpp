#pragma once
// The codes behind a quantized matrix of a tape: operations that read them need no float arithmetic.
#include <algorithm>
#include <cstring>
#include <type_traits>

#include <planish/calibration/tape/quantized_run.hpp>
#include <planish/calibration/tape/tape.hpp>
#include <planish/core/workspace.hpp>
#include <planish/packing/panels.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape::detail {

/// The codes of a matrix while it is being quantized, with rows of zeros behind the last up to a whole panel of
/// weights; none where codes are not kept: of float64, of zero points or groups, or where nothing is rounded.
template <class T>
class RowCodes {
 public:
  RowCodes(Tape<T>& tape, index rows, index columns, const FakeQuantizer& quantizer) : tape_(&tape), rows_(rows) {
    if (!std::is_same_v<T, float> || quantizer.symmetry != Symmetry::symmetric || quantizer.group_size != 0 ||
        !quantizer.rounds || rows == 0 || columns == 0)
      return;
    const index padded = panel_count(rows) * panel_width;
    Workspace memory(tape.scratch_bytes(quantized_rows_bytes(padded, columns, false)));
    span_ = take_quantized_rows(memory, padded, columns, false);
    for (index r = rows; r < padded; ++r) clear(r);
  }

  /// Where the codes of a row go; null where none are kept.
  [[nodiscard]] std::int8_t* row(index r) const noexcept { return span_.codes == nullptr ? nullptr : span_.row(r); }

  void set_scale(index r, T scale) const noexcept {
    if (span_.codes != nullptr) span_.scales[r] = static_cast<float>(scale);
  }

  /// After the codes of some rows are there: not at once, for bytes that were just stored are read late.
  void finish(index first, index count) const noexcept {
    if (span_.codes == nullptr) return;
    for (index r = first; r < first + count; ++r) {
      const float scale = span_.scales[r];
      if (scale == scale) {
        std::memset(span_.row(r) + span_.columns, 0, static_cast<std::size_t>(span_.stride - span_.columns));
        span_.sums[r] = kernels::cpu::isa::Best::sum_of_codes(span_.row(r), span_.columns);
      } else {
        clear(r);
        span_.scales[r] = scale;
      }
    }
  }

  void give_to(Variable<T> y) const {
    if (span_.codes != nullptr) tape_->set_codes(y, span_.middle_rows(0, rows_));
  }

 private:
  void clear(index r) const noexcept {
    std::memset(span_.row(r), 0, static_cast<std::size_t>(span_.stride));
    span_.scales[r] = 0.0f;
    span_.sums[r] = 0;
  }

  Tape<T>* tape_;
  index rows_;
  QuantizedRowsSpan span_;
};

}  // namespace planish::inline PLANISH_ABI::calibration::tape::detail
