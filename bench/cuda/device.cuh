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
  /// Everything back but the first `kept` bytes; what was used is overwritten, so that nobody reads the results of a
  /// case before.
  void reset(std::size_t kept = 0) {
    require(cudaMemset(static_cast<char*>(memory_) + kept, 0xa5, std::min(size_, used_ + 4096) - kept), "cudaMemset");
    used_ = kept;
  }
  [[nodiscard]] std::size_t used() const { return used_; }
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
  bool clusters = true;  // blocks that form them run
  double copy_bytes_per_second = 0.0;
};

/// What is timed: `sets` calls, each on operands of its own.
struct Timed {
  int sets = 0;
  std::function<void(int set)> call;
};

/// Microseconds per call of each: graphs of its calls, replayed in turns, so that a clock that moves moves for all; a
/// sweep before every replay leaves nothing of the operands in the cache, and nothing there that is still to be
/// written. Medians of `replays`.
std::vector<double> time_in_turns(const Context& context, const std::vector<Timed>& all, int replays = 15);
inline double time_graph(const Context& context, int sets, const std::function<void(int)>& call, int replays = 15) {
  return time_in_turns(context, {{sets, call}}, replays)[0];
}

/// As many operand sets as keep caches cold: together over 256 MB, between 3 and 64.
inline int sets_of(double bytes) { return std::clamp(static_cast<int>(256e6 / bytes) + 1, 3, 64); }

/// One measured figure; printed, and kept for the JSON.
void record(const std::string& name, double microseconds, double bytes, double operations, const std::string& note);
void record_check(const std::string& name, bool passed);
/// Whether a check is not to run because its blocks form clusters; counted.
[[nodiscard]] bool leaves_out(const Context& context, const planish::kernels::cuda::LaunchShape& launch);
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

/// cuBLASLt's products, int8 to int8 and bfloat16, by the quickest of the eight algorithms that it proposes.
enum class Library { int8, bfloat16 };
/// Its calls for a shape, on operands of the arena's; `sets` is 0 where the library is not found or has no algorithm.
Timed library_product(Context& context, Library kind, int rows, int channels, int columns);
/// Times of a product and of the library's in turns: that of the product, of int8 and of bfloat16, 0 where there is
/// none. Records the library's as NAME/of_int8 and NAME/of_bfloat16.
double time_beside(Context& context, const std::string& name, const Timed& product, const Timed& int8,
                   const Timed& bfloat16, double operations);

}  // namespace device
