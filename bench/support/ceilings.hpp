#pragma once
// What this machine can do at best, measured by the same binary just before the kernels: register-only loops for the
// arithmetic, one pass over much memory for the reading. Every benchmark reports its share of these.
#include <cstddef>
#include <cstdint>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <planish/backend/enable_amx.hpp>
#include <planish/core/abi.hpp>
#include <planish/core/aligned_buffer.hpp>
#include <planish/core/executor.hpp>
#include <planish/kernels/cpu/isa/amx.hpp>

#include "stopwatch.hpp"

namespace bench {

/// Operations count a multiplication and an addition as two.
struct Ceilings {
  double int8_dot = 0;  ///< operations per second of the widest exact int8 dot product
  double amx_dot = 0;   ///< the same on matrix tiles; 0 where they are not enabled
  double fma = 0;       ///< float operations per second
  double read = 0;      ///< bytes per second, streamed from memory
};

#if defined(PLANISH_HAS_AVX512VNNI)
inline constexpr const char* isa = "avx512vnni";
inline constexpr int accumulators = 24;
using Integers = __m512i;
using Floats = __m512;
inline constexpr double dot_operations = 128, fma_operations = 32;  // per step
inline void dot_step(Integers& sum, Integers a, Integers b) noexcept {
  asm volatile("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
}
inline void fma_step(Floats& sum, Floats a, Floats b) noexcept {
  asm volatile("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
}
#elif defined(PLANISH_HAS_AVX2)
inline constexpr const char* isa = "avx2";
inline constexpr int accumulators = 10;
using Integers = __m256i;
using Floats = __m256;
inline constexpr double dot_operations = 32, fma_operations = 16;  // exact: int16 products, added in pairs
inline void dot_step(Integers& sum, Integers a, Integers b) noexcept {
  Integers pairs;
  asm volatile("vpmaddwd %2, %1, %0" : "=x"(pairs) : "x"(a), "x"(b));
  asm volatile("vpaddd %1, %0, %0" : "+x"(sum) : "x"(pairs));
}
inline void fma_step(Floats& sum, Floats a, Floats b) noexcept {
  asm volatile("vfmadd231ps %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b));
}
#elif defined(__x86_64__)
inline constexpr const char* isa = "portable";
inline constexpr int accumulators = 10;
using Integers = __m128i;
using Floats = __m128;
inline constexpr double dot_operations = 16, fma_operations = 8;
inline void dot_step(Integers& sum, Integers a, Integers b) noexcept {
  asm volatile("pmaddwd %1, %2\n paddd %2, %0" : "+x"(sum), "+x"(a), "+x"(b));
}
inline void fma_step(Floats& sum, Floats a, Floats b) noexcept {
  asm volatile("mulps %1, %2\n addps %2, %0" : "+x"(sum), "+x"(a), "+x"(b));
}
#else
inline constexpr const char* isa = "portable";
inline constexpr int accumulators = 10;
using Integers = std::int32_t;
using Floats = float;
inline constexpr double dot_operations = 2, fma_operations = 2;
inline void dot_step(Integers& sum, Integers a, Integers b) noexcept {
  sum += a * b;
  asm volatile("" : "+r"(sum));
}
inline void fma_step(Floats& sum, Floats a, Floats b) noexcept {
  sum = planish::fused_multiply_add(a, b, sum);
  asm volatile("" : "+w"(sum));
}
#endif

/// `Count` independent sums, each stepped once per round: enough of them to hide the latency of a step.
template <int Count, class Vector, class Step>
inline void spin(std::int64_t rounds, Step step) noexcept {
  Vector sums[Count] = {};
  Vector a{}, b{};
  for (std::int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 32
    for (int i = 0; i < Count; ++i) step(sums[i], a, b);
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

/// Best of some tries, in units of `work` per second.
template <class Run>
inline double best_rate(planish::ExecutorReference executor, double work_per_worker, Run run) {
  double best = 0;
  for (int attempt = 0; attempt < 7; ++attempt) {
    const Stopwatch watch;
    executor.run(executor.workers(), run);
    const double rate = work_per_worker * executor.workers() / watch.seconds();
    if (rate > best) best = rate;
  }
  return best;
}

/// Reads `bytes` (a multiple of 256) once.
inline std::uint64_t read_once(const std::byte* from, std::size_t bytes) noexcept {
  using Line [[gnu::vector_size(64), gnu::may_alias]] = std::uint64_t;
  Line a{}, b{}, c{}, d{};
  for (std::size_t i = 0; i < bytes; i += 4 * sizeof(Line)) {
    const auto* line = reinterpret_cast<const Line*>(from + i);
    a ^= line[0];
    b ^= line[1];
    c ^= line[2];
    d ^= line[3];
  }
  const Line all = a ^ b ^ c ^ d;
  return all[0] ^ all[1] ^ all[2] ^ all[3] ^ all[4] ^ all[5] ^ all[6] ^ all[7];
}

/// More than any cache holds that one process may hope for.
inline constexpr std::size_t cold_bytes = std::size_t{1} << 30;

/// Cold memory, shared by everything that wants operands which are in no cache.
inline planish::AlignedBuffer<std::uint8_t>& cold_memory() {
  static planish::AlignedBuffer<std::uint8_t> memory = [] {
    auto made = planish::AlignedBuffer<std::uint8_t>::make(static_cast<planish::index>(cold_bytes));
    return made ? *std::move(made) : planish::AlignedBuffer<std::uint8_t>{};
  }();
  return memory;
}

/// About two seconds.
inline Ceilings measure_ceilings(planish::ExecutorReference executor) {
  constexpr std::int64_t rounds = 1 << 20;
  Ceilings ceilings;
  ceilings.int8_dot = best_rate(executor, dot_operations * accumulators * rounds, [](int, int) noexcept {
    spin<accumulators, Integers>(rounds, [](Integers& s, Integers a, Integers b) noexcept { dot_step(s, a, b); });
  });
  ceilings.fma = best_rate(executor, fma_operations * accumulators * rounds, [](int, int) noexcept {
    spin<accumulators, Floats>(rounds, [](Floats& s, Floats a, Floats b) noexcept { fma_step(s, a, b); });
  });
#if defined(PLANISH_HAS_AMX_INT8)
  if (planish::amx_is_enabled())
    ceilings.amx_dot = best_rate(executor, 4 * tile_operations * rounds, [](int, int) noexcept { spin_tiles(rounds); });
#endif
  const auto memory = std::as_bytes(cold_memory().span());
  const std::size_t share = memory.size() / static_cast<std::size_t>(executor.workers()) / 4096 * 4096;
  ceilings.read = best_rate(executor, static_cast<double>(share), [memory, share](int task, int) noexcept {
    volatile std::uint64_t kept = read_once(memory.data() + static_cast<std::size_t>(task) * share, share);
    static_cast<void>(kept);
  });
  return ceilings;
}

}  // namespace bench
