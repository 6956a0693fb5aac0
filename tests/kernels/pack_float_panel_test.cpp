// Panels of float weights from views of any strides.
#include <algorithm>
#include <array>
#include <vector>

#include <doctest/doctest.h>

#include <planish/kernels/cpu/pack_float_panel.hpp>

namespace pl = planish;

TEST_CASE("panels of weights: rows apart, columns apart, both apart; a part of a panel ends in zeros") {
  constexpr pl::index columns = 5, rows = pl::panel_width + 3;
  std::vector<float> memory(static_cast<std::size_t>(3 * rows * columns * 2));
  for (const auto& [row_stride, column_stride] :
       {std::array<pl::index, 2>{columns, 1}, {1, rows}, {2 * columns, 2}, {2, 2 * rows + 1}}) {
    const pl::MatrixView<float> w(memory.data(), rows, columns, row_stride, column_stride);
    for (pl::index r = 0; r < rows; ++r)
      for (pl::index c = 0; c < columns; ++c) w(r, c) = static_cast<float>(r * columns + c + 1);
    for (const pl::index number : {0, 1}) {
      const pl::index first = number * pl::panel_width;
      const pl::index channels = std::min(pl::panel_width, rows - first);
      alignas(64) std::array<float, columns * pl::panel_width> panel{};
      panel.fill(-1.0f);
      pl::kernels::cpu::pack_float_panel(pl::MatrixView<const float>(w), number, panel.data());
      bool right = true;
      for (pl::index c = 0; c < columns; ++c)
        for (pl::index r = 0; r < pl::panel_width; ++r)
          right = right && panel[static_cast<std::size_t>(c * pl::panel_width + r)] ==
                               (r < channels ? static_cast<float>((first + r) * columns + c + 1) : 0.0f);
      CHECK(right);
    }
  }
}
