#pragma once
#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/kernels/cpu/kronecker_panels.hpp>
#include <planish/kernels/cpu/kronecker_rows.hpp>
#include <planish/kernels/cpu/quantize_abreast.hpp>
#include <planish/kernels/cpu/quantize_rows.hpp>
#include <planish/packing/rows_to_codes.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

namespace detail {

/// Rows that go through the factors one by one. Each waits for its scale while the next one is made.
PLANISH_LAZY [[nodiscard]] index kronecker_codes_one_by_one(const RowsToCodes& job, const KroneckerPanels& run,
                                                            index n) noexcept {
  const index rows = job.x.rows(), buffers = rows > 1 ? 2 : 1;
  index bad_rows = 0;
  RowOnItsWay before;
  for (index r = 0; r < rows; ++r) {
    float* const y = job.room.row(r % buffers);
    run.one(job.x.row(r), y, job.row_or_null(r + 1));
    const RowOnItsWay row(y, 1, n, job.quantizer);
    if (r > 0) bad_rows += before.write(job.out, r - 1) ? 0 : 1;
    before = row;
  }
  return bad_rows + (rows == 0 || before.write(job.out, rows - 1) ? 0 : 1);
}

/// Rows that go through them two by two, likewise; a last single one is left. Where codes cannot be written from rows
/// that lie element beside element, these are separated.
PLANISH_LAZY [[nodiscard]] index kronecker_codes_two_by_two(const RowsToCodes& job, const KroneckerPanels& run,
                                                            index n) noexcept {
  const index pairs = job.x.rows() / 2, buffers = pairs > 1 && job.room.row_stride() == n ? 2 : 1;
  index bad_rows = 0;
  const auto make = [&](index pair) {
    const index r = 2 * pair;
    float* const both = buffers == 2 ? job.room.row(2 * (pair % 2)) : nullptr;
    return run.two(job.x.row(r), job.x.row(r + 1), both, job.row_or_null(r + 2), job.row_or_null(r + 3));
  };
  const auto separated = [&](const float* both, index pair) {
    const MatrixView<float> rows(run.between(), 2, n);
    separate(both, rows.row(0), rows.row(1), n);
    bad_rows += quantize_rows(MatrixView<const float>(rows), job.quantizer, job.out.middle_rows(2 * pair, 2));
  };
  const auto finish = [&](const TwoRowsOnTheirWay& rows, index pair) {
    if (!rows.write(job.out, 2 * pair)) separated(rows.both(), pair);
  };
  if (!quantizes_abreast(n)) {
    for (index pair = 0; pair < pairs; ++pair) separated(make(pair), pair);
  } else if (buffers == 1) {
    for (index pair = 0; pair < pairs; ++pair) finish({make(pair), n, job.quantizer}, pair);
  } else {
    TwoRowsOnTheirWay before(make(0), n, job.quantizer);
    for (index pair = 1; pair < pairs; ++pair) {
      const TwoRowsOnTheirWay rows(make(pair), n, job.quantizer);
      const auto whole = before;
      before = rows;
      finish(whole, pair - 1);
    }
    finish(before, pairs - 1);
  }
  return bad_rows;
}

}  // namespace detail

/// The codes of the rows of kronecker_rows, each quantized where it was made. Returns as quantize_rows does.
PLANISH_ENTRY index kronecker_codes(const RowsToCodes& job, index n1, index n2, const float* left,
                                    const float* right) noexcept {
  const index rows = job.x.rows();
  index done = 0, bad_rows = 0;
  if (left != nullptr && reference::kronecker_has_panels(n2)) {
    const detail::KroneckerPanels run(n1, n2, left, right, rows, job.scratch);
    const bool single = run.abreast() == 1;
    bad_rows = single ? detail::kronecker_codes_one_by_one(job, run, n1 * n2)
                      : detail::kronecker_codes_two_by_two(job, run, n1 * n2);
    done = single ? rows : rows / 2 * 2;
  }
  if (const index left_over = rows - done; left_over > 0) {
    const MatrixView<float> room = job.room.middle_rows(0, left_over);
    kronecker_rows(job.x.middle_rows(done, left_over), n1, n2, left, right, room, job.scratch);
    bad_rows += quantize_rows(MatrixView<const float>(room), job.quantizer, job.out.middle_rows(done, left_over));
  }
  return bad_rows;
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
