// planish-cuda-check [JSON [--checks [PART...] [--without-clusters]]]: every CUDA kernel against the CPU reference,
// then times beside the copy bandwidth and cuBLASLt of the same run. --checks: no times, and only the checks of the
// parts named, rows, kronecker, multiply, cache, layer_steps, group_scales and weight_only, if any is;
// --without-clusters: but those whose blocks form clusters. Exit code 0: all checks passed; 77: no device.
#include <string_view>
#include <utility>

#include "device.cuh"

namespace device {
namespace {

struct Record {
  std::string name, note;
  double microseconds, bytes, operations;
};
std::vector<Record> records;
std::vector<std::pair<std::string, bool>> checks;
int left_out = 0;

__global__ void fill_words(std::uint32_t* data, std::int64_t words, Fill kind, std::uint64_t seed) {
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < words;
       i += std::int64_t{gridDim.x} * blockDim.x) {
    std::uint64_t z = seed + 0x9e3779b97f4a7c15u * static_cast<std::uint64_t>(i + 1);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    auto word = static_cast<std::uint32_t>(z);
    // a random sign and fraction below an exponent of −1 or −2
    if (kind == Fill::bfloat16) word = (word & 0x80ff80ffu) | 0x3f003f00u;
    if (kind == Fill::half) word = (word & 0x87ff87ffu) | 0x38003800u;
    if (kind == Fill::small_floats) word = (word & 0x007fffffu) | 0x3c000000u;
    data[i] = word;
  }
}

}  // namespace

void fill(void* data, std::int64_t bytes, Fill kind, std::uint64_t seed) {
  fill_words<<<1024, 256>>>(static_cast<std::uint32_t*>(data), bytes / 4, kind, seed);
  require(cudaGetLastError(), "fill");
}

namespace {

/// Reads what nobody else does. A sweep that wrote would leave lines for the timed calls to write back.
__global__ void read_vectors(const uint4* from, std::int64_t count, std::uint32_t* never) {
  std::uint32_t all = 0;
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < count;
       i += std::int64_t{gridDim.x} * blockDim.x) {
    const uint4 v = from[i];
    all |= v.x | v.y | v.z | v.w;
  }
  if (all != 0) *never = all;  // the memory is of zeros
}

void sweep_cache(cudaStream_t stream) {
  static uint4* memory = nullptr;
  constexpr std::size_t bytes = std::size_t{256} << 20;
  if (memory == nullptr) {
    require(cudaMalloc(&memory, bytes), "cudaMalloc");
    require(cudaMemset(memory, 0, bytes), "cudaMemset");
  }
  read_vectors<<<1056, 512, 0, stream>>>(memory, bytes / sizeof(uint4), reinterpret_cast<std::uint32_t*>(memory));
  require(cudaGetLastError(), "sweep");
}

/// A graph of calls, and how long its replays took.
class Replay {
 public:
  Replay(const Context& context, const Timed& what) : sets_(what.sets) {
    what.call(0);
    require(cudaStreamSynchronize(context.stream), "first call");
    cudaGraph_t graph;
    require(cudaStreamBeginCapture(context.stream, cudaStreamCaptureModeThreadLocal), "capture");
    for (int set = 0; set < sets_; ++set) what.call(set);
    require(cudaStreamEndCapture(context.stream, &graph), "capture");
    require(cudaGraphInstantiate(&graph_, graph, 0), "graph");
    cudaGraphDestroy(graph);
    require(cudaEventCreate(&begin_), "event");
    require(cudaEventCreate(&end_), "event");
  }
  Replay(Replay&& other) noexcept
      : sets_(other.sets_),
        graph_(std::exchange(other.graph_, nullptr)),
        begin_(std::exchange(other.begin_, nullptr)),
        end_(std::exchange(other.end_, nullptr)),
        times_(std::move(other.times_)) {}
  ~Replay() {
    if (graph_ == nullptr) return;
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
    cudaGraphExecDestroy(graph_);
  }

  void run(cudaStream_t stream, bool counts) {
    sweep_cache(stream);
    require(cudaEventRecord(begin_, stream), "event");
    require(cudaGraphLaunch(graph_, stream), "replay");
    require(cudaEventRecord(end_, stream), "event");
    require(cudaEventSynchronize(end_), "replay");
    float milliseconds = 0.0f;
    require(cudaEventElapsedTime(&milliseconds, begin_, end_), "event");
    if (counts) times_.push_back(milliseconds * 1e3 / sets_);
  }
  [[nodiscard]] double median() {
    std::sort(times_.begin(), times_.end());
    return times_[times_.size() / 2];
  }

