#pragma once
// Kernels that start while the one before them on the stream still runs (compute capability 9.0 on): they fetch what is
// older than that kernel, and wait before they touch what it may read or write.
#include <planish/core/abi.hpp>
#include <planish/kernels/cuda/warp.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

#if defined(__CUDACC__)

/// Returns once the kernel before is done and its writes can be read; at once where this one did not start early.
PLANISH_DEVICE void wait_for_kernel_before() noexcept {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
/// The next kernel may start, if it is one that starts early, as soon as every block was here. Behind
/// `wait_for_kernel_before`, no more than one kernel waits on the device beside the one that runs.
PLANISH_DEVICE void let_next_kernel_start() noexcept {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

#else

inline void wait_for_kernel_before() noexcept {}
inline void let_next_kernel_start() noexcept {}

#endif

/// Asks the second-level cache for the line of an address.
PLANISH_DEVICE void prefetch_line([[maybe_unused]] const void* global) noexcept {
#if defined(__CUDA_ARCH__)
  asm volatile("prefetch.global.L2 [%0];" ::"l"(global));
#endif
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
