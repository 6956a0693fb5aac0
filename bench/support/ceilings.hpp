#pragma once
// What this machine can do at best, measured by the same binary beside every kernel: register-only loops for the
// arithmetic, passes over much memory for the reading. A try is a few milliseconds; the kernel's own tries lie between.
// Operands are random, because the clock may depend on how many bits change.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include <planish/backend/enable_amx.hpp>
#include <planish/core/abi.hpp>
#include <planish/core/aligned_buffer.hpp>
#include <planish/core/executor.hpp>
#include <planish/core/random.hpp>
#include <planish/kernels/cpu/isa/amx.hpp>
#include <planish/kernels/cpu/unroll.hpp>

#include "steps.hpp"
#include "stopwatch.hpp"

namespace bench {

/// Which limit of the machine; operations count a multiplication and an addition as two.
enum class Ceiling {
  int8_dot,    ///< operations per second of the widest exact int8 dot product
  nibble_dot,  ///< the same of 4-bit weights, where they have instructions of their own; else 0
  amx_dot,     ///< the same on matrix tiles
  fma,         ///< float operations per second
  read,        ///< bytes per second, streamed from memory
};
inline constexpr int ceiling_count = 5;

/// Its name and unit in tables.
struct CeilingName {
  const char* name;
  const char* unit;
};
inline constexpr CeilingName ceiling_names[ceiling_count] = {
    {"int8 dot", "GOP/s"}, {"int4 dot", "GOP/s"}, {"AMX int8", "GOP/s"}, {"float FMA", "GFLOP/s"}, {"read", "GB/s"}};

/// `Count` independent sums, each stepped once per round: enough of them to hide the latency of a step. Neighbouring
/// steps have different operands, as in a product.
template <int Count, class Vector, class Step>
inline void spin(std::int64_t rounds, const Vector (&operands)[left_operands + right_operands], Step step) noexcept {
  using planish::kernels::cpu::unroll;
  Vector sums[Count], left[left_operands], right[right_operands];
  unroll<Count>([&](auto i) __attribute__((always_inline)) { sums[i] = Vector{}; });
  unroll<left_operands>([&](auto i) __attribute__((always_inline)) { left[i] = operands[i]; });
  unroll<right_operands>([&](auto i) __attribute__((always_inline)) { right[i] = operands[left_operands + i]; });
  for (std::int64_t r = 0; r < rounds; ++r)
    unroll<Count>([&](auto i) __attribute__((always_inline)) {
      step(sums[i], left[i % left_operands], right[i / left_operands % right_operands]);
    });
}

/// Vectors filled with elements that `draw()` returns.
template <class Element, class Vector, int Count, class Draw>
inline void fill(Vector (&vectors)[Count], Draw draw) noexcept {
  alignas(64) Element elements[Count * sizeof(Vector) / sizeof(Element)];
  for (Element& element : elements) element = draw();
  std::memcpy(vectors, elements, sizeof vectors);
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

/// One try: operations or bytes per second of all workers together. A few milliseconds.
inline double try_ceiling(Ceiling which, planish::ExecutorReference executor) {
  constexpr std::int64_t rounds = 1 << 20;
  const auto rate = [&](double work_per_worker, auto&& run) {
    const Stopwatch watch;
    executor.run(executor.workers(), run);
    return work_per_worker * executor.workers() / watch.seconds();
  };
  planish::Random random(1);
  constexpr int operands = left_operands + right_operands;
  switch (which) {
    case Ceiling::int8_dot: {
      Integers codes[operands];
      fill<std::uint8_t>(codes, [&] { return static_cast<std::uint8_t>(random.below(256)); });
      return rate(dot_operations * accumulators * rounds, [&](int, int) noexcept {
        spin<accumulators>(rounds, codes, [](Integers& s, Integers a, Integers b) noexcept { dot_step(s, a, b); });
      });
    }
    case Ceiling::nibble_dot: {
#if defined(PLANISH_BENCH_HAS_NIBBLE_STEP)
      Integers codes[operands];
      fill<std::uint8_t>(codes, [&] { return static_cast<std::uint8_t>(random.below(16)); });
      return rate(nibble_operations * accumulators * rounds, [&](int, int) noexcept {
        const Integers ones = _mm256_set1_epi16(1);
        spin<accumulators>(rounds, codes,
                           [ones](Integers& s, Integers a, Integers b) noexcept { nibble_step(s, a, b, ones); });
      });
#else
      return 0;
#endif
    }
    case Ceiling::fma: {
      Floats numbers[operands];
      fill<float>(numbers, [&] { return static_cast<float>(random.normal()); });
      return rate(fma_operations * accumulators * rounds, [&](int, int) noexcept {
        spin<accumulators>(rounds, numbers, [](Floats& s, Floats a, Floats b) noexcept { fma_step(s, a, b); });
      });
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

/// All of them once, for programs that have no place beside their kernels: the medians of some tries.
struct Ceilings {
  double int8_dot = 0, amx_dot = 0, fma = 0, read = 0;
};

/// About a tenth of a second.
inline Ceilings measure_ceilings(planish::ExecutorReference executor) {
  const auto typical = [&](Ceiling which) {
    std::vector<double> rates;
    for (int i = 0; i < 7; ++i) rates.push_back(try_ceiling(which, executor));
    return median(std::move(rates));
  };
  return {typical(Ceiling::int8_dot), typical(Ceiling::amx_dot), typical(Ceiling::fma), typical(Ceiling::read)};
}

}  // namespace bench
