#pragma once
// Kronecker transform, clip, quantization and packing of a row in one pass, on the matrix units (mma.sync, sm_80 and
// later): M = the row as n1 × n2; U = Lᵀ · M, rounded to 16 bits, V = U · R. A warp owns 16 or 32 rows of U and of V,
// so U goes from the sums of the first product into the operands of the second without leaving its registers.
#include <cstdint>
#include <type_traits>

#include <planish/core/abi.hpp>
#include <planish/kernels/cuda/kronecker_arguments.cuh>
#include <planish/kernels/cuda/warp.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// A compiled size: up to 16·left_steps rows, 8·tiles columns (exactly so many, if `whole`), 16·row_tiles rows per
/// warp.
template <class E, int LeftSteps, int Tiles, int RowTiles, int Threads, bool LeftInRegisters, bool Whole>
struct KroneckerSize {
  using Type = E;
  static constexpr int left_steps = LeftSteps, tiles = Tiles, row_tiles = RowTiles, most_threads = Threads;
  static constexpr bool left_in_registers = LeftInRegisters, whole = Whole;
};

/// How the threads of a block share its tokens: a group of warps works on one token at a time.
struct KroneckerSharing {
  int groups = 1, group_threads = 32, stages = 2;
  bool background = false;  // rows come by cp.async: 16-bit elements as they are, all addresses multiples of 16
  ElementType input = ElementType::bfloat16;
  CodeForm form = CodeForm::bytes;
  bool early = false;  // rows may not be touched before the kernel in front is done
  bool few = false;    // of the products of warpgroups: one token a block
  Prologue prologue = Prologue::none;
  double share = 1.0;  // one element's of a row: 1 / (n1 · n2)
  int workers = 0;  // that bring a token and compute its prologue: the group's threads, more where it is the only one
};

/// Bytes from row to row of M in shared memory: an odd number of 16-byte pieces, so that eight rows fill all banks.
[[nodiscard]] PLANISH_HOST_DEVICE constexpr int kronecker_pitch(int n2) noexcept { return sixteens(n2) * 32 + 16; }
[[nodiscard]] PLANISH_HOST_DEVICE constexpr int kronecker_stage_bytes(int n1, int n2) noexcept {
  return sixteens(n1) * 16 * kronecker_pitch(n2);
}
[[nodiscard]] PLANISH_HOST_DEVICE constexpr int kronecker_right_bytes(int n2) noexcept {
  return sixteens(n2) * sixteens(n2) * 512;
}
inline constexpr int kronecker_meeting_bytes = 16 * 16;  // of every group: one RangeSoFar per warp
/// What a group has beside its stages: room for the sums of a norm, or for the rows of SwiGLU's up that are on their
/// way
/// (`up_rows`: that come in the background).
inline constexpr int kronecker_norm_bytes = 16 * 8;
[[nodiscard]] PLANISH_HOST_DEVICE constexpr int kronecker_beside_bytes(int n1, int n2, Prologue prologue,
                                                                       int up_rows) noexcept {
  return prologue == Prologue::rms_norm ? kronecker_norm_bytes
         : prologue == Prologue::swiglu ? up_rows * n1 * n2 * 2
                                        : 0;
}
[[nodiscard]] PLANISH_HOST_DEVICE constexpr int kronecker_shared_bytes(int n1, int n2, int groups, int stages,
                                                                       int beside_bytes = 0) noexcept {
  return kronecker_right_bytes(n2) +
         groups * (kronecker_meeting_bytes + stages * kronecker_stage_bytes(n1, n2) + beside_bytes);
}

/// Brings token `token` into a stage: in the background, or converted on the way.
template <class E>
PLANISH_DEVICE void fetch_token(const KroneckerArguments& a, const KroneckerSharing& s, std::int64_t token, int thread,
                                unsigned char* stage) noexcept {
  const int n1 = a.factors.n1, n2 = a.factors.n2, pitch = kronecker_pitch(n2);
  if (s.background) {
    const auto* row = reinterpret_cast<const unsigned char*>(static_cast<const E*>(a.x) + token * a.row_stride);
    const int across = n2 / 8;  // pieces of 16 bytes
    int r = thread / across, c = thread % across;
    const int rows_on = s.group_threads / across, columns_on = s.group_threads % across;
    for (int i = thread; i < n1 * across; i += s.group_threads) {
      copy_async_16(stage + r * pitch + c * 16, row + i * 16, 16);
      r += rows_on;
      c += columns_on;
      if (c >= across) {
        c -= across;
        ++r;
      }
    }
    return;
  }
  for (int i = thread; i < n1 * n2; i += s.group_threads)
    *reinterpret_cast<E*>(stage + i / n2 * pitch + i % n2 * 2) =
        E::from_float(load_element(a.x, s.input, token * a.row_stride + i));
}

