// The emulated instructions of pipeline.cuh: barriers in shared memory, the copy engine; and their laws.
#include <doctest/doctest.h>

#include <planish/kernels/cuda/pipeline.cuh>
#include <planish/kernels/cuda/pipeline_output.cuh>

#include "emulator.hpp"
#include "emulator_machine.hpp"

namespace emulator {
namespace {

/// A barrier's word: arrivals that end a phase, those still missing, the parity of the phase, bytes still missing.
struct Phase {
  int arrivals, missing, parity, bytes;

  static Phase of(std::uint64_t state) {
    return {static_cast<int>(state & 0xff), static_cast<int>(state >> 8 & 0xff), static_cast<int>(state >> 16 & 1),
            static_cast<int>(static_cast<std::int64_t>(state) >> 32)};
  }
  [[nodiscard]] std::uint64_t state() const {
    return static_cast<std::uint64_t>(arrivals) | static_cast<std::uint64_t>(missing) << 8 |
           static_cast<std::uint64_t>(parity) << 16 | static_cast<std::uint64_t>(std::int64_t{bytes}) << 32;
  }
};

/// Arrivals and bytes at a barrier, and the next phase where they were the last.
void change(std::uint64_t& state, int arrivals, int bytes) {
  Phase phase = Phase::of(state);
  machine.require(phase.arrivals > 0 && phase.missing >= arrivals);
  phase.missing -= arrivals;
  phase.bytes += bytes;
  if (phase.missing == 0 && phase.bytes == 0) {
    phase.parity ^= 1;
    phase.missing = phase.arrivals;
  }
  state = phase.state();
}

bool is_barrier(const void* barrier) {
  return machine.in_shared(barrier, 8) && reinterpret_cast<std::uintptr_t>(barrier) % 8 == 0;
}

/// The same place in the shared memory of another block of the cluster.
template <class T>
T* there(T* here, int rank) {
  const auto offset = reinterpret_cast<const unsigned char*>(here) - machine.shared_begin();
  return reinterpret_cast<T*>(machine.shared_begin(rank) + offset);
}

void ask(const std::function<void()>& act) { machine.bulk.push_back(act); }

/// For the current fiber, which may wait for it.
void ask_own(const std::function<void()>& act) {
  const auto done = std::make_shared<bool>(false);
  machine.self().bulk.push_back(done);
  ask([=] {
    act();
    *done = true;
  });
}

}  // namespace

int phase_parity(std::uint64_t state) { return Phase::of(state).parity; }

}  // namespace emulator

