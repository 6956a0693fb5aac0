// One fixed computation whose codes, accumulators and outputs are compared with hashes written down here. Built with
// -march=native, -march=haswell and no -march at all, by any compiler, this test is the proof that they agree: run all
// of these builds, nothing else needs to be compared.
#include <bit>
#include <cstdint>

#include <doctest/doctest.h>

#include <planish/core/version.hpp>
#include <planish/kernels/cpu/multiply.hpp>
#include <planish/kernels/cpu/quantize_rows.hpp>

#include "samples.hpp"

namespace pl = planish;
namespace cpu = planish::kernels::cpu;

namespace {

using pl::index;  // inside a namespace: the C library has a function of this name

/// FNV-1a over 32-bit words.
class Hash {
 public:
  void add(std::uint32_t word) {
    for (int byte = 0; byte < 4; ++byte) state_ = (state_ ^ ((word >> (8 * byte)) & 0xff)) * 0x100000001b3u;
  }
  [[nodiscard]] std::uint64_t value() const { return state_; }

 private:
  std::uint64_t state_ = 0xcbf29ce484222325u;
};

TEST_CASE("codes and accumulators are the same for every instruction set and compiler") {
  Hash quantized, accumulated, outputs;
  std::uint64_t seed = 1;
  for (int weight_bits : {3, 4, 8}) {
    for (pl::Symmetry symmetry : {pl::Symmetry::symmetric, pl::Symmetry::asymmetric}) {
      for (index group : {0, 24, 7}) {
        pl::Random random(seed++);
        const index rows = 13, channels = 45, columns = 131;
        const std::vector<float> x = samples::floats(rows * columns, random, 3.0);
        const samples::Rows quantized_rows(rows, columns, symmetry == pl::Symmetry::asymmetric);
        (void)cpu::quantize_rows({x.data(), rows, columns},
                                 {.bits = weight_bits == 3 ? 4 : 8, .symmetry = symmetry, .clip = {0.9f, 0.95f}},
                                 quantized_rows.span());
        const pl::QuantizedRowsView in = quantized_rows.view();
        for (index r = 0; r < rows; ++r) {
          for (index c = 0; c < columns; ++c) quantized.add(static_cast<std::uint32_t>(in.row(r)[c]));
          quantized.add(std::bit_cast<std::uint32_t>(in.scales[r]));
          quantized.add(static_cast<std::uint32_t>(in.sums[r]));
          quantized.add(static_cast<std::uint32_t>(in.zero_point(r)));
        }
        const auto packed =
            pl::PackedWeights::make(samples::codes(channels, columns, weight_bits, symmetry, group, random).view());
        REQUIRE(packed.has_value());
        const pl::PackedWeightsView w = packed->view();
        std::vector<std::byte> scratch(cpu::multiply_scratch_bytes(rows, columns, w.groups()));
        std::vector<std::int32_t> sums(static_cast<std::size_t>(rows * channels * w.groups()));
        cpu::multiply_accumulators(in, w, {sums.data(), rows, channels * w.groups()}, {0, w.panel_count()}, scratch);
        for (std::int32_t sum : sums) accumulated.add(static_cast<std::uint32_t>(sum));
        std::vector<float> y(static_cast<std::size_t>(rows * channels));
        cpu::multiply(in, w, {}, {y.data(), rows, channels}, {0, w.panel_count()}, scratch);
        for (float value : y) outputs.add(std::bit_cast<std::uint32_t>(value));
      }
    }
  }
  INFO("instruction set ", pl::abi_name);
  CHECK(quantized.value() == 16777703108702108776u);
  CHECK(accumulated.value() == 14942398409641898900u);
  CHECK(outputs.value() == 6511756334401482312u);
}

}  // namespace
