#pragma once
#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// What a plan must know of a GPU. An engine fills it once, from its own queries or by `query_device`.
struct DeviceCapabilities {
  int major = 0, minor = 0;  // compute capability
  int multiprocessors = 0;
  int shared_bytes = 0;         // that a block may ask for
  bool group_products = false;  // products of warpgroups: compute capability 9.0, and compiled for sm_90a
  void* encode_rows = nullptr;  // the driver's cuTensorMapEncodeTiled; null: nothing is described to the copy engine

  /// True where the matrix products of bytes and of 16-bit floats run that the kernels are written in.
  [[nodiscard]] constexpr bool has_matrix_units() const noexcept { return major >= 8; }
};

/// How a planned kernel is launched: plain data. `cluster`: blocks that run on neighbouring multiprocessors; `early`:
/// while the kernel before it on the stream still runs.
struct LaunchShape {
  int blocks = 0, threads = 0, shared_bytes = 0, cluster = 1;
  bool early = false;
};

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