 private:
  int sets_;
  cudaGraphExec_t graph_ = nullptr;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
  std::vector<double> times_;
};

}  // namespace

std::vector<double> time_in_turns(const Context& context, const std::vector<Timed>& all, int replays) {
  std::vector<Replay> graphs;
  for (const Timed& one : all) graphs.emplace_back(context, one);
  for (int i = 0; i < replays + 2; ++i)
    for (Replay& graph : graphs) graph.run(context.stream, i >= 2);
  std::vector<double> medians;
  for (Replay& graph : graphs) medians.push_back(graph.median());
  return medians;
}

double time_beside(Context& context, const std::string& name, const Timed& product, const Timed& int8,
                   const Timed& bfloat16, double operations) {
  std::vector<Timed> all{product};
  for (const Timed& peer : {int8, bfloat16})
    if (peer.sets > 0) all.push_back(peer);
  const auto times = time_in_turns(context, all);
  std::size_t at = 1;
  if (int8.sets > 0) record(name + "/of_int8", times[at++], 0.0, operations, "cuBLASLt in turns with it");
  if (bfloat16.sets > 0) record(name + "/of_bfloat16", times[at++], 0.0, operations, "cuBLASLt in turns with it");
  return times[0];
}

void record(const std::string& name, double microseconds, double bytes, double operations, const std::string& note) {
  records.push_back({name, note, microseconds, bytes, operations});
  std::printf("%-58s %9.2f us %7.0f GB/s %7.1f Tops  %s\n", name.c_str(), microseconds, bytes / microseconds * 1e-3,
              operations / microseconds * 1e-6, note.c_str());
  std::fflush(stdout);
}

void record_check(const std::string& name, bool passed) {
  checks.emplace_back(name, passed);
  if (!passed) std::printf("FAILED %s\n", name.c_str());
}

bool leaves_out(const Context& context, const planish::kernels::cuda::LaunchShape& launch) {
  const bool leaves = !context.clusters && launch.cluster > 1;
  left_out += leaves ? 1 : 0;
  return leaves;
}

bool write_records(const char* path, const std::string& device_name) {
  std::FILE* file = std::fopen(path, "w");
  if (file == nullptr) return false;
  std::fprintf(file, "{\n  \"device\": \"%s\",\n  \"checks\": [", device_name.c_str());
  for (std::size_t i = 0; i < checks.size(); ++i)
    std::fprintf(file, "%s\n    {\"name\": \"%s\", \"passed\": %s}", i == 0 ? "" : ",", checks[i].first.c_str(),
                 checks[i].second ? "true" : "false");
  std::fprintf(file, "\n  ],\n  \"times\": [");
  for (std::size_t i = 0; i < records.size(); ++i)
    std::fprintf(
        file,
        "%s\n    {\"name\": \"%s\", \"microseconds\": %.3f, \"bytes\": %.0f, \"operations\": %.0f, \"note\": \"%s\"}",
        i == 0 ? "" : ",", records[i].name.c_str(), records[i].microseconds, records[i].bytes, records[i].operations,
        records[i].note.c_str());
  std::fprintf(file, "\n  ]\n}\n");
  return std::fclose(file) == 0;
}

namespace {

__global__ void copy_vectors(const uint4* from, uint4* to, std::int64_t count) {
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} * 4 + threadIdx.x; i < count;
       i += std::int64_t{gridDim.x} * blockDim.x * 4) {
    uint4 v[4];
#pragma unroll
    for (int j = 0; j < 4; ++j)
      if (i + j * blockDim.x < count) v[j] = __ldcs(from + i + j * blockDim.x);
#pragma unroll
    for (int j = 0; j < 4; ++j)
      if (i + j * blockDim.x < count) __stcs(to + i + j * blockDim.x, v[j]);
  }
}

