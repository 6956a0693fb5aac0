#pragma once
// What this machine can do at best, measured by the same binary beside every kernel: loops of one instruction whose
// operands come from the first-level cache for the arithmetic, passes over much memory for the reading. A try is a few
// milliseconds. Operands are random, because the clock may depend on how many bits change.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include <planish/backend/enable_amx.hpp>
#include <planish/core/abi.hpp>
#include <planish/core/executor.hpp>
#include <planish/core/half.hpp>
#include <planish/core/random.hpp>
#include <planish/kernels/cpu/isa/amx.hpp>
#include <planish/kernels/cpu/unroll.hpp>

#include "ceiling.hpp"
#include "cold_memory.hpp"
#include "steps.hpp"
#include "stopwatch.hpp"

namespace bench {

/// Operands of `spin`: they stay in a first-level cache of 32 KiB, and few lines would mean many ends of loops.
struct FedOperands {
  static constexpr std::size_t left_bytes = 16 * 1024;
  static constexpr std::size_t lines = left_bytes / (spun_columns * sizeof(Integers));
  static constexpr std::size_t row_bytes = 4 * lines + 64;  // rows of whole powers of two would share cache sets

  alignas(64) std::uint8_t left[left_bytes];
  alignas(64) std::uint8_t right[spun_rows * row_bytes];

