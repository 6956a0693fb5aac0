#pragma once
// The only calls to the CUDA run-time library: what a device is, and launches. A launch allocates nothing, waits for
// nothing and asks nothing, so it captures into graphs.
#include <cuda_runtime.h>

#include <planish/core/abi.hpp>
#include <planish/core/result.hpp>
#include <planish/kernels/cuda/device.cuh>
#include <planish/kernels/cuda/warpgroup.cuh>

// One body per program, whatever the optimiser thinks of it.
#if defined(_MSC_VER)
#define PLANISH_NEVER_INLINE __declspec(noinline)
#elif defined(__clang__)
#define PLANISH_NEVER_INLINE __attribute__((noinline))
#else
#define PLANISH_NEVER_INLINE __attribute__((noipa))
#endif

namespace planish::inline PLANISH_ABI::kernels::cuda {

namespace detail {
[[nodiscard]] inline Status status_of(cudaError_t error, const char* what) noexcept {
  if (error == cudaSuccess) return {};
  return {error == cudaErrorMemoryAllocation ? ErrorCode::out_of_memory : ErrorCode::unsupported, what, ": ",
          cudaGetErrorString(error)};
}

/// The kernel of a plan. A kernel that is a template has a handle of its own in every unit (nvcc gives its host stub
/// internal linkage), and what one unit prepares another cannot launch. The linker keeps one body of this function,
/// which no caller may inline: it gives the whole program one handle.
template <class Plan, class Arguments>
PLANISH_NEVER_INLINE const void* kernel_of(const Plan& plan, const Arguments& arguments) noexcept {
  const void* found = nullptr;
  static_cast<void>(dispatch(plan, arguments, [&](auto kernel, const LaunchShape&, const auto&...) -> Status {
    found = reinterpret_cast<const void*>(kernel);
    return {};
  }));
  return found;
}

/// Gives the kernel the shared memory of its plan.
struct PrepareKernel {
  const void* handle;

  template <class Kernel, class... Arguments>
  Status operator()(Kernel, const LaunchShape& shape, const Arguments&...) const noexcept {
    return status_of(cudaFuncSetAttribute(handle, cudaFuncAttributeMaxDynamicSharedMemorySize, shape.shared_bytes),
                     "preparing a kernel");
  }
};

struct LaunchKernel {
  const void* handle;
  cudaStream_t stream;

  template <class... Parameters, class... Arguments>
  Status operator()(void (*)(Parameters...), const LaunchShape& shape, Arguments... arguments) const noexcept {
    cudaLaunchConfig_t configuration = {};
    configuration.gridDim = dim3(static_cast<unsigned>(shape.blocks));
    configuration.blockDim = dim3(static_cast<unsigned>(shape.threads));
    configuration.dynamicSmemBytes = static_cast<std::size_t>(shape.shared_bytes);
    configuration.stream = stream;
    cudaLaunchAttribute attributes[2];
    configuration.attrs = attributes;
    if (shape.cluster > 1) {
      cudaLaunchAttribute& cluster = attributes[configuration.numAttrs++];
      cluster.id = cudaLaunchAttributeClusterDimension;
      cluster.val.clusterDim.x = static_cast<unsigned>(shape.cluster);
      cluster.val.clusterDim.y = cluster.val.clusterDim.z = 1;
    }
    if (shape.early) {
      cudaLaunchAttribute& early = attributes[configuration.numAttrs++];
      early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
      early.val.programmaticStreamSerializationAllowed = 1;
    }
    return with_addresses(configuration, static_cast<Parameters>(arguments)...);
  }

 private:
  template <class... Parameters>
  Status with_addresses(const cudaLaunchConfig_t& configuration, Parameters... parameters) const noexcept {
    void* addresses[] = {static_cast<void*>(&parameters)...};
    return status_of(cudaLaunchKernelExC(&configuration, handle, addresses), "launch");
  }
};
}  // namespace detail

namespace detail {
/// Is never launched: its static shared memory says what the unit was compiled for.
template <int Unit = 0>
__global__ void compiled_for(int* out) {
#if defined(PLANISH_HAS_GROUP_PRODUCTS)
  __shared__ int words[64];
#else
  __shared__ int words[8];
#endif
  words[threadIdx.x % 8] = static_cast<int>(threadIdx.x);
  out[threadIdx.x] = words[threadIdx.x % 8];
}
}  // namespace detail

/// What the plans need to know of a device. Call it once, with that device current.
[[nodiscard]] inline Result<DeviceCapabilities> query_device(int device) noexcept {
  DeviceCapabilities found;
  const struct {
    cudaDeviceAttr attribute;
    int* value;
  } all[] = {{cudaDevAttrComputeCapabilityMajor, &found.major},
             {cudaDevAttrComputeCapabilityMinor, &found.minor},
             {cudaDevAttrMultiProcessorCount, &found.multiprocessors},
             {cudaDevAttrMaxSharedMemoryPerBlockOptin, &found.shared_bytes}};
  for (const auto& [attribute, value] : all)
    if (Status status = detail::status_of(cudaDeviceGetAttribute(value, attribute, device), "asking a device");
        !status.ok())
      return status;
  cudaFuncAttributes attributes;
  if (Status status = detail::status_of(cudaFuncGetAttributes(&attributes, detail::compiled_for<>), "asking a kernel");
      !status.ok())
    return status;
  // Of the driver that is loaded anyway: nothing is linked against it, and an old one merely has none.
  cudaDriverEntryPointQueryResult result;
  if (cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found.encode_rows, 12000, cudaEnableDefault,
                                       &result) != cudaSuccess ||
      result != cudaDriverEntryPointSuccess)
    found.encode_rows = nullptr;
  found.group_products = found.major == 9 && found.minor == 0 && attributes.sharedSizeBytes >= 64 * sizeof(int);
  return found;
}

/// Makes the kernel of a plan launchable on the current device: once per plan, before its first launch.
template <class Plan, class Arguments>
[[nodiscard]] Status prepare(const Plan& plan, const Arguments& shape_of_arguments) noexcept {
  return dispatch(plan, shape_of_arguments, detail::PrepareKernel{detail::kernel_of(plan, shape_of_arguments)});
}

/// Starts the kernel of a plan on a stream. Errors: arguments of another shape, what the launch itself reports.
template <class Plan, class Arguments>
[[nodiscard]] Status launch(const Plan& plan, const Arguments& arguments, cudaStream_t stream) noexcept {
  if (Status status = check(plan, arguments); !status.ok()) return status;
  return dispatch(plan, arguments, detail::LaunchKernel{detail::kernel_of(plan, arguments), stream});
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