/// The best of a copy by the driver and of copies by kernels.
double copy_bandwidth(const Context& context) {
  constexpr std::int64_t bytes = std::int64_t{1} << 30;
  char* from = context.arena->take<char>(bytes);
  char* to = context.arena->take<char>(bytes);
  fill(from, bytes, Fill::bytes, 1);
  const double driver = time_graph(context, 2, [&](int) {
    require(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, context.stream), "copy");
  });
  record("copy/driver/bytes:1Gi", driver, 2.0 * bytes, 0.0, "");
  double best = driver;
  for (const unsigned blocks : {132u * 4, 132u * 8, 132u * 16, 65536u}) {
    const double t = time_graph(context, 2, [&](int) {
      copy_vectors<<<blocks, 256, 0, context.stream>>>(reinterpret_cast<const uint4*>(from),
                                                       reinterpret_cast<uint4*>(to), bytes / 16);
      require(cudaGetLastError(), "copy");
    });
    record("copy/kernel/blocks:" + std::to_string(blocks) + "/bytes:1Gi", t, 2.0 * bytes, 0.0, "");
    best = std::min(best, t);
  }
  context.arena->reset();
  return 2.0 * bytes / best * 1e6;
}

struct Part {
  std::string_view name;
  void (*check)(Context&);
  void (*bench)(Context&);
};
constexpr Part parts[] = {{"rows", check_rows, bench_rows},
                          {"kronecker", check_kronecker, bench_kronecker},
                          {"multiply", check_multiply, bench_multiply},
                          {"cache", check_cache, bench_cache},
                          {"layer_steps", check_layer_steps, bench_layer_steps},
                          {"group_scales", check_group_scales, bench_group_scales},
                          {"weight_only", check_weight_only, bench_weight_only}};

/// What the command line asks for beside the file.
struct Wanted {
  bool times = true, clusters = true;
  std::vector<Part> parts;

  /// False: it says something else.
  [[nodiscard]] bool read(int count, char** arguments) {
    for (int i = 2; i < count; ++i) {
      const std::string_view word = arguments[i];
      if (word == "--checks") {
        times = false;
      } else if (word == "--without-clusters") {
        clusters = false;
      } else {
        const auto found = std::find_if(std::begin(device::parts), std::end(device::parts),
                                        [&](const Part& part) { return part.name == word; });
        if (found == std::end(device::parts)) return false;
        parts.push_back(*found);
      }
    }
    if (times && count > 2) return false;
    if (parts.empty()) parts.assign(std::begin(device::parts), std::end(device::parts));
    return true;
  }
};

}  // namespace
}  // namespace device

int main(int count, char** arguments) {
  using namespace device;
  Wanted wanted;
  if (!wanted.read(count, arguments)) {
    std::fprintf(stderr, "usage: planish-cuda-check [JSON [--checks [PART...] [--without-clusters]]], PART one of");
    for (const Part& part : parts) std::fprintf(stderr, " %.*s", static_cast<int>(part.name.size()), part.name.data());
    std::fprintf(stderr, "\n");
    return 2;
  }
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::printf("planish-cuda-check: no CUDA device: skipped\n");
    return 77;
  }
  cudaDeviceProp properties;
  require(cudaGetDeviceProperties(&properties, 0), "device");
  auto capabilities = planish::kernels::cuda::query_device(0);
  require(capabilities.status());
  std::printf("%s, %d multiprocessors, %d bytes of shared memory a block\n", properties.name,
              capabilities->multiprocessors, capabilities->shared_bytes);
  int failures = 0;
  {
    Arena arena(std::size_t{wanted.times ? 24u : 4u} << 30);  // parts may be checked side by side
    cudaStream_t stream;
    require(cudaStreamCreate(&stream), "stream");
    Context context{&arena, *capabilities, stream, &failures, wanted.clusters};
    for (const Part& part : wanted.parts) part.check(context);
    for (const auto& check : checks) failures += check.second ? 0 : 1;
    std::printf("%zu checks, %d failed", checks.size(), failures);
    if (left_out > 0) std::printf("; %d products of clusters left out", left_out);
    std::printf("\n");
    if (wanted.times) {
      context.copy_bytes_per_second = copy_bandwidth(context);
      for (const Part& part : wanted.parts) part.bench(context);
    }
    require(cudaDeviceSynchronize(), "the end");
  }
  if (count > 1 && !write_records(arguments[1], properties.name)) {
    std::fprintf(stderr, "planish-cuda-check: cannot write %s\n", arguments[1]);
    return 3;
  }
  std::printf(failures == 0 ? "all checks passed\n" : "CHECKS FAILED\n");
  return failures == 0 ? 0 : 1;
}
