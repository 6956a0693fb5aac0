// Prints a hash of codes, scales, zero points, sums, accumulators and outputs for many schemes and awkward sizes. Built
// for several instruction sets, every build must print the same lines.
#include <cstdint>
#include <cstdio>
#include <span>
#include <vector>

#include <planish/planish.hpp>

namespace {

namespace pl = planish;

class Hash {  // FNV-1a
 public:
  template <class T>
  void add(std::span<const T> values) noexcept {
    for (std::byte byte : std::as_bytes(values)) {
      value_ = (value_ ^ std::to_integer<std::uint64_t>(byte)) * 0x100000001b3u;
    }
  }
  [[nodiscard]] unsigned long long value() const noexcept { return value_; }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325u;
};

/// Values of very different sizes, some rows all zero; no library function whose rounding may differ.
std::vector<float> numbers(pl::index rows, pl::index columns, std::uint64_t seed) {
  pl::Random random(seed);
  std::vector<float> values(static_cast<std::size_t>(rows * columns));
  for (pl::index r = 0; r < rows; ++r)
    for (pl::index c = 0; c < columns; ++c) {
      const auto uniform = static_cast<float>(static_cast<std::int32_t>(random.bits() >> 40) - (1 << 23));
      const float loud = random.below(50) == 0 ? 0x1p-15f : 0x1p-22f;
      values[static_cast<std::size_t>(r * columns + c)] = r % 7 == 6 ? 0.0f : uniform * loud;
    }
  return values;
}

struct Case {
  pl::index rows, columns, channels, group_size;
  int weight_bits, activation_bits;
  pl::Symmetry weights, activations;
};

bool run(const Case& is) {
  const std::vector<float> x = numbers(is.rows, is.columns, 1), w = numbers(is.channels, is.columns, 2);
  const auto codes = pl::quantize_weights(pl::MatrixView<const float>(w.data(), is.channels, is.columns),
                                          {is.weight_bits, is.weights, is.group_size});
  if (!codes) return false;
  const auto packed = pl::PackedWeights::make(codes->view());
  if (!packed) return false;

  const bool asymmetric = is.activations == pl::Symmetry::asymmetric;
  std::vector<std::byte> memory(pl::quantized_rows_bytes(is.rows, is.columns, asymmetric) + pl::buffer_alignment);
  pl::Workspace workspace(memory);
  const pl::QuantizedRowsSpan rows = pl::take_quantized_rows(workspace, is.rows, is.columns, asymmetric);
  const pl::DefaultBackend backend;
  pl::quantize(backend, {x.data(), is.rows, is.columns}, {.bits = is.activation_bits, .symmetry = is.activations},
               rows);

  const pl::PackedWeightsView view = packed->view();
  std::vector<std::byte> scratch(pl::multiply_scratch_bytes(backend, is.rows, is.columns, view.groups()) +
                                 pl::buffer_alignment);
  std::vector<std::int32_t> sums(static_cast<std::size_t>(is.rows * is.channels * view.groups()));
  std::vector<float> y(static_cast<std::size_t>(is.rows * is.channels));
  pl::multiply_accumulators(backend, rows, view, {sums.data(), is.rows, is.channels * view.groups()},
                            {0, view.panel_count()}, scratch);
  pl::multiply(backend, rows, view, {}, {y.data(), is.rows, is.channels}, {0, view.panel_count()}, scratch);

  const auto count = static_cast<std::size_t>(is.rows);
  Hash hash;
  hash.add(std::span<const std::uint8_t>(codes->view().codes, w.size()));
  for (pl::index r = 0; r < is.rows; ++r)
    hash.add(std::span<const std::int8_t>(rows.row(r), static_cast<std::size_t>(is.columns)));
  hash.add(std::span<const float>(rows.scales, count));
  hash.add(std::span<const std::int32_t>(rows.sums, count));
  if (asymmetric) hash.add(std::span<const std::int32_t>(rows.zero_points, count));
  hash.add(std::span<const std::int32_t>(sums));
  hash.add(std::span<const float>(y));
  std::printf("w%d%s a%d%s %td x %td x %td, groups of %td: %016llx\n", is.weight_bits,
              is.weights == pl::Symmetry::symmetric ? "s" : "a", is.activation_bits, asymmetric ? "a" : "s", is.rows,
              is.columns, is.channels, is.group_size, hash.value());
  return true;
}

}  // namespace

int main() {
  bool good = true;
  for (int weight_bits : {2, 3, 4, 5, 8})
    for (int activation_bits : {4, 8})
      for (pl::Symmetry symmetry : {pl::Symmetry::symmetric, pl::Symmetry::asymmetric})
        for (pl::index columns : {1, 7, 63, 64, 65, 576})
          for (pl::index group_size : {0, 32})
            good = run({9, columns, 37, group_size, weight_bits, activation_bits, symmetry, symmetry}) && good;
  std::fprintf(stderr, "%s\n", pl::abi_name);
  return good ? 0 : 1;
}
