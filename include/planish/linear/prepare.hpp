#pragma once
// The online half of a site: rows go tile by tile through the whole transform and the quantizers while they are in
// cache.
#include <algorithm>
#include <array>
#include <cstdint>

#include <planish/backend/backend.hpp>
#include <planish/core/divide_up.hpp>
#include <planish/core/executor.hpp>
#include <planish/core/status.hpp>
#include <planish/linear/finite_rows.hpp>
#include <planish/linear/produced_rows.hpp>
#include <planish/linear/quantized_input.hpp>
#include <planish/linear/site_plan.hpp>
#include <planish/linear/sixteen_bit_rows.hpp>
#include <planish/packing/rows_to_codes.hpp>

namespace planish::inline PLANISH_ABI::detail {

/// True if the transform leaves rows as they are.
template <TransformStage T>
[[nodiscard]] bool leaves_rows(const T& transform) noexcept {
  if constexpr (requires { transform.is_identity(); })
    return transform.is_identity();
  else
    return std::same_as<T, Identity>;
}

/// True if the backend quantizes rows while it transforms them.
template <class Backend, class T>
concept AppliesToCodes = requires(const Backend& backend, const T& transform, const RowsToCodes& job) {
  { apply_to_codes(backend, transform, job) } -> std::same_as<index>;
};

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
  for (int i = 0; i < plan.inputs(); ++i) {
    if (plan.quantizes(i)) bytes += quantized_rows_bytes(rows, n, plan.asymmetric(i));
    if (plan.has_values(i)) bytes += workspace_bytes<float>(rows * n);
  }
  return bytes;
}

/// Where the rows of one quantized input go.
struct InputRows {
  QuantizedRowsSpan codes{};   // if it is quantized
  MatrixView<float> values{};  // if consumers read floats
};

/// Where the rows of one `prepare` come from and go to.
template <class Backend, TransformStage T, class Source>
struct PrepareRun {
  const Backend& backend;
  const T& transform;
  const SitePlan& plan;
  const Source& source;
  TileRoom room;
  std::array<InputRows, most_site_quantizers> inputs{};  // plan.inputs() of them
  bool in_place = false;                                 // floats that need no transform: consumers read x itself
  std::span<float> memory{};                             // room.size() per worker
  std::span<index> first_bad{};  // per worker: first row with NaN or infinity that it met, or -1

  /// Rows [first, first + count), count <= room.tile_rows.
  void run_tile(index first, index count, int worker) const noexcept {
    const index bad = in_place ? first_bad_in_place(first, count) : run_rows(first, count, worker);
    index& least = first_bad[static_cast<std::size_t>(worker)];
    least = earlier(least, bad < 0 ? bad : first + bad);
  }

  /// The earlier of two rows; -1 stands for none.
  [[nodiscard]] static index earlier(index a, index b) noexcept { return a < 0 || (b >= 0 && b < a) ? b : a; }

 private:
  [[nodiscard]] index first_bad_in_place(index first, index count) const noexcept {
    if constexpr (Source::is_float)
      return first_bad_row(source.x.middle_rows(first, count));
    else
      return -1;  // never read in place
  }

  [[nodiscard]] index run_rows(index first, index count, int worker) const noexcept {
    const index n = transform.size();
    float* const dense = memory.data() + worker * room.size();
    MatrixView<const float> rows = source.dense(first, {dense, count, n});
    const int kept = plan.float_input();
    if constexpr (AppliesToCodes<Backend, T>) {
      if (plan.inputs() == 1 && kept < 0 && !leaves_rows(transform)) {
        const QuantizedRowsSpan out = rows_of(0).codes.middle_rows(first, count);
        const index behind = rows.data() == dense ? 0 : source.rows() - first - count;
        const RowsToCodes job{rows,
                              behind,
                              plan.quantizer(0),
                              out,
                              {dense + room.tile, count, n},
                              {dense + 2 * room.tile, static_cast<std::size_t>(room.scratch)}};
        return first_bad_of(out, apply_to_codes(backend, transform, job), first, 0);
      }
    }
    const MatrixView<float> target =
        kept < 0 ? MatrixView<float>(dense + room.tile, count, n) : rows_of(kept).values.middle_rows(first, count);
    if (!leaves_rows(transform)) {
      apply(backend, transform, rows, target,
            std::span<float>(dense + 2 * room.tile, static_cast<std::size_t>(room.scratch)));
      rows = target;
    } else if (kept >= 0) {
      copy_rows(rows, target);
    }
    index bad = -1;
    for (int i = 0; i < plan.inputs(); ++i)
      if (i != kept) bad = earlier(bad, quantize_rows(rows, first, i));
    return kept < 0 ? bad : earlier(bad, check_values(target));  // last, for it overwrites bad rows
  }

