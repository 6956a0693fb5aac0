#pragma once
// What every instruction set keeps: the integers of the reference, to the bit. Run it on a new one with
// `laws::check_isa<Isa>()`.
#include <algorithm>
#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include <planish/kernels/cpu/multiply.hpp>
#include <planish/kernels/reference/multiply.hpp>

#include "kernels/samples.hpp"

namespace laws {

using planish::index;

/// Accumulators of rows × columns activations and channels × columns weights; `extreme` puts all codes at an end of
/// their range, where a narrow intermediate would overflow.
template <class Isa>
void check_products(index rows, index channels, index columns, index group_size, int bits, planish::Symmetry symmetry,
                    bool extreme) {
  INFO(Isa::name, ": ", rows, " rows, ", channels, " channels, ", columns, " columns, groups of ", group_size, ", ",
       bits, " bits");
  namespace cpu = planish::kernels::cpu;
  planish::Random random(static_cast<std::uint64_t>(rows * 1000003 + channels * 1009 + columns * 17 + bits));
  planish::Codes codes = samples::codes(channels, columns, bits, symmetry, group_size, random);
  const samples::Rows x(rows, columns, symmetry == planish::Symmetry::asymmetric);
  const std::vector<float> values = samples::floats(rows * columns, random, 3.0);
  (void)planish::kernels::reference::quantize_rows({values.data(), rows, columns}, {.bits = 8, .symmetry = symmetry},
                                                   x.span());
  if (extreme) {
    const int lowest = planish::code_range(bits, symmetry).lowest;
    std::fill(codes.codes().begin(), codes.codes().end(),
              static_cast<std::uint8_t>(lowest == 0 ? (1 << bits) - 1 : lowest));
    for (index r = 0; r < rows; ++r) {
      std::fill_n(x.span().row(r), columns, std::int8_t{-128});
      x.span().sums[r] = static_cast<std::int32_t>(-128 * columns);
    }
  }
  const auto packed = planish::PackedWeights::make(codes.view());
  REQUIRE_MESSAGE(packed.has_value(), packed.status().message());
  const planish::PackedWeightsView w = packed->view();
  const planish::Range all{0, w.panel_count()};
  const index wide = channels * w.groups();
  std::vector<std::int32_t> expected(static_cast<std::size_t>(rows * wide)), sums(expected.size(), 7);
  planish::kernels::reference::multiply_accumulators(x.view(), w, {expected.data(), rows, wide}, all, {});
  std::vector<std::byte> scratch(cpu::multiply_scratch_bytes(rows, columns, w.groups()));
  if (w.storage == planish::CodeStorage::nibble)
    cpu::multiply_accumulators_with<Isa, planish::CodeStorage::nibble>(x.view(), w, {sums.data(), rows, wide}, all,
                                                                       scratch);
  else
    cpu::multiply_accumulators_with<Isa, planish::CodeStorage::byte>(x.view(), w, {sums.data(), rows, wide}, all,
                                                                     scratch);
  CHECK(sums == expected);
}

/// The two small operations beside the product.
template <class Isa>
void check_code_operations() {
  planish::Random random(11);
  for (index count : {0, 1, 3, 15, 16, 17, 63, 64, 65, 200}) {
    std::vector<std::int8_t> codes(static_cast<std::size_t>(count));
    std::int32_t sum = 0;
    for (std::int8_t& code : codes) {
      code = static_cast<std::int8_t>(static_cast<int>(random.below(256)) - 128);
      sum += code;
    }
    CHECK(Isa::sum_of_codes(codes.data(), count) == sum);
  }
  using Batch = planish::kernels::cpu::IntBatch;
  alignas(64) std::int32_t lanes[Batch::size];
  std::int8_t stored[Batch::size] = {};
  for (std::size_t i = 0; i < Batch::size; ++i) lanes[i] = i % 2 == 0 ? -128 + static_cast<int>(i) : 127;
  Isa::store_codes(Batch::load_aligned(lanes), stored);
  for (std::size_t i = 0; i < Batch::size; ++i) CHECK(stored[i] == lanes[i]);
}

/// All laws of one instruction set: every tile height, awkward shapes, group borders inside a line, codes at both ends.
template <class Isa>
void check_isa() {
  using planish::Symmetry;
  for (const Symmetry symmetry : {Symmetry::symmetric, Symmetry::asymmetric})
    for (const int bits : {2, 3, 4, 5, 8}) {
      for (index rows = 0; rows <= 2 * Isa::most_rows + 1; ++rows)
        check_products<Isa>(rows, 33, 65, 0, bits, symmetry, false);
      for (const index columns : {1, 3, 4, 7, 63, 64, 576})
        check_products<Isa>(3, 70, columns, 0, bits, symmetry, false);
      for (const index group : {1, 3, 4, 7, 32, 100}) check_products<Isa>(5, 35, 101, group, bits, symmetry, false);
      check_products<Isa>(2, 32, 20000, 0, bits, symmetry, true);
    }
  check_code_operations<Isa>();
}

}  // namespace laws
