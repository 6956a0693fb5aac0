#include <doctest/doctest.h>

#include "linear/samples.hpp"

namespace pl = planish;
using samples::made;
using samples::Matrix;
using samples::Memory;

static_assert(pl::Backend<pl::Cpu> && pl::Backend<pl::Reference>);
static_assert(!pl::Backend<int>);

namespace {

template <class S>
void same_rows(const S& stage, pl::index rows) {
  const Matrix x(rows, stage.size(), 3);
  Matrix expected(rows, stage.size()), y(rows, stage.size() + 5);
  std::vector<float> scratch(static_cast<std::size_t>(stage.scratch_size(rows)));
  pl::apply(pl::Reference{}, stage, x.view(), expected.view(), std::span<float>(scratch));
  const pl::MatrixView<float> out = y.view().middle_columns(2, stage.size());
  pl::apply(pl::Cpu{}, stage, x.view(), out, std::span<float>(scratch));
  CHECK(samples::different_bits(out, expected.view()) == 0);
}

template <class... Stages>
void same_rows_of_all(const Stages&... stages) {
  for (pl::index rows : {0, 1, 3, 8, 17}) (same_rows(stages, rows), ...);
}

}  // namespace

TEST_CASE("stages give the same rows on every backend, to the bit") {
  for (pl::index n : {12, 64, 576}) {
    INFO(n << " channels");
    const auto hadamard = made(pl::Hadamard::make(n, 1));
    const auto kronecker = samples::random_kronecker(n, 2);
    const auto [n1, n2] = pl::kronecker_factors(n);
    same_rows_of_all(pl::Identity(n), pl::Shift(samples::offsets(n, 3)), pl::Scale(samples::factors(n, 4)), hadamard,
                     pl::Rotation::random(n, 5), pl::Dense::random(n, 6), kronecker,
                     pl::Kronecker(pl::Identity(n1), pl::Dense::random(n2, 7)),
                     pl::Kronecker(pl::Dense::random(n1, 8), pl::Identity(n2)),
                     pl::Kronecker(pl::Identity(n / 4), made(pl::Hadamard::make(4))),
                     pl::BlockDiagonal<pl::Dense>({pl::Dense::random(n / 2, 9), pl::Dense::random(n - n / 2, 10)}),
                     pl::Transform(pl::Scale(samples::factors(n, 11)), kronecker, hadamard));
  }
}

TEST_CASE("codes, accumulators and products are the same on every backend, to the bit") {
  for (pl::index n : {1, 7, 63, 64, 65, 576, 1536})
    for (int bits : {2, 3, 4, 5, 8})
      for (auto symmetry : {pl::Symmetry::symmetric, pl::Symmetry::asymmetric}) {
        const pl::index rows = 5, out = 37;
        const pl::index group = n > 64 ? 48 : 0;
        INFO(n << " channels, " << bits << " bits, group " << group);
        const bool asymmetric = symmetry == pl::Symmetry::asymmetric;
        const pl::RowQuantizer q{.bits = bits, .symmetry = symmetry};
        const Matrix x(rows, n, 21), w(out, n, 22, 0.05);
        Memory a(pl::quantized_rows_bytes(rows, n, asymmetric) + 64),
            b(pl::quantized_rows_bytes(rows, n, asymmetric) + 64);
        auto wa = a.workspace(), wb = b.workspace();
        const auto codes = pl::take_quantized_rows(wa, rows, n, asymmetric);
        const auto expected = pl::take_quantized_rows(wb, rows, n, asymmetric);
        CHECK(pl::quantize(pl::Cpu{}, x.view(), q, codes) == 0);
        CHECK(pl::quantize(pl::Reference{}, x.view(), q, expected) == 0);
        CHECK(samples::different_codes(codes, expected) == 0);
        Matrix back(rows, n), reference_back(rows, n);
        pl::dequantize(pl::Cpu{}, codes, back.view());
        pl::dequantize(pl::Reference{}, expected, reference_back.view());
        CHECK(samples::different_bits(back.view(), reference_back.view()) == 0);

        const auto packed = made(pl::PackedWeights::make(
            made(pl::quantize_weights(w.view(), {.bits = bits, .symmetry = symmetry, .group_size = group})).view()));
        const auto floats = made(pl::FloatPanels::make(w.view()));
        const pl::PackedWeightsView view = packed.view();
        const pl::Range all{0, view.panel_count()};
        std::vector<std::byte> bytes(pl::multiply_scratch_bytes(pl::Cpu{}, rows, n, view.groups()) + 64);
        const auto scratch = pl::Workspace(bytes).take<std::byte>(static_cast<pl::index>(bytes.size()) - 64);
        std::vector<std::int32_t> sums(static_cast<std::size_t>(rows * out * view.groups())), oracle(sums.size());
        pl::multiply_accumulators(pl::Cpu{}, codes, view, {sums.data(), rows, out * view.groups()}, all, scratch);
        pl::multiply_accumulators(pl::Reference{}, codes, view, {oracle.data(), rows, out * view.groups()}, all, {});
        CHECK(sums == oracle);

        const Matrix residual(rows, out, 23);
        const auto bias = samples::offsets(out, 24);
        const pl::Epilogue epilogue{bias.data(), residual.view()};
        const auto same = [&](const auto& in, const auto& weights) {
          Matrix y(rows, out), z(rows, out);
          pl::multiply(pl::Cpu{}, in, weights, epilogue, y.view(), all, scratch);
          pl::multiply(pl::Reference{}, in, weights, epilogue, z.view(), all, {});
          return samples::different_bits(y.view(), z.view()) == 0;
        };
        CHECK(same(pl::QuantizedRowsView(codes), view));
        CHECK(same(x.view(), view));
        CHECK(same(x.view(), floats.view()));
      }
}
