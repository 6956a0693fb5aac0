#pragma once
// What the checks and measurements on a device share: memory, timing, records.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include <planish/kernels/cuda/launch.cuh>

namespace device {

inline void require(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "planish-cuda-check: %s: %s\n", what, cudaGetErrorString(error));
  std::exit(3);
}
inline void require(const planish::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "planish-cuda-check: %.*s\n", static_cast<int>(status.message().size()),
               status.message().data());
  std::exit(3);
}

/// One large allocation, handed out front to back and given back all at once.
class Arena {
 public:
  explicit Arena(std::size_t bytes) : size_(bytes) { require(cudaMalloc(&memory_, bytes), "cudaMalloc"); }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena() { cudaFree(memory_); }

  template <class T>
  T* take(std::int64_t count) {
    const std::size_t bytes = (static_cast<std::size_t>(count) * sizeof(T) + 511) / 256 * 256;
    if (used_ + bytes > size_) {
      std::fprintf(stderr, "planish-cuda-check: the arena is too small\n");
      std::exit(3);
    }
    auto* place = reinterpret_cast<T*>(static_cast<char*>(memory_) + used_);
    used_ += bytes;
    return place;
  }
  template <class T>
  T* upload(const T* data, std::int64_t count) {
    T* place = take<T>(count);
    require(cudaMemcpy(place, data, static_cast<std::size_t>(count) * sizeof(T), cudaMemcpyHostToDevice), "upload");
    return place;
  }
  template <class T>
  T* upload(const std::vector<T>& data) {
    return upload(data.data(), static_cast<std::int64_t>(data.size()));
  }
  /// Everything back; what was used is overwritten, so that nobody reads the results of a case before.
  void reset() {
    require(cudaMemset(memory_, 0xa5, std::min(size_, used_ + 4096)), "cudaMemset");
    used_ = 0;
  }
  [[nodiscard]] std::size_t left() const { return size_ - used_; }

 private:
  void* memory_ = nullptr;
  std::size_t size_, used_ = 0;
};

template <class T>
std::vector<T> download(const T* place, std::int64_t count) {
  std::vector<T> data(static_cast<std::size_t>(count));
  require(cudaMemcpy(data.data(), place, data.size() * sizeof(T), cudaMemcpyDeviceToHost), "download");
  return data;
}

/// Random words on the device: bytes as they come, or values of a float type in about ±1.
enum class Fill { bytes, bfloat16, half, small_floats };

void fill(void* data, std::int64_t bytes, Fill kind, std::uint64_t seed);

struct Context {
  Arena* arena;
  planish::kernels::cuda::DeviceCapabilities capabilities;
  cudaStream_t stream;
  int* failures;
  double copy_bytes_per_second = 0.0;
};

/// Microseconds per call: a graph of `sets` calls, each on operands of its own, replayed after the cache was swept;
/// the median of `replays`.
double time_graph(const Context& context, int sets, const std::function<void(int set)>& call, int replays = 15);

/// As many operand sets as keep caches cold: together over 256 MB, between 3 and 64.
inline int sets_of(double bytes) { return std::clamp(static_cast<int>(256e6 / bytes) + 1, 3, 64); }

/// One measured figure; printed, and kept for the JSON.
void record(const std::string& name, double microseconds, double bytes, double operations, const std::string& note);
void record_check(const std::string& name, bool passed);
bool write_records(const char* path, const std::string& device_name);

void check_rows(Context& context);
void bench_rows(Context& context);
void check_kronecker(Context& context);
void bench_kronecker(Context& context);
void check_multiply(Context& context);
void bench_multiply(Context& context);
void check_cache(Context& context);
void bench_cache(Context& context);
void check_layer_steps(Context& context);
void bench_layer_steps(Context& context);
void check_group_scales(Context& context);
void bench_group_scales(Context& context);
void check_weight_only(Context& context);
void bench_weight_only(Context& context);
void bench_libraries(Context& context);

}  // namespace device
