// oneDNN's product of signed 8-bit activations and weights into 32-bit sums, weights in the layout it prefers, with
// threads of its own. It may use no wider instruction set than this program's integer kernels that it stands beside,
// unless the environment says so: ONEDNN_MAX_CPU_ISA=AVX512_CORE_AMX shows its matrix tiles.
#include <cstdlib>
#include <cstring>
#include <dnnl.hpp>
#include <omp.h>
#include <vector>

#include "shapes.hpp"
#include "support/operands.hpp"

namespace {

using dnnl::memory;
using planish::index;
using Type = memory::data_type;
using Tag = memory::format_tag;

/// Decided once per process, before the library makes anything.
bool stays_within_our_instructions() {
  if (std::getenv("ONEDNN_MAX_CPU_ISA") != nullptr || std::getenv("DNNL_MAX_CPU_ISA") != nullptr) return true;
#if defined(PLANISH_HAS_AVX512VNNI)
  return dnnl::set_max_cpu_isa(dnnl::cpu_isa::avx512_core_vnni) == dnnl::status::success;
#elif defined(PLANISH_HAS_AVX2)
  return dnnl::set_max_cpu_isa(dnnl::cpu_isa::avx2) == dnnl::status::success;
#else
  return dnnl::set_max_cpu_isa(dnnl::cpu_isa::sse41) == dnnl::status::success;
#endif
}

void multiply(benchmark::State& state, index m, bench::Shape shape, int threads, bool cold) {
  omp_set_num_threads(threads);
  dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const memory::desc x_desc({m, shape.k}, Type::s8, Tag::ab), y_desc({m, shape.n}, Type::s32, Tag::ab);
  const memory::desc any({shape.k, shape.n}, Type::s8, Tag::any);
  const dnnl::matmul::primitive_desc description(dnnl::matmul::desc(x_desc, any, y_desc), engine);
  const dnnl::matmul product(description);

  auto codes = planish::AlignedBuffer<std::int8_t>::make(shape.n * shape.k);
  auto stored = planish::AlignedBuffer<std::int8_t>::make(static_cast<index>(description.weights_desc().get_size()));
  auto sums = planish::AlignedBuffer<std::int32_t>::make(m * shape.n);
  if (!codes || !stored || !sums) return state.SkipWithError("out of memory");
  planish::Random random(7);
  for (auto& code : codes->span()) code = static_cast<std::int8_t>(random.below(256));
  memory transposed({{shape.k, shape.n}, Type::s8, Tag::ba}, engine, codes->data());
  memory weights(description.weights_desc(), engine, stored->data());
  dnnl::reorder(transposed, weights).execute(stream, transposed, weights);
  stream.wait();

  const bench::Activations x(m, shape.k, {.bits = 8});
  std::vector<std::int8_t> rows(static_cast<std::size_t>(m * shape.k));
  for (index r = 0; r < m; ++r)
    std::memcpy(rows.data() + r * shape.k, x.view().row(r), static_cast<std::size_t>(shape.k));
  memory left(x_desc, engine, rows.data()), right(y_desc, engine, sums->data());
  bench::ColdCopies copies(stored->data(), static_cast<std::size_t>(stored->size()), cold);
  const auto operations = 2.0 * static_cast<double>(m * shape.n * shape.k);
  bench::measure(state, threads, {.int8_operations = operations, .bytes = copies.bytes_read()}, [&] {
    weights.set_data_handle(const_cast<void*>(copies.next()));
    product.execute(stream, {{DNNL_ARG_SRC, left}, {DNNL_ARG_WEIGHTS, weights}, {DNNL_ARG_DST, right}});
    stream.wait();
  });
}

const bool added = [] {
  const bool limited = stays_within_our_instructions();
  const bool tiles = dnnl::get_effective_cpu_isa() == dnnl::cpu_isa::avx512_core_amx;
  return limited && bench::peers::add("onednn", tiles ? "s8-amx" : "s8", multiply);
}();

}  // namespace