/// A warp's part of V.
template <class Size>
using KroneckerSums = float[Size::row_tiles][Size::tiles][4];

/// Fragments of Lᵀ of one warp, or nothing where they are read as they are needed.
template <class Size>
struct LeftFragments {
  Vector16 kept[Size::left_in_registers ? Size::row_tiles : 1][Size::left_in_registers ? Size::left_steps : 1];
  const unsigned char* from;  // of this warp's first row tile and this lane
  int steps;

  PLANISH_DEVICE LeftFragments(const KroneckerFactorsView& f, int first_tile) noexcept : steps(sixteens(f.n1)) {
    from = reinterpret_cast<const unsigned char*>(f.left) + first_tile * steps * 512 + thread_index() % warp_size * 16;
    if constexpr (Size::left_in_registers) PLANISH_UNROLL
    for (int m = 0; m < Size::row_tiles; ++m) PLANISH_UNROLL
    for (int k = 0; k < Size::left_steps; ++k) {
      kept[m][k] = Vector16{{0, 0, 0, 0}};
      if (first_tile + m < steps && k < steps) kept[m][k] = load(m, k);
    }
  }
  [[nodiscard]] PLANISH_DEVICE Vector16 load(int m, int k) const noexcept {
    return *reinterpret_cast<const Vector16*>(from + (m * steps + k) * 512);
  }
  [[nodiscard]] PLANISH_DEVICE Vector16 at(int m, int k) const noexcept {
    if constexpr (Size::left_in_registers)
      return kept[m][k];
    else
      return load(m, k);
  }
};

/// V = round(Lᵀ · M) · R of one warp's rows.
template <class Size>
PLANISH_DEVICE void transform_token(const LeftFragments<Size>& left, const unsigned char* stage,
                                    const unsigned char* right, int n2, KroneckerSums<Size>& sums) noexcept {
  using E = typename Size::Type;
  const int lane = thread_index() % warp_size, pitch = kronecker_pitch(n2);
  const int right_steps = sixteens(n2), pairs = Size::whole ? Size::tiles / 2 : right_steps;
  const unsigned char* from = stage + lane % 16 * pitch + lane / 16 * 16;
  right += lane * 16;
  PLANISH_NO_UNROLL
  for (int step = 0; step < right_steps; ++step) {
    float between[Size::row_tiles][2][4] = {};
    PLANISH_UNROLL
    for (int k = 0; k < Size::left_steps; ++k) {
      if (k >= left.steps) break;
      std::uint32_t b[4];
      load_transposed(b, from + k * 16 * pitch + step * 32);
      PLANISH_UNROLL
      for (int m = 0; m < Size::row_tiles; ++m) {
        const Vector16 a = left.at(m, k);
        multiply_floats(E{}, between[m][0], a.words, b[0], b[1]);
        multiply_floats(E{}, between[m][1], a.words, b[2], b[3]);
      }
    }
    std::uint32_t rounded[Size::row_tiles][4];
    PLANISH_UNROLL
    for (int m = 0; m < Size::row_tiles; ++m) PLANISH_UNROLL
    for (int r = 0; r < 4; ++r)
      rounded[m][r] = round_pair(E{}, between[m][r / 2][r % 2 * 2], between[m][r / 2][r % 2 * 2 + 1]);
    PLANISH_UNROLL
    for (int pair = 0; pair < Size::tiles / 2; ++pair) {
      if (!Size::whole && pair >= pairs) break;
      const Vector16 b = *reinterpret_cast<const Vector16*>(right + (step * pairs + pair) * 512);
      PLANISH_UNROLL
      for (int m = 0; m < Size::row_tiles; ++m) {
        multiply_floats(E{}, sums[m][2 * pair], rounded[m], b.words[0], b.words[1]);
        multiply_floats(E{}, sums[m][2 * pair + 1], rounded[m], b.words[2], b.words[3]);
      }
    }
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
