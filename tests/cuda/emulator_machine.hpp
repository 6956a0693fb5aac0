#pragma once
// The state of the emulated machine, for the files that emulate its instructions.
#include <array>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <setjmp.h>
#include <ucontext.h>
#include <vector>

#include <planish/core/random.hpp>
#include <planish/kernels/cuda/tensor_map.cuh>

namespace emulator {

struct Barrier {
  int arrived = 0;
  std::uint64_t generation = 0;
};

struct Copy {
  unsigned char* to;
  const unsigned char* from;
  int bytes;
};

struct Fiber {
  ucontext_t start;
  jmp_buf resume;
  std::unique_ptr<unsigned char[]> stack;
  bool begun = false, done = false;
  const Barrier* waits = nullptr;
  std::uint64_t seen = 0;
  const std::uint64_t* phase = nullptr;  // of a barrier in shared memory, whose parity must leave `parity`
  int parity = 0;
  std::vector<std::shared_ptr<bool>> bulk;  // stores and additions in bulk, oldest first: whether they are done
  std::deque<std::vector<Copy>> groups;     // committed, oldest first
  std::vector<Copy> open;
};

constexpr std::size_t stack_bytes = 64 * 1024, red_zone = 256;

struct Machine {
  std::vector<Fiber> fibers;
  std::vector<unsigned char> shared;
  std::vector<std::array<Barrier, 16>> barriers;  // per block of the cluster
  Barrier whole_cluster;
  std::vector<Barrier> warps;
  std::vector<std::uint32_t> slots;         // 16 words per thread
  std::vector<std::function<void()>> bulk;  // what the copy engine was asked for and has not done
  const std::function<void()>* body = nullptr;
  jmp_buf scheduler;
  int current = 0, block = 0, blocks = 0, threads = 0, shared_bytes = 0, faults = 0;
  int cluster = 1;  // blocks that run at the same time; `block` is the first of them

  [[nodiscard]] int rank() const { return current / threads; }
  /// Shared memory of a block of the cluster; all of them have the same place in 1024 bytes.
  [[nodiscard]] std::size_t shared_stride() const {
    return (static_cast<std::size_t>(shared_bytes) + red_zone + 1023) / 1024 * 1024;
  }
  unsigned char* shared_begin(int rank) {
    const auto address = reinterpret_cast<std::uintptr_t>(shared.data());
    return shared.data() + (128 - address % 128) % 128 + static_cast<std::size_t>(rank) * shared_stride();
  }
  unsigned char* shared_begin() { return shared_begin(rank()); }
  void require(bool condition) { faults += condition ? 0 : 1; }
  bool in_shared(const void* p, int bytes) {
    const auto* begin = shared_begin();
    const auto* at = static_cast<const unsigned char*>(p);
    return at >= begin && at + bytes <= begin + shared_bytes;
  }
  Fiber& self() { return fibers[static_cast<std::size_t>(current)]; }
};

extern Machine machine;

inline Barrier& own_barrier(int index) {
  return machine.barriers[static_cast<std::size_t>(machine.rank())][static_cast<std::size_t>(index & 15)];
}

/// Gives the turn to others until what the current fiber waits for has happened.
void yield();
void meet(Barrier& barrier, int count);

inline int lane() { return machine.current % 32; }
inline std::uint32_t* slot(int of_lane) {
  return machine.slots.data() + static_cast<std::size_t>(machine.current / 32 * 32 + of_lane) * 16;
}
inline void meet_warp() { meet(machine.warps[static_cast<std::size_t>(machine.current / 32)], 32); }

/// The parity of the phase that a barrier in shared memory is in.
[[nodiscard]] int phase_parity(std::uint64_t state);

/// What `describe_rows` and `describe_matrices` write here.
struct EmulatedMap {
  unsigned char* data;
  std::int64_t rows, columns, stride, box_rows;
  std::int64_t matrices, distance, box_columns;
};

}  // namespace emulator