  /// Filled with elements that `draw()` returns.
  template <class Draw>
  explicit FedOperands(Draw draw) noexcept {
    const auto fill = [&](std::uint8_t* to, std::size_t bytes) {
      for (std::size_t i = 0; i < bytes; i += sizeof(draw())) {
        const auto element = draw();
        std::memcpy(to + i, &element, sizeof element);
      }
    };
    fill(left, sizeof left);
    fill(right, sizeof right);
  }
};

/// `passes` over the operands in sums that stay in registers, enough of them to hide the latency of a step. As in a
/// product, each line brings vectors for the left and four bytes per row, broadcast, for the right, all from the
/// first-level cache: a loop without loads runs at a higher clock than any product can.
template <class Vector, class Step>
inline void spin(std::int64_t passes, const FedOperands& operands, Step step) noexcept {
  using planish::kernels::cpu::unroll;
  Vector sums[spun_rows * spun_columns];
  unroll<spun_rows * spun_columns>([&](auto i) __attribute__((always_inline)) { sums[i] = Vector{}; });
  for (std::int64_t pass = 0; pass < passes; ++pass) {
    const std::uint8_t *from = operands.left, *row = operands.right;
    for (std::size_t line = 0; line < FedOperands::lines; ++line) {
      Vector left[spun_columns];
      unroll<spun_columns>([&](auto c) __attribute__((always_inline)) {
        std::memcpy(&left[c], from + static_cast<std::size_t>(c) * sizeof(Vector), sizeof(Vector));
      });
      unroll<spun_rows>([&](auto r) __attribute__((always_inline)) {
        const Vector right = broadcast<Vector>(row + static_cast<std::size_t>(r) * FedOperands::row_bytes);
        unroll<spun_columns>([&](auto c)
                                 __attribute__((always_inline)) { step(sums[r * spun_columns + c], left[c], right); });
      });
      from += spun_columns * sizeof(Vector);
      row += 4;
    }
  }
}

#if defined(PLANISH_HAS_AMX_INT8)
inline constexpr double tile_operations = 2.0 * 16 * 16 * 64;  // of one tdpbsud

/// `rounds` times four tile products with sums of their own, on codes that stay in registers. The codes are not zero:
/// multiplying zeros draws less power, and the clock would be higher than any product's.
inline void spin_tiles(std::int64_t rounds) noexcept {
  alignas(64) std::uint8_t codes[1024];
  for (int i = 0; i < 1024; ++i) codes[i] = static_cast<std::uint8_t>(i * 37 + i / 7);
  const planish::kernels::cpu::isa::TileConfiguration configured;
  planish::kernels::cpu::isa::tiles_read_memory();
  _tile_loadd(4, codes, 64);
  _tile_loadd(5, codes, 64);
  _tile_loadd(6, codes, 64);
  _tile_loadd(7, codes, 64);
  for (std::int64_t r = 0; r < rounds; ++r) {
    _tile_dpbsud(0, 4, 6);
    _tile_dpbsud(1, 4, 7);
    _tile_dpbsud(2, 5, 6);
    _tile_dpbsud(3, 5, 7);
  }
}
#endif

/// One try: operations or bytes per second of all workers together. A few milliseconds.
inline double try_ceiling(Ceiling which, planish::ExecutorReference executor) {
  constexpr std::int64_t rounds = 1 << 20, passes = rounds / static_cast<std::int64_t>(FedOperands::lines);
  constexpr double steps = static_cast<double>(passes) * FedOperands::lines * spun_rows * spun_columns;
  const auto rate = [&](double work_per_worker, auto&& run) {
    const Stopwatch watch;
    executor.run(executor.workers(), run);
    return work_per_worker * executor.workers() / watch.seconds();
  };
  planish::Random random(1);
  switch (which) {
    case Ceiling::int8_dot: {
      const FedOperands codes([&] { return static_cast<std::uint8_t>(random.below(256)); });
      return rate(dot_operations * steps, [&](int, int) noexcept {
        spin<Integers>(
            passes, codes,
            [](Integers & s, Integers a, Integers b) __attribute__((always_inline)) { dot_step(s, a, b); });
      });
    }
    case Ceiling::nibble_dot: {
#if defined(PLANISH_BENCH_HAS_NIBBLE_STEP)
      const FedOperands codes([&] { return static_cast<std::uint8_t>(random.below(16)); });
      return rate(nibble_operations * steps, [&](int, int) noexcept {
        const Integers ones = _mm256_set1_epi16(1);
        spin<Integers>(
            passes, codes, [ones](Integers & s, Integers a, Integers b) __attribute__((always_inline)) {
              nibble_step(s, a, b, ones);
            });
      });
#else
      return 0;
#endif
    }
    case Ceiling::fma: {
      const FedOperands numbers([&] { return static_cast<float>(random.normal()); });
      return rate(fma_operations * steps, [&](int, int) noexcept {
        spin<Floats>(
            passes, numbers, [](Floats & s, Floats a, Floats b) __attribute__((always_inline)) { fma_step(s, a, b); });
      });
    }
    case Ceiling::bf16_dot: {
#if defined(PLANISH_BENCH_HAS_BF16_STEP)
      const FedOperands pairs([&] {
        const auto term = [&] { return planish::BFloat16::from_float(static_cast<float>(random.normal())).bits; };
        const std::uint32_t low = term();
        return low | static_cast<std::uint32_t>(term()) << 16;
      });
      return rate(bf16_operations * steps, [&](int, int) noexcept {
        spin<Floats>(
            passes, pairs, [](Floats & s, Floats a, Floats b) __attribute__((always_inline)) { bf16_step(s, a, b); });
      });
#else
      return 0;
#endif
    }
    case Ceiling::amx_dot:
#if defined(PLANISH_HAS_AMX_INT8)
      if (planish::amx_is_enabled())
        return rate(4 * tile_operations * (rounds / 4), [](int, int) noexcept { spin_tiles(rounds / 4); });
#endif
      return 0;
    case Ceiling::read: {
      // A window that moves on from try to try, so that it has left every cache when it comes round again.
      static std::size_t begin = 0;
      constexpr std::size_t window = std::size_t{64} << 20;
      const auto memory = std::as_bytes(cold_memory().span());
      if (memory.empty()) return 0;
      const std::byte* const from = memory.data() + begin;
      begin = (begin + window) % memory.size();
      const std::size_t share = window / static_cast<std::size_t>(executor.workers()) / 4096 * 4096;
      return rate(static_cast<double>(share), [from, share](int task, int) noexcept {
        volatile std::uint64_t kept = read_once(from + static_cast<std::size_t>(task) * share, share);
        static_cast<void>(kept);
      });
    }
  }
  return 0;
}

[[nodiscard]] inline double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// All of them once, for programs that have no place beside their kernels: the best of some tries.
struct Ceilings {
  double int8_dot = 0, amx_dot = 0, fma = 0, read = 0;
};

/// About a tenth of a second.
inline Ceilings measure_ceilings(planish::ExecutorReference executor) {
  const auto best = [&](Ceiling which) {
    double rate = 0;
    for (int i = 0; i < 7; ++i) rate = std::max(rate, try_ceiling(which, executor));
    return rate;
  };
  return {best(Ceiling::int8_dot), best(Ceiling::amx_dot), best(Ceiling::fma), best(Ceiling::read)};
}

}  // namespace bench