namespace planish::inline PLANISH_ABI::kernels::cuda {

using emulator::machine;

bool describe_rows(void* encode, const ByteRows& rows, int box_rows, TensorMap& map) noexcept {
  const emulator::EmulatedMap made{static_cast<unsigned char*>(const_cast<void*>(rows.data)),
                                   rows.rows,
                                   rows.columns,
                                   rows.stride,
                                   box_rows,
                                   1,
                                   0,
                                   box_columns};
  std::memcpy(&map, &made, sizeof made);
  return encode != nullptr && reinterpret_cast<std::uintptr_t>(rows.data) % 16 == 0 && rows.stride % 16 == 0 &&
         rows.rows > 0 && rows.columns > 0 && rows.stride >= rows.columns && box_rows > 0 && box_rows <= 256;
}

bool describe_matrices(void* encode, const ByteMatrices& matrices, int columns, int box_rows, TensorMap& map) noexcept {
  if (!describe_rows(encode, matrices.rows, box_rows, map)) return false;
  emulator::EmulatedMap made;
  std::memcpy(&made, &map, sizeof made);
  made.matrices = matrices.count;
  made.distance = matrices.distance;
  made.box_columns = columns;
  std::memcpy(&map, &made, sizeof made);
  return (columns == 64 || columns == 128) && matrices.count > 0 && matrices.distance > 0 &&
         matrices.distance % 16 == 0;
}

void start_barrier(MemoryBarrier* barrier, int arrivals) noexcept {
  machine.require(emulator::is_barrier(barrier) && arrivals > 0 && arrivals < 256);
  barrier->state = emulator::Phase{arrivals, arrivals, 0, 0}.state();
}
void arrive_expecting(MemoryBarrier* barrier, int bytes) noexcept {
  machine.require(emulator::is_barrier(barrier));
  emulator::change(barrier->state, 1, bytes);
}
void arrive(MemoryBarrier* barrier) noexcept {
  machine.require(emulator::is_barrier(barrier));
  emulator::change(barrier->state, 1, 0);
}
void wait_phase(MemoryBarrier* barrier, int parity) noexcept {
  machine.require(emulator::is_barrier(barrier));
  if (emulator::phase_parity(barrier->state) != parity) return;
  machine.self().phase = &barrier->state;
  machine.self().parity = parity;
  emulator::yield();
}

void copy_bulk(void* shared, const void* global, int bytes, MemoryBarrier* barrier) noexcept {
  machine.require(machine.in_shared(shared, bytes) && reinterpret_cast<std::uintptr_t>(shared) % 16 == 0 &&
                  reinterpret_cast<std::uintptr_t>(global) % 16 == 0 && bytes > 0 && bytes % 16 == 0);
  emulator::ask([=] {
    std::memcpy(shared, global, static_cast<std::size_t>(bytes));
    emulator::change(barrier->state, 0, -bytes);
  });
}
void copy_box(void* shared, const TensorMap* map, int column, int row, MemoryBarrier* barrier) noexcept {
  copy_box(shared, map, column, row, 0, barrier);
}
void copy_box(void* shared, const TensorMap* map, int column, int row, int matrix, MemoryBarrier* barrier) noexcept {
  emulator::EmulatedMap rows;
  std::memcpy(&rows, map, sizeof rows);
  const int across = static_cast<int>(rows.box_columns), exchanged = across == 64 ? 2 : 1;  // rows of the same exchange
  const auto bytes = static_cast<int>(rows.box_rows * across);
  machine.require(machine.in_shared(shared, bytes) &&
                  reinterpret_cast<std::uintptr_t>(shared) % static_cast<unsigned>(8 * across) == 0);
  auto* const to = static_cast<unsigned char*>(shared);
  emulator::ask([=] {
    for (std::int64_t r = 0; r < rows.box_rows; ++r)
      for (int c = 0; c < across; ++c) {
        const bool inside = row + r < rows.rows && column + c < rows.columns && matrix < rows.matrices;
        to[r * across + (c / 16 ^ r / exchanged % (across / 16)) * 16 + c % 16] =
            inside ? rows.data[matrix * rows.distance + (row + r) * rows.stride + column + c] : std::uint8_t{0};
      }
    emulator::change(barrier->state, 0, -bytes);
  });
}

void store_box(const TensorMap* map, const void* shared, int column, int row) noexcept {
  emulator::EmulatedMap rows;
  std::memcpy(&rows, map, sizeof rows);
  // Of a piece of 16 bytes that is partly outside of the rows, the engine writes all.
  machine.require(machine.in_shared(shared, static_cast<int>(rows.box_rows * box_columns)) &&
                  reinterpret_cast<std::uintptr_t>(shared) % 1024 == 0 && rows.columns % 16 == 0);
  const auto* const from = static_cast<const unsigned char*>(shared);
  emulator::ask_own([=] {
    for (std::int64_t r = 0; r < rows.box_rows && row + r < rows.rows; ++r)
      for (int c = 0; c < box_columns && column + c < rows.columns; ++c)
        rows.data[(row + r) * rows.stride + column + c] = from[r * box_columns + (c / 16 ^ r % 8) * 16 + c % 16];
  });
}
void commit_bulk() noexcept {}  // every store and addition is a group
void wait_bulk_read_until(int pending) noexcept {
  auto& bulk = machine.self().bulk;
  while (bulk.size() > static_cast<std::size_t>(pending)) {
    while (!*bulk.front()) emulator::yield();
    bulk.erase(bulk.begin());
  }
}
Vector16 load_of_block(const void* shared, int rank) noexcept {
  machine.require(machine.in_shared(shared, 16) && rank >= 0 && rank < machine.cluster &&
                  reinterpret_cast<std::uintptr_t>(shared) % 16 == 0);
  return *emulator::there(static_cast<const Vector16*>(shared), rank);
}
void cluster_barrier() noexcept { emulator::meet(machine.whole_cluster, machine.cluster * machine.threads); }

}  // namespace planish::inline PLANISH_ABI::kernels::cuda

