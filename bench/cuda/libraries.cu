// cuBLASLt's products of the same shapes, where the library is found at run time.
#include "device.cuh"

#if __has_include(<cublasLt.h>)
#include <cublasLt.h>
#include <dlfcn.h>

namespace device {
namespace {

struct Library {
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

struct Kind {
  const char* name;
  cudaDataType_t operands, result, scale;
  cublasComputeType_t compute;
  int operand_bytes, result_bytes;
};

void bench(Context& context, const Library& library, cublasLtHandle_t handle, const Kind& kind, int rows, int channels,
           int columns) {
  Arena& arena = *context.arena;
  arena.reset();
  cublasLtMatmulDesc_t descriptor;
  if (library.descriptor(&descriptor, kind.compute, kind.scale) != CUBLAS_STATUS_SUCCESS) return;
  const cublasOperation_t transposed = CUBLAS_OP_T;
  library.set(descriptor, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed);
  cublasLtMatrixLayout_t w, x, y;
  const auto n = static_cast<std::uint64_t>(channels), k = static_cast<std::uint64_t>(columns),
             m = static_cast<std::uint64_t>(rows);
  library.layout(&w, kind.operands, k, n, columns);
  library.layout(&x, kind.operands, k, m, columns);
  library.layout(&y, kind.result, n, m, channels);
  cublasLtMatmulPreference_t preference;
  library.preference(&preference);
  const std::size_t workspace_bytes = std::size_t{64} << 20;
  library.set_preference(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace_bytes,
                         sizeof workspace_bytes);
  cublasLtMatmulHeuristicResult_t found[8];
  int count = 0;
  const std::string name = std::string("cublaslt/") + kind.name + "/m:" + std::to_string(rows) +
                           "/n:" + std::to_string(channels) + "/k:" + std::to_string(columns);
  if (library.heuristic(handle, descriptor, w, x, y, y, preference, 8, found, &count) != CUBLAS_STATUS_SUCCESS ||
      count == 0) {
    std::printf("%s: no algorithm\n", name.c_str());
    return;
  }
  const double bytes = static_cast<double>(kind.operand_bytes) * columns * (static_cast<double>(rows) + channels) +
                       static_cast<double>(kind.result_bytes) * rows * channels;
  const int sets = std::min(sets_of(bytes), 16);
  char* workspace = arena.take<char>(static_cast<std::int64_t>(workspace_bytes));
  std::vector<std::array<char*, 3>> all;
  const Fill how = kind.operand_bytes == 1 ? Fill::bytes : Fill::bfloat16;
  for (int i = 0; i < sets; ++i) {
    all.push_back({arena.take<char>(std::int64_t{channels} * columns * kind.operand_bytes),
                   arena.take<char>(std::int64_t{rows} * columns * kind.operand_bytes),
                   arena.take<char>(std::int64_t{rows} * channels * kind.result_bytes)});
    fill(all.back()[0], std::int64_t{channels} * columns * kind.operand_bytes, how, static_cast<std::uint64_t>(i));
    fill(all.back()[1], std::int64_t{rows} * columns * kind.operand_bytes, how, static_cast<std::uint64_t>(i + 100));
  }
  const float one = 1.0f, zero = 0.0f, small = 0x1p-12f;
  const int whole_one = 1, whole_zero = 0;
  const bool whole = kind.scale == CUDA_R_32I;
  const void* alpha = whole ? static_cast<const void*>(&whole_one) : kind.operand_bytes == 1 ? &small : &one;
  const void* beta = whole ? static_cast<const void*>(&whole_zero) : &zero;
  double best = 1e30;
  for (int i = 0; i < count; ++i) {
    bool works = true;
    const auto call = [&](int set) {
      const auto& [weights, tokens, result] = all[static_cast<std::size_t>(set)];
      works = works &&
              library.multiply(handle, descriptor, alpha, weights, w, tokens, x, beta, result, y, result, y,
                               &found[i].algo, workspace, workspace_bytes, context.stream) == CUBLAS_STATUS_SUCCESS;
    };
    call(0);
    require(cudaStreamSynchronize(context.stream), "cuBLASLt");
    if (!works) continue;
    best = std::min(best, time_graph(context, sets, call, 7));
  }
  if (best < 1e30) record(name, best, bytes, 2.0 * rows * channels * columns, "best of " + std::to_string(count));
}

}  // namespace

void bench_libraries(Context& context) {
  Library library;
  cublasLtHandle_t handle;
  if (!library.open() || library.create(&handle) != CUBLAS_STATUS_SUCCESS) {
    std::printf("cuBLASLt: not found: skipped\n");
    return;
  }
  const Kind kinds[] = {{"int8_int32", CUDA_R_8I, CUDA_R_32I, CUDA_R_32I, CUBLAS_COMPUTE_32I, 1, 4},
                        {"int8_int8", CUDA_R_8I, CUDA_R_8I, CUDA_R_32F, CUBLAS_COMPUTE_32I, 1, 1},
                        {"bfloat16", CUDA_R_16BF, CUDA_R_16BF, CUDA_R_32F, CUBLAS_COMPUTE_32F, 2, 2}};
  const int shapes[][2] = {{14336, 4096}, {4096, 14336}, {4096, 4096}, {8192, 8192}};
  for (const Kind& kind : kinds)
    for (const auto& [channels, columns] : shapes)
      for (const int rows : {1, 8, 16, 32, 64, 128, 512, 2048, 8192}) {
        if ((channels == 8192 || rows == 8 || rows == 32) && kind.operand_bytes != 2) continue;
        if (channels == 4096 && columns == 4096 && rows != 1 && rows != 16 && rows != 128 && rows != 8192) continue;
        bench(context, library, handle, kind, rows, channels, columns);
      }
  context.arena->reset();
}

}  // namespace device
#else
namespace device {
void bench_libraries(Context&) { std::printf("cuBLASLt: its header is not installed: skipped\n"); }
}  // namespace device
#endif
