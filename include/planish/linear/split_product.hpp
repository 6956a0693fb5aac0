#pragma once
#include <algorithm>

#include <planish/core/abi.hpp>
#include <planish/core/divide_up.hpp>
#include <planish/core/index.hpp>
#include <planish/packing/panels.hpp>

namespace planish::inline PLANISH_ABI::detail {

/// How a product is cut into tasks: `row_parts` runs of rows times `panel_parts` runs of weight panels.
struct ProductSplit {
  index row_parts = 1, panel_parts = 1;
  [[nodiscard]] index tasks() const noexcept { return row_parts * panel_parts; }
};

/// A few tasks per worker, cut along the weights first, so that each weight is read by one worker; along the rows too
/// where panels are few. Under about 10 us of work for one thread there is one task.
[[nodiscard]] constexpr ProductSplit split_product(index rows, index panels, index columns, int workers) noexcept {
  constexpr index least_weights = 256 * 1024;  // of one task, read once from memory
  constexpr index free_rows = 5;               // so many rows cost no more than reading the weights
  constexpr index tasks_per_worker = 4, least_rows = 32;
  const index weights = panels * panel_width * columns;
  const index work = rows <= free_rows ? weights : weights / free_rows * rows;
  const index wanted = rows == 0 ? 0 : std::min(tasks_per_worker * workers, work / least_weights);
  if (workers <= 1 || wanted <= 1) return {};
  ProductSplit split;
  split.panel_parts = std::min(panels, wanted);
  if (split.panel_parts < wanted)
    split.row_parts = std::clamp<index>(divide_up(wanted, split.panel_parts), 1, std::max<index>(rows / least_rows, 1));
  return split;
}

}  // namespace planish::inline PLANISH_ABI::detail