namespace {

namespace cuda = planish::kernels::cuda;

TEST_CASE("a phase ends with its last arrival and its last byte; a cluster reads each other's memory") {
  alignas(16) static unsigned char rows[5 * 256];
  for (int i = 0; i < 5 * 256; ++i) rows[i] = static_cast<unsigned char>(i / 256 * 16 + i % 256 / 16 + 1);
  cuda::TensorMap map{};
  int encode = 0, early = 0, wrong = 0;
  REQUIRE(cuda::describe_rows(&encode, {rows, 5, 130, 256}, 8, map));
  for (std::uint64_t seed = 0; seed < 20; ++seed)
    emulator::run({4, 32, 4096, 2}, seed, [&] {
      unsigned char* const memory = cuda::shared_memory();
      unsigned char* const box = memory + (1024 - reinterpret_cast<std::uintptr_t>(memory) % 1024) % 1024;
      auto* const barrier = reinterpret_cast<cuda::MemoryBarrier*>(box + 1024);
      if (cuda::thread_index() == 0) cuda::start_barrier(barrier, 2);
      cuda::block_barrier();
      const int rank = cuda::block_index() % 2;
      if (cuda::thread_index() == 0) {
        cuda::arrive_expecting(barrier, 1024);
        cuda::copy_box(box, &map, rank * 128, 0, barrier);
        early += emulator::phase_parity(barrier->state) != 0;
      }
      if (cuda::thread_index() == 1) cuda::arrive(barrier);
      cuda::wait_phase(barrier, 0);
      cuda::cluster_barrier();
      for (int at = 16 * cuda::thread_index(); at < 1024; at += 16 * 32) {
        const cuda::Vector16 theirs = cuda::load_of_block(box + at, 1 - rank);
        const int row = at / 128, column = (1 - rank) * 128 + (at % 128 / 16 ^ row % 8) * 16;
        const bool inside = row < 5 && column < 130;
        wrong += static_cast<int>(theirs.words[0] & 0xffu) != (inside ? row * 16 + column / 16 + 1 : 0);
      }
      cuda::cluster_barrier();
    });
  CHECK(early == 0);
  CHECK(wrong == 0);
  CHECK(emulator::faults() == 0);
}

TEST_CASE("boxes of matrices come with their pieces exchanged, 128 or 64 bytes wide") {
  // Two matrices of three rows of 96 bytes, 400 bytes apart; a byte says where it lies.
  alignas(16) static unsigned char bytes[800];
  for (int i = 0; i < 800; ++i)
    bytes[i] = static_cast<unsigned char>(i / 400 * 128 + i % 400 / 96 * 16 + i % 400 % 96 / 16 + 1);
  int encode = 0, wrong = 0;
  for (const int across : {128, 64}) {
    cuda::TensorMap map{};
    REQUIRE(cuda::describe_matrices(&encode, {{bytes, 3, 96, 96}, 2, 400}, across, 3, map));
    emulator::run({1, 32, 4096}, 5, [&] {
      unsigned char* const memory = cuda::shared_memory();
      unsigned char* const box = memory + (1024 - reinterpret_cast<std::uintptr_t>(memory) % 1024) % 1024;
      auto* const barrier = reinterpret_cast<cuda::MemoryBarrier*>(box + 1024);
      if (cuda::thread_index() == 0) {
        cuda::start_barrier(barrier, 1);
        cuda::arrive_expecting(barrier, 3 * across);
        cuda::copy_box(box, &map, 128 - across, 0, 1, barrier);
      }
      cuda::block_barrier();
      cuda::wait_phase(barrier, 0);
      if (cuda::thread_index() != 0) return;
      for (int row = 0; row < 3; ++row)
        for (int piece = 0; piece < across / 16; ++piece) {
          const int column = (128 - across) / 16 + piece;
          const int at = row * across + (piece ^ (across == 64 ? row / 2 % 4 : row % 8)) * 16;
          wrong += box[at] != (column < 6 ? 128 + row * 16 + column + 1 : 0);
        }
    });
  }
  CHECK(wrong == 0);
  CHECK(emulator::faults() == 0);
}

TEST_CASE("a phase that nobody ends is a fault") {
  const int before = emulator::faults();
  emulator::run({1, 32, 64}, 1, [] {
    auto* const barrier = reinterpret_cast<cuda::MemoryBarrier*>(cuda::shared_memory());
    if (cuda::thread_index() == 0) cuda::start_barrier(barrier, 2);
    cuda::block_barrier();
    if (cuda::thread_index() == 0) cuda::arrive(barrier);
    cuda::wait_phase(barrier, 0);
  });
  CHECK(emulator::faults() == before + 1);
  emulator::forget_faults();
}

TEST_CASE("a box that is stored lies where one would be read, and nowhere else") {
  alignas(16) static unsigned char rows[6 * 192];
  cuda::TensorMap map{};
  int encode = 0, wrong = 0;
  REQUIRE(cuda::describe_rows(&encode, {rows, 5, 144, 192}, 8, map));
  emulator::run({1, 32, 4096}, 3, [&] {
    unsigned char* const memory = cuda::shared_memory();
    unsigned char* const box = memory + (1024 - reinterpret_cast<std::uintptr_t>(memory) % 1024) % 1024;
    for (int at = cuda::thread_index(); at < 1024; at += 32) box[at] = static_cast<unsigned char>(at % 251 + 1);
    cuda::block_barrier();
    if (cuda::thread_index() != 0) return;
    cuda::store_box(&map, box, 128, 2);
    cuda::commit_bulk();
    cuda::wait_bulk_read<0>();
  });
  for (int row = 0; row < 6; ++row)
    for (int column = 0; column < 192; ++column) {
      const int r = row - 2, c = column - 128;
      const bool inside = r >= 0 && row < 5 && c >= 0 && column < 144;
      wrong += rows[row * 192 + column] != (inside ? (r * 128 + (c / 16 ^ r) * 16 + c % 16) % 251 + 1 : 0);
    }
  CHECK(wrong == 0);
  CHECK(emulator::faults() == 0);
}

}  // namespace
