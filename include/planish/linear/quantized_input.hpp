#pragma once
#include <planish/core/matrix_view.hpp>
#include <planish/core/workspace.hpp>
#include <planish/packing/quantized_rows.hpp>

namespace planish::inline PLANISH_ABI {

/// The transformed input of a site, as its consumers share it: codes, or float values where activations stay float or
/// are simulated. It lives in the workspace that `prepare` was given, and is valid as long as that is.
struct QuantizedInput {
  QuantizedRowsView codes{};         ///< rows × columns; empty where activations stay float
  MatrixView<const float> values{};  ///< rows × columns; null where consumers read the codes
  Workspace scratch{};               ///< what prepare left of its workspace, for consumers that run one after another

  /// True if consumers read `values`. Simulated ("fake") quantization has both: the values of these very codes.
  [[nodiscard]] bool is_float() const noexcept { return values.data() != nullptr; }
  [[nodiscard]] index rows() const noexcept { return is_float() ? values.rows() : codes.rows; }
  [[nodiscard]] index columns() const noexcept { return is_float() ? values.columns() : codes.columns; }

  /// Rows [first, first + count), on the same scratch.
  [[nodiscard]] QuantizedInput middle_rows(index first, index count) const noexcept {
    QuantizedInput part{{}, {}, scratch};
    if (codes.rows > 0) part.codes = codes.middle_rows(first, count);
    if (is_float()) part.values = values.middle_rows(first, count);
    return part;
  }
};

/// Whether quantized operations run on packed codes, or on the float values of the same codes ("fake quantization").
enum class SiteMode : std::uint8_t { packed, fake };

}  // namespace planish::inline PLANISH_ABI
