#pragma once
// The online half of a site: rows go tile by tile through the whole transform and the quantizer while they are in
// cache.
#include <algorithm>
#include <cstdint>

#include <planish/backend/backend.hpp>
#include <planish/core/executor.hpp>
#include <planish/core/status.hpp>
#include <planish/linear/finite_rows.hpp>
#include <planish/linear/quantized_input.hpp>

namespace planish::inline PLANISH_ABI::detail {

/// What a site does with its input. `quantizes` false: activations stay float and `quantizer` is not read.
struct SitePlan {
  RowQuantizer quantizer{};
  bool quantizes = true;
  SiteMode mode = SiteMode::packed;

  [[nodiscard]] bool asymmetric() const noexcept { return quantizer.symmetry == Symmetry::asymmetric; }
  [[nodiscard]] bool has_values() const noexcept { return !quantizes || mode == SiteMode::fake; }
};

/// True if the transform leaves rows as they are.
template <TransformStage T>
[[nodiscard]] bool leaves_rows(const T& transform) noexcept {
  if constexpr (requires { transform.is_identity(); })
    return transform.is_identity();
  else
    return std::same_as<T, Identity>;
}

/// Elements of float that one worker needs: a dense copy of a tile, the transformed tile, the transform's scratch.
struct TileRoom {
  index tile_rows, tile, scratch;

  template <TransformStage T>
  TileRoom(const T& transform, index rows) noexcept
      : tile_rows(std::min(rows, rows_in_cache(transform.size()))),
        tile(whole_lines(tile_rows * transform.size())),
        scratch(whole_lines(transform.scratch_size(tile_rows))) {}

  [[nodiscard]] index size() const noexcept { return 2 * tile + scratch; }

 private:
  /// 8 to 32 rows, about 64 KiB.
  [[nodiscard]] static index rows_in_cache(index columns) noexcept {
    return std::clamp<index>(16 * 1024 / std::max<index>(columns, 1) / 8 * 8, 8, 32);
  }
  [[nodiscard]] static index whole_lines(index elements) noexcept { return (elements + 15) / 16 * 16; }
};

/// Workspace of prepare; at a site that was asked for more workers than run, the rest stays unused.
template <TransformStage T>
[[nodiscard]] std::size_t prepare_bytes(const T& transform, const SitePlan& plan, index rows, int workers) noexcept {
  const index n = transform.size();
  std::size_t bytes = buffer_alignment + workspace_bytes<index>(workers) +
                      workspace_bytes<float>(workers * TileRoom(transform, rows).size());
  if (plan.quantizes) bytes += quantized_rows_bytes(rows, n, plan.asymmetric());
  if (plan.has_values()) bytes += workspace_bytes<float>(rows * n);
  return bytes;
}

/// Where the rows of one `prepare` come from and go to.
template <class Backend, TransformStage T>
struct PrepareRun {
  const Backend& backend;
  const T& transform;
  const SitePlan& plan;
  MatrixView<const float> x;
  TileRoom room;
  QuantizedRowsSpan codes{};     // if the site quantizes
  MatrixView<float> values{};    // if consumers read floats
  bool in_place = false;         // floats that need no transform: consumers read x itself
  std::span<float> memory{};     // room.size() per worker
  std::span<index> first_bad{};  // per worker: first row with NaN or infinity that it met, or -1

  /// Rows [first, first + count), count <= room.tile_rows.
  void run_tile(index first, index count, int worker) const noexcept {
    const index bad = in_place ? first_bad_row(x.middle_rows(first, count)) : run_rows(first, count, worker);
    index& least = first_bad[static_cast<std::size_t>(worker)];
    if (bad >= 0 && (least < 0 || first + bad < least)) least = first + bad;
  }

