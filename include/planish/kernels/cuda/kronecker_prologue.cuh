#pragma once
// The prologues of a row in the ring of kronecker_rows: every thread works on the pieces that it fetched itself.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/kernels/cuda/kronecker.cuh>
#include <planish/kernels/cuda/row_prologue.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// Calls f(piece, its place in the stage) for a thread's own pieces of 16 bytes, those that `fetch_token` gives it.
template <class F>
PLANISH_DEVICE void for_own_pieces(const KroneckerFactorsView& f, int thread, int threads, unsigned char* stage,
                                   const F& work) noexcept {
  const int across = f.n2 / 8, pitch = kronecker_pitch(f.n2);
  int r = thread / across, c = thread % across;
  const int rows_on = threads / across, columns_on = threads % across;
  for (int i = thread; i < f.n1 * across; i += threads) {
    work(i, reinterpret_cast<Vector16*>(stage + r * pitch + c * 16));
    r += rows_on;
    c += columns_on;
    if (c >= across) {
      c -= across;
      ++r;
    }
  }
}

/// A token that does not come in the background, element by element through its prologue. Rows are read twice where
/// there is a norm.
template <class E>
PLANISH_DEVICE void convert_token(const KroneckerArguments& a, const KroneckerSharing& s, std::int64_t token,
                                  int thread, int barrier, double* meeting, unsigned char* stage) noexcept {
  const int n2 = a.factors.n2, n = a.factors.n1 * n2, pitch = kronecker_pitch(n2);
  const std::int64_t row = token * a.row_stride, up_row = token * a.prologue.up_stride;
  const auto value = [&](int i) { return load_element(a.x, s.input, row + i); };
  float factor = 1.0f;
  if (s.prologue == Prologue::rms_norm) {
    double squares = 0.0;
    for (int i = thread; i < n; i += s.group_threads) {
      const double x = static_cast<double>(value(i));
      squares += x * x;
    }
    squares = sum_group(squares, thread, s.group_threads, barrier, meeting);
    factor = norm_factor(squares, n, a.prologue.epsilon);
    group_barrier(barrier, s.group_threads);
  }
  for (int i = thread; i < n; i += s.group_threads) {
    float x = value(i);
    if (s.prologue == Prologue::rms_norm)
      x = x * factor * (a.prologue.gain == nullptr ? 1.0f : a.prologue.gain[i]);
    else
      x = gated(x, load_element(a.prologue.up, s.input, up_row + i));
    *reinterpret_cast<E*>(stage + i / n2 * pitch + i % n2 * 2) = E::from_float(x);
  }
}

/// Brings token `token` into a stage, and what its prologue wants into the place beside it.
template <class E>
PLANISH_DEVICE void bring_token(const KroneckerArguments& a, const KroneckerSharing& s, std::int64_t token, int thread,
                                int barrier, double* meeting, unsigned char* stage, unsigned char* beside) noexcept {
  if (s.prologue != Prologue::none && !s.background)
    return convert_token<E>(a, s, token, thread, barrier, meeting, stage);
  fetch_token<E>(a, s, token, thread, stage);
  if (s.prologue != Prologue::swiglu) return;
  const auto* up =
      reinterpret_cast<const unsigned char*>(static_cast<const E*>(a.prologue.up) + token * a.prologue.up_stride);
  for (int i = thread; i < a.factors.n1 * a.factors.n2 / 8; i += s.group_threads)
    copy_async_16(beside + i * 16, up + i * 16, 16);
}

/// Computes a prologue on a token that has come in the background, as far as this thread fetched it.
template <class E>
PLANISH_DEVICE void apply_prologue(const KroneckerArguments& a, const KroneckerSharing& s, int thread, int barrier,
                                   double* meeting, unsigned char* stage, const unsigned char* beside) noexcept {
  if (s.prologue == Prologue::none || !s.background) return;
  if (s.prologue == Prologue::swiglu) {
    for_own_pieces(a.factors, thread, s.group_threads, stage, [&](int i, Vector16* place) {
      *place = gated<E>(*place, reinterpret_cast<const Vector16*>(beside)[i]);
    });
    return;
  }
  double squares = 0.0;
  for_own_pieces(a.factors, thread, s.group_threads, stage,
                 [&](int, Vector16* place) { squares = add_squares<E>(*place, squares); });
  squares = sum_group(squares, thread, s.group_threads, barrier, meeting);
  const float factor = norm_factor(squares, a.factors.n1 * a.factors.n2, a.prologue.epsilon);
  for_own_pieces(a.factors, thread, s.group_threads, stage, [&](int i, Vector16* place) {
    float gains[8];
    load_eight_gains(a.prologue.gain, 8 * i, gains);
    *place = normed<E>(*place, factor, gains);
  });
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
