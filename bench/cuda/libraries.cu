// cuBLASLt's products of the same shapes, where the library is found at run time.
#include <memory>

#include "device.cuh"

#if __has_include(<cublasLt.h>)
#include <cublasLt.h>
#include <dlfcn.h>

namespace device {
namespace {

struct Functions {
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtMatmulDescCreate) descriptor;
  decltype(&cublasLtMatmulDescSetAttribute) set;
  decltype(&cublasLtMatrixLayoutCreate) layout;
  decltype(&cublasLtMatmulPreferenceCreate) preference;
  decltype(&cublasLtMatmulPreferenceSetAttribute) set_preference;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic;
  decltype(&cublasLtMatmul) multiply;

  bool open() {
    void* library = nullptr;
    for (const char* name :
         {std::getenv("PLANISH_CUBLASLT"), const_cast<char*>("libcublasLt.so.13"), const_cast<char*>("libcublasLt.so"),
          const_cast<char*>("/usr/local/cuda/lib64/libcublasLt.so"),
          const_cast<char*>("/usr/local/cuda/lib64/libcublasLt.so.13")})
      if (library == nullptr && name != nullptr) library = dlopen(name, RTLD_NOW);
    if (library == nullptr) return false;
    const auto get = [&](auto& function, const char* symbol) {
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, symbol));
      return function != nullptr;
    };
    return get(create, "cublasLtCreate") && get(descriptor, "cublasLtMatmulDescCreate") &&
           get(set, "cublasLtMatmulDescSetAttribute") && get(layout, "cublasLtMatrixLayoutCreate") &&
           get(preference, "cublasLtMatmulPreferenceCreate") &&
           get(set_preference, "cublasLtMatmulPreferenceSetAttribute") &&
           get(heuristic, "cublasLtMatmulAlgoGetHeuristic") && get(multiply, "cublasLtMatmul");
  }
};

/// One product of the library's.
struct Product {
  Functions functions;
  cublasLtHandle_t handle = nullptr;
  cublasLtMatmulDesc_t descriptor = nullptr;
  cublasLtMatrixLayout_t w = nullptr, x = nullptr, y = nullptr;
  cublasLtMatmulAlgo_t algorithm;
  float alpha = 1.0f, beta = 0.0f;
  char* workspace = nullptr;
  std::vector<std::array<char*, 3>> operands;  // weights, tokens, results
  cudaStream_t stream = nullptr;

  static constexpr std::size_t workspace_bytes = std::size_t{64} << 20;

  [[nodiscard]] bool call(int set) const {
    const auto& [weights, tokens, result] = operands[static_cast<std::size_t>(set)];
    return functions.multiply(handle, descriptor, &alpha, weights, w, tokens, x, &beta, result, y, result, y,
                              &algorithm, workspace, workspace_bytes, stream) == CUBLAS_STATUS_SUCCESS;
  }
};

}  // namespace

Timed library_product(Context& context, Library kind, int rows, int channels, int columns) {
  static Functions functions;
  static cublasLtHandle_t handle = nullptr;
  static const bool found = functions.open() && functions.create(&handle) == CUBLAS_STATUS_SUCCESS;
  if (!found) return {};
  Arena& arena = *context.arena;
  const auto product = std::make_shared<Product>();  // descriptors last as long as the program
  product->functions = functions;
  product->handle = handle;
  product->stream = context.stream;
  const bool bytes = kind == Library::int8;
  const int each = bytes ? 1 : 2;
  if (bytes) product->alpha = 0x1p-12f;
  const cudaDataType_t type = bytes ? CUDA_R_8I : CUDA_R_16BF;
  if (functions.descriptor(&product->descriptor, bytes ? CUBLAS_COMPUTE_32I : CUBLAS_COMPUTE_32F, CUDA_R_32F) !=
      CUBLAS_STATUS_SUCCESS)
    return {};
  const cublasOperation_t transposed = CUBLAS_OP_T;
  functions.set(product->descriptor, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed);
  const auto n = static_cast<std::uint64_t>(channels), k = static_cast<std::uint64_t>(columns),
             m = static_cast<std::uint64_t>(rows);
  functions.layout(&product->w, type, k, n, columns);
  functions.layout(&product->x, type, k, m, columns);
  functions.layout(&product->y, type, n, m, channels);
  cublasLtMatmulPreference_t preference;
  functions.preference(&preference);
  functions.set_preference(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &Product::workspace_bytes,
                           sizeof Product::workspace_bytes);
  cublasLtMatmulHeuristicResult_t proposed[8];
  int count = 0;
  if (functions.heuristic(handle, product->descriptor, product->w, product->x, product->y, product->y, preference, 8,
                          proposed, &count) != CUBLAS_STATUS_SUCCESS)
    return {};
  const std::int64_t sizes[] = {std::int64_t{channels} * columns * each, std::int64_t{rows} * columns * each,
                                std::int64_t{rows} * channels * each};
  const int sets = std::min(sets_of(static_cast<double>(sizes[0] + sizes[1] + sizes[2])), 16);
  product->workspace = arena.take<char>(Product::workspace_bytes);
  for (int i = 0; i < sets; ++i) {
    std::array<char*, 3> operands;
    for (std::size_t j = 0; j < 3; ++j) operands[j] = arena.take<char>(sizes[j]);
    for (std::size_t j = 0; j < 2; ++j)
      fill(operands[j], sizes[j], bytes ? Fill::bytes : Fill::bfloat16, static_cast<std::uint64_t>(i + 100 * j));
    product->operands.push_back(operands);
  }
  const Timed timed{sets, [product](int set) { static_cast<void>(product->call(set)); }};
  double best = 1e30;
  cublasLtMatmulAlgo_t quickest;
  for (int i = 0; i < count; ++i) {
    product->algorithm = proposed[i].algo;
    const bool works = product->call(0);
    require(cudaStreamSynchronize(context.stream), "cuBLASLt");
    if (!works) continue;
    const double t = time_graph(context, sets, timed.call, 5);
    if (t >= best) continue;
    best = t;
    quickest = proposed[i].algo;
  }
  if (best == 1e30) return {};
  product->algorithm = quickest;
  return timed;
}

}  // namespace device
#else
namespace device {
Timed library_product(Context&, Library, int, int, int) { return {}; }
}  // namespace device
#endif
