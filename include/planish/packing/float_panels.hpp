#pragma once
#include <utility>

#include <planish/core/abi.hpp>
#include <planish/core/affine.hpp>
#include <planish/core/aligned_buffer.hpp>
#include <planish/core/index.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/core/result.hpp>
#include <planish/packing/panels.hpp>

namespace planish::inline PLANISH_ABI {

/// Float weights as [panel][column][32 channels]: the float kernels read them front to back. Channels behind the last
/// row are 0.
struct FloatPanelsView {
  index rows = 0;     // output channels
  index columns = 0;  // inputs
  const float* data = nullptr;

  [[nodiscard]] index panel_count() const noexcept { return planish::panel_count(rows); }
  [[nodiscard]] const float* panel(index p) const noexcept { return data + p * columns * panel_width; }
  [[nodiscard]] float value(index row, index column) const noexcept {
    return panel(row / panel_width)[column * panel_width + row % panel_width];
  }
};

/// Owner of float panels.
class FloatPanels {
 public:
  FloatPanels() = default;

  /// Packs w (out × in). Errors: NaN or infinity, out of memory.
  PLANISH_LAZY static Result<FloatPanels> make(MatrixView<const float> w) noexcept {
    auto data = AlignedBuffer<float>::make(planish::panel_count(w.rows()) * w.columns() * panel_width);
    if (!data) return data.status();
    FloatPanels made;
    made.rows_ = w.rows();
    made.columns_ = w.columns();
    made.data_ = *std::move(data);
    if (w.empty()) return made;
    for (index r = 0; r < w.rows(); ++r) {
      float* to = made.data_.data() + r / panel_width * w.columns() * panel_width + r % panel_width;
      for (index c = 0; c < w.columns(); ++c) {
        if (!is_finite(w(r, c)))
          return Status(ErrorCode::not_finite, "weight at row ", r, ", column ", c, " is not finite");
        to[c * panel_width] = w(r, c);
      }
    }
    return made;
  }

  [[nodiscard]] FloatPanelsView view() const noexcept { return {rows_, columns_, data_.data()}; }
  PLANISH_LAZY [[nodiscard]] std::size_t size_bytes() const noexcept { return data_.bytes().size(); }

 private:
  index rows_ = 0;
  index columns_ = 0;
  AlignedBuffer<float> data_;
};

}  // namespace planish::inline PLANISH_ABI
