// One program, several instruction sets, picked when it starts:
//   example-dispatch [portable|avx2|avx512vnni|avx512vnni_amx]
// runs a layer on the widest set that this machine has, or on the one named, and compares with all others it can run.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <vector>

#include "choose.hpp"

namespace {

constexpr planish::index tokens = 37, in = 200, out = 70;

/// The layer's output on one instruction set; empty where something failed.
std::vector<float> run(const dispatch::Kernels& kernels, planish::MatrixView<const float> x,
                       planish::MatrixView<const float> w) {
  void* layer = nullptr;
  planish::Status status = kernels.make(w, layer);
  std::vector<float> y(static_cast<std::size_t>(tokens * out));
  if (status) {
    std::vector<std::byte> memory(kernels.workspace_size(layer, tokens, 1));
    status = kernels.forward(layer, x, {y.data(), tokens, out}, memory.data(), memory.size(), {});
    kernels.destroy(layer);
  }
  if (status) return y;
  std::printf("%s: %.*s\n", kernels.name, static_cast<int>(status.message().size()), status.message().data());
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  const dispatch::Kernels* chosen = dispatch::choose(argc > 1 ? argv[1] : nullptr);
  if (chosen == nullptr) {
    std::printf("this machine or this program has no '%s'\n", argv[1]);
    return 2;
  }
  std::vector<float> x(tokens * in), w(out * in);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i) * 0.37f);
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = std::cos(static_cast<float>(i) * 0.11f);
  const planish::MatrixView<const float> input(x.data(), tokens, in), weights(w.data(), out, in);

  const std::vector<float> y = run(*chosen, input, weights);
  if (y.empty()) return 1;
  std::printf("runs %s, y[0] = %.6f\n", chosen->name, static_cast<double>(y[0]));

  const dispatch::Kernels* tables[dispatch::most_tables] = {};
  const std::size_t count = dispatch::runnable(tables);
  bool same = true;
  for (std::size_t i = 0; i < count; ++i) {
    const std::vector<float> other = run(*tables[i], input, weights);
    const bool equal = other.size() == y.size() && std::memcmp(other.data(), y.data(), y.size() * sizeof(float)) == 0;
    std::printf("%-14s %s\n", tables[i]->name, equal ? "the same bits" : "differs");
    same = same && equal;
  }
  return same ? 0 : 1;
}
