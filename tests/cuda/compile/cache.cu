// A third unit: the KV cache. Defined for the program of rows.cu.
#include <planish/cuda.cuh>

namespace pl = planish;
namespace pc = planish::kernels::cuda;

pl::Status cache_once(const pc::DeviceCapabilities& device);

pl::Status cache_once(const pc::DeviceCapabilities& device) {
  const pc::CacheShape cache{8, 128, 4, 4};
  const auto append = pc::plan_append({cache, 1, 1}, device);
  const auto rows = pc::plan_dequantize_cache({cache, 1, 64}, device);
  if (!append) return append.status();
  if (!rows) return rows.status();
  for (const int heads : {32, 128}) {
    const auto attend = pc::plan_attend({cache, 1, heads, 1, 1024}, device);
    if (!attend) return attend.status();
    if (auto status = pc::prepare(*attend, pc::AttendArguments{}); !status.ok()) return status;
  }
  if (auto status = pc::prepare(*append, pc::AppendArguments{}); !status.ok()) return status;
  return pc::prepare(*rows, pc::DequantizeCacheArguments{});
}
