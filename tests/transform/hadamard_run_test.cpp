// Passes of a Hadamard transform: base matrices that are not Paley's, results that stay in scratch.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include <doctest/doctest.h>

#include <planish/kernels/cpu/hadamard_rows.hpp>

#include "guarded_memory.hpp"
#include "laws/transform_laws.hpp"

namespace {

using laws::Matrix;
namespace kernels = planish::kernels;
namespace cpu = planish::kernels::cpu;
namespace pl = planish;
using pl::index;  // inside a namespace: the C library has a function of this name

/// Paley's matrix of order 12 with its outputs in the opposite order: a Hadamard matrix, but another one.
std::vector<std::uint8_t> turned_12() {
  std::vector<std::uint8_t> signs(36);
  for (std::size_t j = 0; j < 12; ++j)
    for (std::size_t g = 0; g < 3; ++g) signs[3 * j + g] = cpu::detail::signs_of_12[3 * (11 - j) + g];
  return signs;
}

kernels::HadamardPlanView plan_of(const std::vector<kernels::HadamardBaseView>& bases, int doublings) {
  kernels::HadamardPlanView plan;
  plan.size = index{1} << doublings;
  plan.doublings = doublings;
  plan.base_count = static_cast<index>(bases.size());
  plan.bases = bases.data();
  for (const auto& base : bases) plan.size *= base.order;
  return plan;
}

TEST_CASE("bases of order 12, Paley's and others, alone and together: the CPU equals the reference to the bit") {
  const std::vector<std::uint8_t> turned = turned_12();
  const kernels::HadamardBaseView paley{12, cpu::detail::signs_of_12.data()}, other{12, turned.data()};
  CHECK(cpu::detail::is_order_12(paley));
  CHECK_FALSE(cpu::detail::is_order_12(other));
  CHECK_FALSE(cpu::detail::is_order_12({20, cpu::detail::signs_of_12.data()}));
  for (const auto& bases : std::vector<std::vector<kernels::HadamardBaseView>>{
           {paley}, {other}, {paley, paley}, {paley, other}, {other, paley}, {other, other}})
    for (const int doublings : {0, 1, 2, 3, 4, 5})
      for (const index rows : {1, 2, 5}) {
        CAPTURE(bases.size());
        CAPTURE(doublings);
        CAPTURE(rows);
        const kernels::HadamardPlanView plan = plan_of(bases, doublings);
        const auto x = Matrix<float>::random(rows, plan.size, 1);
        Matrix<float> expected(rows, plan.size), made(rows, plan.size);
        std::vector<float> scratch(static_cast<std::size_t>(kernels::hadamard_scratch_size(plan)));
        kernels::reference::hadamard_rows<float>(x.view(), plan, nullptr, expected.view(), scratch);
        cpu::hadamard_rows(x.view(), plan, nullptr, made.view(), scratch);
        CHECK(std::memcmp(expected.values().data(), made.values().data(), made.values().size() * sizeof(float)) == 0);
      }
}

TEST_CASE("a result stays in scratch, scaled, where the last pass works on whole vectors, and only there") {
  const std::vector<std::uint8_t> turned = turned_12();
  for (const index base_count : {1, 2})
    for (int doublings = 0; doublings < 9; ++doublings) {
      CAPTURE(base_count);
      CAPTURE(doublings);
      const std::vector<kernels::HadamardBaseView> bases(static_cast<std::size_t>(base_count), {12, turned.data()});
      const kernels::HadamardPlanView plan = plan_of(bases, doublings);
      const auto x = Matrix<float>::random(1, plan.size, 2);
      Matrix<float> expected(1, plan.size);
      std::vector<float> scratch(static_cast<std::size_t>(kernels::hadamard_scratch_size(plan)));
      kernels::reference::hadamard_rows<float>(x.view(), plan, nullptr, expected.view(), scratch);
      cpu::detail::HadamardRun run(plan, 1, scratch);
      run.load(x.view(), nullptr, nullptr);
      const float* const made = run.transform_here(cpu::detail::hadamard_scale(plan.size));
      const index stride = (index{1} << doublings) * (base_count == 2 ? 12 : 1);  // of the last pass
      REQUIRE((made != nullptr) == (stride >= cpu::float_lanes));
      if (made == nullptr) continue;
      index wrong = 0;
      for (index c = 0; c < plan.size; ++c) wrong += made[c] == expected(0, c) ? 0 : 1;
      CHECK(wrong == 0);
    }
}

TEST_CASE("as many short rows go side by side as fill 512 elements, a row from there on alone") {
  for (const index n : {1, 2, 12, 100, 255, 256, 257, 511, 512, 513, 4096})
    CHECK(kernels::hadamard_joint_rows(n) == std::max<index>(512 / n, 1));
}

}  // namespace
