#pragma once
// Runs the kernels of kernels/cuda on the CPU as they stand: every thread of a block is a fiber, warps meet at their
// matrix instructions, copies in the background happen as late as they may, those of the copy engine whenever they
// like. Clusters run one after another.
#include <cstdint>
#include <functional>

#include <planish/core/result.hpp>
#include <planish/kernels/cuda/device.cuh>
#include <planish/kernels/cuda/warp.cuh>
#include <planish/kernels/cuda/warpgroup.cuh>

namespace emulator {

/// What went wrong so far: deadlocks, addresses out of shared memory or misaligned. 0 in a correct kernel.
int faults() noexcept;
void forget_faults() noexcept;

/// Runs blocks × threads of `body`; `seed` decides the order in which fibers and clusters get their turns.
void run(const planish::kernels::cuda::LaunchShape& shape, std::uint64_t seed, const std::function<void()>& body);

/// What `dispatch` calls in place of a launch.
struct Launcher {
  std::uint64_t seed = 1;

  template <class Kernel, class... Arguments>
  planish::Status operator()(Kernel* kernel, const planish::kernels::cuda::LaunchShape& shape,
                             const Arguments&... arguments) const {
    run(shape, seed, [&] { call(kernel, arguments...); });
    return {};
  }

 private:
  template <class... Parameters, class... Arguments>
  static void call(void (*kernel)(Parameters...), const Arguments&... arguments) {
    kernel(static_cast<Parameters>(arguments)...);
  }
};

/// A device as the plans see it.
inline int any_driver = 0;
inline constexpr planish::kernels::cuda::DeviceCapabilities small_device{9, 0, 8, 227 * 1024, true, &any_driver};

}  // namespace emulator
