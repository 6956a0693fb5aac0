#pragma once
// What every part of a pass is started with, and how.
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include <planish/kernels/cuda/launch.cuh>
#include <planish/packing/quantized_rows.hpp>

#include "../require.hpp"
#include "memory.cuh"

namespace llama::gpu {

/// Where a pass runs and what its parts share, because only one runs at a time.
struct Run {
  planish::kernels::cuda::DeviceCapabilities device;
  cudaStream_t stream = nullptr;
  void* zeroed = nullptr;            // the workspace of planish's kernels: zero between launches
  float* values = nullptr;           // of codes that float weights meet: most rows × most columns
  std::int32_t* bad_rows = nullptr;  // counts rows with NaN or infinity
};

/// What a matrix reads: codes, or floats where `values` is not null.
struct SiteInput {
  const float* values = nullptr;
  planish::QuantizedRowsView codes;
};

/// Whether a kernel was made launchable with as much shared memory already; else it counts as such from now on. Of the
/// whole program: so is what `prepare` sets.
[[nodiscard]] inline bool was_prepared(const void* kernel, int shared_bytes) {
  static std::mutex mutex;
  static std::map<const void*, int> bytes;
  const std::lock_guard lock(mutex);
  const auto [place, is_new] = bytes.try_emplace(kernel, shared_bytes);
  if (!is_new && place->second >= shared_bytes) return true;
  place->second = shared_bytes;
  return false;
}

/// Starts a kernel of planish. Its plan may have failed: then in its own words, behind `where`.
template <class Plan, class Arguments>
void launch(const planish::Result<Plan>& plan, const Arguments& arguments, const Run& run, std::string_view where) {
  if (!plan) llama::require(plan.status(), where);
  const auto prepare_once = [&](auto kernel, const planish::kernels::cuda::LaunchShape& shape,
                                const auto&...) -> planish::Status {
    if (was_prepared(reinterpret_cast<const void*>(kernel), shape.shared_bytes)) return {};
    return planish::kernels::cuda::prepare(*plan, arguments);
  };
  llama::require(dispatch(*plan, arguments, prepare_once), where);
  llama::require(planish::kernels::cuda::launch(*plan, arguments, run.stream), where);
}

/// Starts a kernel of the host's own.
template <class... Parameters, class... Arguments>
void start(void (*kernel)(Parameters...), std::int64_t blocks, int threads, int shared_bytes, const Run& run,
           const Arguments&... arguments) {
  if (blocks == 0) return;
  kernel<<<static_cast<unsigned>(blocks), static_cast<unsigned>(threads), static_cast<std::size_t>(shared_bytes),
           run.stream>>>(arguments...);
  require(cudaGetLastError(), "starting a kernel");
}

}  // namespace llama::gpu