 private:
  [[nodiscard]] index run_rows(index first, index count, int worker) const noexcept {
    const index n = transform.size();
    float* const dense = memory.data() + worker * room.size();
    MatrixView<const float> rows = x.middle_rows(first, count);
    if (!rows.has_dense_rows()) {
      copy_rows(rows, MatrixView<float>(dense, count, n));
      rows = {dense, count, n};
    }
    const MatrixView<float> target =
        plan.quantizes ? MatrixView<float>(dense + room.tile, count, n) : values.middle_rows(first, count);
    if (!leaves_rows(transform)) {
      apply(backend, transform, rows, target,
            std::span<float>(dense + 2 * room.tile, static_cast<std::size_t>(room.scratch)));
      rows = target;
    } else if (!plan.quantizes) {
      copy_rows(rows, target);
    }
    return plan.quantizes ? quantize_rows(rows, first) : check_values(target);
  }

  [[nodiscard]] index quantize_rows(MatrixView<const float> rows, index first) const noexcept {
    const QuantizedRowsSpan out = codes.middle_rows(first, rows.rows());
    const index bad_rows = quantize(backend, rows, plan.quantizer, out);
    if (plan.has_values()) dequantize(backend, QuantizedRowsView(out), values.middle_rows(first, rows.rows()));
    if (bad_rows == 0) return -1;
    index row = 0;
    while (row + 1 < out.rows && is_finite(out.scales[row])) ++row;
    return row;
  }

  [[nodiscard]] static index check_values(MatrixView<float> rows) noexcept {
    const index bad = first_bad_row(rows);
    if (bad >= 0) fill_bad_rows(rows);
    return bad;
  }
};

/// Transforms and quantizes the rows of x into memory of the workspace. A row with NaN or infinity makes the status
/// `not_finite` and its outputs NaN; all other rows are right.
template <class Backend, TransformStage T>
[[nodiscard]] Status prepare(const Backend& backend, const T& transform, const SitePlan& plan,
                             MatrixView<const float> x, QuantizedInput& in, Workspace& workspace,
                             ExecutorReference executor) noexcept {
  const index n = transform.size(), rows = x.rows();
  in = {};
  if (x.columns() != n)
    return Status(ErrorCode::shape_mismatch, "the site has ", n, " channels, its input ", x.columns());
  const int workers = executor.workers();
  const std::size_t needed = prepare_bytes(transform, plan, rows, workers) - buffer_alignment;
  if (workspace.size() < needed)
    return Status(ErrorCode::invalid_argument, "a site of ", n, " channels needs a workspace of ", needed,
                  " bytes for ", rows, " rows and ", workers, " workers, not ", workspace.size());
  PrepareRun<Backend, T> run{backend, transform, plan, x, TileRoom(transform, rows)};
  run.in_place = !plan.quantizes && leaves_rows(transform) && x.has_dense_rows();
  if (plan.quantizes) run.codes = take_quantized_rows(workspace, rows, n, plan.asymmetric());
  if (plan.has_values()) run.values = {workspace.take<float>(rows * n).data(), rows, n};
  Workspace temporary = workspace;  // free again when prepare returns
  run.first_bad = temporary.take<index>(workers);
  run.memory = temporary.take<float>(workers * run.room.size());
  for (index& bad : run.first_bad) bad = -1;

  constexpr index few_copied = 32 * 1024, few_transformed = 16 * 1024;  // elements in about 10 us of one thread
  const bool alone = workers <= 1 || rows * n < (leaves_rows(transform) ? few_copied : few_transformed);
  const index tile = alone ? run.room.tile_rows : std::min(run.room.tile_rows, (rows + workers - 1) / workers);
  const auto tiles = static_cast<int>(tile == 0 ? 0 : (rows + tile - 1) / tile);
  (alone ? ExecutorReference{} : executor).run(tiles, [&run, tile, rows](int task, int worker) noexcept {
    run.run_tile(task * tile, std::min(tile, rows - task * tile), worker);
  });

  index bad = -1;
  for (index met : run.first_bad)
    if (met >= 0 && (bad < 0 || met < bad)) bad = met;
  if (run.in_place && bad >= 0) {
    copy_rows(x, run.values);
    fill_bad_rows(run.values);
  }
  in.codes = run.codes;
  in.values = run.in_place && bad < 0 ? x : MatrixView<const float>(run.values);
  in.scratch = workspace;
  if (bad >= 0) return Status(ErrorCode::not_finite, "row ", bad, " of the input holds NaN or infinity");
  return {};
}

}  // namespace planish::inline PLANISH_ABI::detail