  [[nodiscard]] const InputRows& rows_of(int input) const noexcept { return inputs[static_cast<std::size_t>(input)]; }

  [[nodiscard]] index quantize_rows(MatrixView<const float> rows, index first, int input) const noexcept {
    const QuantizedRowsSpan out = rows_of(input).codes.middle_rows(first, rows.rows());
    return first_bad_of(out, quantize(backend, rows, plan.quantizer(input), out), first, input);
  }

  /// The first of `bad_rows` rows that were not finite, or -1; consumers that read values get them here.
  [[nodiscard]] index first_bad_of(QuantizedRowsSpan out, index bad_rows, index first, int input) const noexcept {
    if (plan.has_values(input))
      dequantize(backend, QuantizedRowsView(out), rows_of(input).values.middle_rows(first, out.rows));
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

/// Transforms the rows of the source once and quantizes them once per distinct quantizer, into memory of the workspace;
/// in[i] is the input of consumer i. A row with NaN or infinity makes the status `not_finite` and its outputs NaN; all
/// other rows are right.
template <class Backend, TransformStage T, class Source>
[[nodiscard]] Status prepare(const Backend& backend, const T& transform, const SitePlan& plan, const Source& source,
                             std::span<QuantizedInput> in, Workspace& workspace, ExecutorReference executor) noexcept {
  const index n = transform.size(), rows = source.rows();
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = {};
  if (!plan.serves(in.size()))
    return Status(ErrorCode::invalid_argument, "the site has ", plan.inputs(), " quantized inputs for ",
                  plan.consumers(), " consumers, not for ", in.size());
  if (source.columns() != n)
    return Status(ErrorCode::shape_mismatch, "the site has ", n, " channels, its input ", source.columns());
  const int workers = executor.workers();
  const std::size_t needed = prepare_bytes(transform, plan, rows, workers) - buffer_alignment;
  if (workspace.size() < needed)
    return Status(ErrorCode::invalid_argument, "a site of ", n, " channels needs a workspace of ", needed,
                  " bytes for ", rows, " rows and ", workers, " workers, not ", workspace.size());
  PrepareRun<Backend, T, Source> run{backend, transform, plan, source, TileRoom(transform, rows)};
  if constexpr (Source::is_float)
    run.in_place =
        rows > 0 && plan.inputs() == 1 && !plan.quantizes(0) && leaves_rows(transform) && source.x.has_dense_rows();
  for (int i = 0; i < plan.inputs(); ++i) {
    InputRows& input = run.inputs[static_cast<std::size_t>(i)];
    if (plan.quantizes(i)) input.codes = take_quantized_rows(workspace, rows, n, plan.asymmetric(i));
    if (plan.has_values(i)) input.values = {workspace.take<float>(rows * n).data(), rows, n};
  }
  Workspace temporary = workspace;  // free again when prepare returns
  run.first_bad = temporary.take<index>(workers);
  run.memory = temporary.take<float>(workers * run.room.size());
  for (std::size_t i = 0; i < run.first_bad.size(); ++i) run.first_bad[i] = -1;

  constexpr index few_copied = 32 * 1024, few_transformed = 16 * 1024;  // elements in about 10 us of one thread
  const bool alone = workers <= 1 || rows * n < (leaves_rows(transform) ? few_copied : few_transformed);
  const index tile = alone ? run.room.tile_rows : std::min(run.room.tile_rows, divide_up(rows, workers));
  const auto tiles = static_cast<int>(tile == 0 ? 0 : divide_up(rows, tile));
  (alone ? ExecutorReference{} : executor).run(tiles, [&run, tile, rows](int task, int worker) noexcept {
    run.run_tile(task * tile, std::min(tile, rows - task * tile), worker);
  });

  index bad = -1;
  for (std::size_t i = 0; i < run.first_bad.size(); ++i) bad = run.earlier(bad, run.first_bad[i]);
  for (std::size_t consumer = 0; consumer < in.size(); ++consumer) {
    const InputRows& made = run.inputs[static_cast<std::size_t>(plan.input_of(consumer))];
    in[consumer] = {made.codes, made.values, workspace};
  }
  if constexpr (Source::is_float) {
    if (run.in_place && bad >= 0) {
      copy_rows(source.x, run.inputs[0].values);
      fill_bad_rows(run.inputs[0].values);
    } else if (run.in_place) {
      for (std::size_t i = 0; i < in.size(); ++i) in[i].values = source.x;
    }
  }
  if (bad >= 0) return Status(ErrorCode::not_finite, "row ", bad, " of the input holds NaN or infinity");
  return {};
}

}  // namespace planish::inline PLANISH_ABI::detail
