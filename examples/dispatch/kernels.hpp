#pragma once
// What the program sees of each instruction set: plain function pointers over planish's untagged words, the same type
// in every unit whatever it is compiled for. Layers stay behind a pointer, because their types carry the tag of their
// unit.
#include <cstddef>

#include <planish/core/executor.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/core/status.hpp>

namespace dispatch {

/// A quantized linear layer on one instruction set. A layer goes only to the functions of the table that made it.
struct Kernels {
  const char* name;
  /// Asks for what the operating system gives only on request: AMX tiles. Ok where there is nothing to ask for.
  planish::Status (*enable)() noexcept;
  /// Quantizes weights (out × in) to 8 bits and keeps them; `layer` is null unless the status is ok.
  planish::Status (*make)(planish::MatrixView<const float> weights, void*& layer) noexcept;
  std::size_t (*workspace_size)(const void* layer, planish::index rows, int workers) noexcept;
  /// y = x Wᵀ; x: rows × in, y: rows × out.
  planish::Status (*forward)(const void* layer, planish::MatrixView<const float> x, planish::MatrixView<float> y,
                             std::byte* memory, std::size_t bytes, planish::ExecutorReference executor) noexcept;
  void (*destroy)(void* layer) noexcept;
};

namespace portable {
extern const Kernels kernels;
}
namespace avx2 {
extern const Kernels kernels;
}
namespace avx512vnni {
extern const Kernels kernels;
}
namespace avx512vnni_amx {
extern const Kernels kernels;
}

}  // namespace dispatch
