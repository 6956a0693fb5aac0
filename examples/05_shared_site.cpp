// A site of a block: the norm absorbs what it can, the rest runs once, and q, k and v share one quantized input.
#include <cmath>
#include <cstdio>
#include <thread>
#include <vector>

#include <planish/planish.hpp>

namespace pl = planish;

using W8 = pl::Quantizer<8, pl::PerChannel>;
using A8 = pl::Quantizer<8, pl::PerToken>;

/// The host's threads: anything with `workers` and `run`.
struct Threads {
  int workers() const noexcept { return 2; }
  template <class Work>
  void run(int tasks, Work&& work) noexcept {
    const auto every_second = [&](int first) {
      for (int task = first; task < tasks; task += 2) work(task, first);
    };
    std::thread other([&] { every_second(1); });
    every_second(0);
    other.join();
  }
};
static_assert(pl::Executor<Threads>);

int main() {
  const pl::index tokens = 64, n = 512;
  pl::Random random(8);
  std::vector<float> x(static_cast<std::size_t>(tokens * n)), factors(static_cast<std::size_t>(n));
  for (float& value : x) value = static_cast<float>(random.normal());
  for (float& factor : factors) factor = static_cast<float>(0.5 + random.uniform());
  const auto hadamard = pl::Hadamard::make(n, 9);
  if (!hadamard) return 1;
  const auto flatten = pl::Transform{pl::Scale{factors}, *hadamard};

  // The norm takes the scale; the Hadamard is left to run online. Consumers take the dual of both.
  const auto [absorbed, online] = pl::fold<pl::after_norm_gain>(flatten);
  std::vector<double> gain(static_cast<std::size_t>(n), 1.0);
  if (!pl::absorb_into_norm(absorbed, gain)) return 1;
  std::vector<float> normed(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) normed[i] = x[i] * static_cast<float>(gain[i % 512]);

  using Online = std::remove_const_t<decltype(online)>;
  using Consumer = pl::QuantizedLinear<W8, A8, Online>;
  std::vector<Consumer> consumers;
  std::vector<std::vector<float>> matrices;
  for (const pl::index out : {512, 128, 128}) {  // q, k, v with grouped heads
    std::vector<float> w(static_cast<std::size_t>(out * n));
    for (float& value : w) value = static_cast<float>(0.05 * random.normal());
    std::vector<double> folded(w.begin(), w.end());
    if (!pl::fold_into_weights(flatten, pl::MatrixView<double>(folded.data(), out, n))) return 1;
    const auto codes = pl::quantize_weights(pl::MatrixView<const double>(folded.data(), out, n), {.bits = 8});
    if (!codes) return 1;
    auto consumer = Consumer::from_codes(codes->view(), {}, online);
    if (!consumer) return 1;
    consumers.push_back(*std::move(consumer));
    matrices.push_back(std::move(w));
  }

  Threads threads;
  const auto site = pl::Site<A8, Online>::make(online);
  if (!site) return 1;
  std::vector<std::byte> memory(site->workspace_size(tokens, 2) + consumers[0].workspace_size(tokens, 2));
  pl::Workspace workspace(memory);
  const auto in = site->prepare(pl::MatrixView<const float>(normed.data(), tokens, n), workspace, threads);

  double worst = 0.0;
  for (std::size_t i = 0; i < consumers.size(); ++i) {
    std::vector<float> y(static_cast<std::size_t>(tokens * consumers[i].rows()));
    if (!consumers[i].multiply(in, pl::MatrixView<float>(y.data(), tokens, consumers[i].rows()), threads)) return 1;
    double error = 0.0, size = 0.0;
    for (std::size_t t = 0; t < 64; ++t)
      for (std::size_t o = 0; o < matrices[i].size() / 512; ++o) {
        double exact = 0.0;
        for (std::size_t c = 0; c < 512; ++c)
          exact += static_cast<double>(x[t * 512 + c]) * static_cast<double>(matrices[i][o * 512 + c]);
        const double difference = static_cast<double>(y[t * matrices[i].size() / 512 + o]) - exact;
        error += difference * difference;
        size += exact * exact;
      }
    worst = std::fmax(worst, std::sqrt(error / size));
  }
  std::printf("%s\n3 consumers of one quantized input, at most %.2f %% from float\n", site->describe().c_str(),
              100.0 * worst);
  return worst < 0.02 ? 0 : 1;
}
