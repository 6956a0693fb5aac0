// The emulator itself: fibers, barriers, and the instructions of warp.cuh; and the laws of the fragment maps.
#include "emulator.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include <doctest/doctest.h>

#include <planish/kernels/cuda/kronecker_factors.cuh>
#include <planish/kernels/cuda/matrix_fragments.cuh>

#include "emulator_machine.hpp"

namespace emulator {

Machine machine;

void yield() {
  Fiber& self = machine.self();
  if (_setjmp(self.resume) == 0) _longjmp(machine.scheduler, 1);
}

void meet(Barrier& barrier, int count) {
  Fiber& self = machine.self();
  if (++barrier.arrived == count) {
    barrier.arrived = 0;
    ++barrier.generation;
    return;
  }
  self.waits = &barrier;
  self.seen = barrier.generation;
  yield();
}

void enter() {
  (*machine.body)();
  machine.fibers[static_cast<std::size_t>(machine.current)].done = true;
  _longjmp(machine.scheduler, 1);
}

/// Gives one fiber its turn. Out of the loop below, because variables do not survive a jump.
__attribute__((noinline)) void turn(int index) {
  Fiber& fiber = machine.fibers[static_cast<std::size_t>(index)];
  machine.current = index;
  if (_setjmp(machine.scheduler) != 0) return;
  if (fiber.begun) _longjmp(fiber.resume, 1);
  fiber.begun = true;
  setcontext(&fiber.start);
}

/// Whether a fiber could go on.
bool ready(const Fiber& fiber) {
  return !fiber.done && (fiber.waits == nullptr || fiber.waits->generation != fiber.seen) &&
         (fiber.phase == nullptr || phase_parity(*fiber.phase) != fiber.parity);
}

/// The copy engine does one of the things that it was asked for, whichever it likes.
bool do_one_copy(planish::Random& random) {
  if (machine.bulk.empty()) return false;
  const auto at = static_cast<std::ptrdiff_t>(random.below(machine.bulk.size()));
  const auto copy = std::move(machine.bulk[static_cast<std::size_t>(at)]);
  machine.bulk.erase(machine.bulk.begin() + at);
  copy();
  return true;
}

/// The blocks of one cluster, at the same time.
void run_cluster(planish::Random& random) {
  const int threads = machine.threads * machine.cluster;
  for (int i = 0; i < threads; ++i) {
    Fiber& fiber = machine.fibers[static_cast<std::size_t>(i)];
    if (!fiber.stack) fiber.stack = std::make_unique<unsigned char[]>(stack_bytes);
    fiber.begun = fiber.done = false;
    fiber.waits = nullptr;
    fiber.phase = nullptr;
    fiber.bulk.clear();
    fiber.groups.clear();
    fiber.open.clear();
    getcontext(&fiber.start);
    fiber.start.uc_stack.ss_sp = fiber.stack.get();
    fiber.start.uc_stack.ss_size = stack_bytes;
    fiber.start.uc_link = nullptr;
    makecontext(&fiber.start, enter, 0);
  }
  machine.barriers.assign(static_cast<std::size_t>(machine.cluster), {});
  machine.whole_cluster = {};
  machine.bulk.clear();
  for (Barrier& barrier : machine.warps) barrier = {};
  std::fill(machine.shared.begin(), machine.shared.end(), std::uint8_t{0xff});  // NaN, −1: what nobody wrote
  int left = threads;
  while (left > 0) {
    bool moved = random.below(8) == 0 && do_one_copy(random);
    const int first = static_cast<int>(random.below(static_cast<std::uint64_t>(threads)));
    const bool back = random.below(2) != 0;
    for (int i = 0; i < threads; ++i) {
      const int index = (back ? first + threads - i : first + i) % threads;
      Fiber& fiber = machine.fibers[static_cast<std::size_t>(index)];
      if (!ready(fiber)) continue;
      fiber.waits = nullptr;
      fiber.phase = nullptr;
      turn(index);
      moved = true;
      left -= fiber.done ? 1 : 0;
    }
    if (!moved && !do_one_copy(random)) {  // deadlock
      ++machine.faults;
      return;
    }
  }
  machine.require(machine.bulk.empty());  // nobody ends while something still comes
  for (int rank = 0; rank < machine.cluster; ++rank) {
    const unsigned char* end = machine.shared_begin(rank) + machine.shared_bytes;
    for (std::size_t i = 0; i < red_zone / 2; ++i) machine.require(end[i] == 0xff);
  }
}

namespace {

float half_of(planish::BFloat16, std::uint32_t word, int h) {
  return planish::BFloat16{static_cast<std::uint16_t>(word >> (16 * h))}.to_float();
}
float half_of(planish::Half, std::uint32_t word, int h) {
  return planish::Half{static_cast<std::uint16_t>(word >> (16 * h))}.to_float();
}

void publish(const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  std::copy(a, a + 4, slot(lane()));
  slot(lane())[4] = b0;
  slot(lane())[5] = b1;
  meet_warp();
}

// The PTX manual's fragments, spelled out here a second time on purpose.
template <class E>
void floats(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  publish(a, b0, b1);
  const int group = lane() / 4, quad = lane() % 4;
  for (int r = 0; r < 4; ++r) {
    const int row = group + (r >= 2 ? 8 : 0), column = 2 * quad + (r & 1);
    double sum = 0.0;
    for (int k = 0; k < 16; ++k) {
      const int from = k % 8 / 2;
      const float x = half_of(E{}, slot(row % 8 * 4 + from)[(row >= 8 ? 1 : 0) + (k >= 8 ? 2 : 0)], k % 2);
      const float y = half_of(E{}, slot(column * 4 + from)[4 + (k >= 8 ? 1 : 0)], k % 2);
      sum += double{x} * double{y};
    }
    d[r] = static_cast<float>(double{d[r]} + sum);
  }
  meet_warp();
}

/// 64 × 2·Registers × 32 signed bytes; rows as below.
template <int Registers>
void group_bytes(int (&d)[Registers], const std::uint32_t (&a)[4], const unsigned char* rows, int byte, bool add) {
  machine.require(machine.in_shared(rows, Registers * 256) && reinterpret_cast<std::uintptr_t>(rows) % 1024 == 0);
  publish(a, 0, 0);
  const int group = lane() / 4, quad = lane() % 4;
  for (int i = 0; i < Registers; ++i) {
    const int row = group + (i % 4 >= 2 ? 8 : 0), column = i / 4 * 8 + 2 * quad + i % 2;
    std::uint32_t sum = add ? static_cast<std::uint32_t>(d[i]) : 0;
    for (int k = 0; k < 32; ++k) {
      const std::uint32_t x = slot(row % 8 * 4 + k % 16 / 4)[(row >= 8 ? 1 : 0) + (k >= 16 ? 2 : 0)];
      const int piece = (byte + k) / 16 ^ column % 8;
      const auto y = static_cast<std::int8_t>(rows[column * 128 + piece * 16 + k % 16]);
      sum += static_cast<std::uint32_t>(static_cast<std::int8_t>(x >> (8 * (k % 4))) * y);
    }
    d[i] = static_cast<int>(sum);
  }
  meet_warp();
}

/// 64 × 2·Sums × 16: rows of shared memory have 128 bytes, their pieces of 16 exchanged by the row.
template <class E, int Sums>
void group_floats(float (&d)[Sums], const std::uint32_t (&a)[4], const unsigned char* rows, int byte, bool add) {
  machine.require(machine.in_shared(rows, 2 * Sums * 128) && reinterpret_cast<std::uintptr_t>(rows) % 1024 == 0);
  machine.require(byte >= 0 && byte % 32 == 0 && byte < 128);
  publish(a, 0, 0);
  const int group = lane() / 4, quad = lane() % 4;
  for (int i = 0; i < Sums; ++i) {
    const int row = group + (i % 4 >= 2 ? 8 : 0), column = i / 4 * 8 + 2 * quad + i % 2;
    double sum = 0.0;
    for (int k = 0; k < 16; ++k) {
      const float x = half_of(E{}, slot(row % 8 * 4 + k % 8 / 2)[(row >= 8 ? 1 : 0) + (k >= 8 ? 2 : 0)], k % 2);
      const int at = byte + 2 * k, piece = at / 16 ^ column % 8;
      std::uint16_t bits;
      std::memcpy(&bits, rows + column * 128 + piece * 16 + at % 16, 2);
      sum += double{x} * double{half_of(E{}, bits, 0)};
    }
    d[i] = static_cast<float>((add ? double{d[i]} : 0.0) + sum);
  }
  meet_warp();
}

}  // namespace

int faults() noexcept { return machine.faults; }
void forget_faults() noexcept { machine.faults = 0; }

void run(const planish::kernels::cuda::LaunchShape& shape, std::uint64_t seed, const std::function<void()>& body) {
  planish::Random random(seed);
  const int blocks = shape.blocks, threads = shape.threads * shape.cluster;
  machine.blocks = blocks;
  machine.threads = shape.threads;
  machine.cluster = shape.cluster;
  machine.shared_bytes = shape.shared_bytes;
  machine.require(blocks % shape.cluster == 0 && (shape.cluster == 1 || shape.threads % 32 == 0));
  machine.shared.resize(static_cast<std::size_t>(shape.cluster) * machine.shared_stride() + 128);
  if (machine.fibers.size() < static_cast<std::size_t>(threads))
    machine.fibers = std::vector<Fiber>(static_cast<std::size_t>(threads));
  machine.warps.assign(static_cast<std::size_t>((threads + 31) / 32), Barrier{});
  machine.slots.assign(static_cast<std::size_t>(threads + 31) * 16, 0);
  machine.body = &body;
  const int clusters = blocks / shape.cluster;
  const int first = clusters > 0 ? static_cast<int>(random.below(static_cast<std::uint64_t>(clusters))) : 0;
  for (int i = 0; i < clusters; ++i) {
    machine.block = (first + i) % clusters * shape.cluster;
    run_cluster(random);
  }
}

}  // namespace emulator

namespace planish::inline PLANISH_ABI::kernels::cuda {

using emulator::lane;
using emulator::machine;
using emulator::slot;

int thread_index() noexcept { return machine.current % machine.threads; }
int block_index() noexcept { return machine.block + machine.rank(); }
int block_count() noexcept { return machine.blocks; }
unsigned char* shared_memory() noexcept { return machine.shared_begin(); }
void block_barrier() noexcept { emulator::meet(emulator::own_barrier(0), machine.threads); }
void warp_barrier() noexcept { emulator::meet_warp(); }
void group_barrier(int barrier, int threads) noexcept {
  machine.require(barrier >= 1 && barrier <= 15 && threads % 32 == 0);
  emulator::meet(emulator::own_barrier(barrier), threads);
}
void device_fence() noexcept {}

float shuffle_xor(float value, int mask) noexcept {
  return __builtin_bit_cast(float, shuffle_xor(__builtin_bit_cast(int, value), mask));
}
int shuffle_xor(int value, int mask) noexcept {
  slot(lane())[0] = static_cast<std::uint32_t>(value);
  emulator::meet_warp();
  const int theirs = static_cast<int>(slot(lane() ^ mask)[0]);
  emulator::meet_warp();
  return theirs;
}
int broadcast(int value, int from) noexcept {
  slot(lane())[0] = static_cast<std::uint32_t>(value);
  emulator::meet_warp();
  const int theirs = static_cast<int>(slot(from)[0]);
  emulator::meet_warp();
  return theirs;
}
int atomic_add(std::int32_t* place, int value) noexcept {
  const std::int32_t before = *place;
  *place = static_cast<std::int32_t>(static_cast<std::uint32_t>(before) + static_cast<std::uint32_t>(value));
  return before;
}
std::int32_t load_shared_word(const std::int32_t* place) noexcept { return *place; }
Vector16 load_streaming(const void* global) noexcept {
  machine.require(reinterpret_cast<std::uintptr_t>(global) % 16 == 0);
  Vector16 v;
  std::memcpy(&v, global, 16);
  return v;
}

void copy_async_16(void* shared, const void* global, int bytes) noexcept {
  machine.require(machine.in_shared(shared, 16) && reinterpret_cast<std::uintptr_t>(shared) % 16 == 0 &&
                  reinterpret_cast<std::uintptr_t>(global) % 16 == 0 && bytes >= 0 && bytes <= 16);
  machine.self().open.push_back(
      {static_cast<unsigned char*>(shared), static_cast<const unsigned char*>(global), bytes});
}
void commit_copies() noexcept {
  auto& fiber = machine.self();
  fiber.groups.push_back(std::move(fiber.open));
  fiber.open.clear();
}
void wait_copies_until(int pending) noexcept {
  auto& fiber = machine.self();
  while (fiber.groups.size() > static_cast<std::size_t>(pending)) {
    for (const auto& copy : fiber.groups.front()) {
      std::memset(copy.to, 0, 16);
      std::memcpy(copy.to, copy.from, static_cast<std::size_t>(copy.bytes));
    }
    fiber.groups.pop_front();
  }
}

void load_transposed(std::uint32_t (&r)[4], const void* shared) noexcept {
  machine.require(machine.in_shared(shared, 16) && reinterpret_cast<std::uintptr_t>(shared) % 16 == 0);
  std::memcpy(slot(lane()), shared, 16);
  emulator::meet_warp();
  for (int matrix = 0; matrix < 4; ++matrix) {
    std::uint32_t word = 0;
    for (int h = 0; h < 2; ++h) {
      const int row = 2 * (lane() % 4) + h, column = lane() / 4;
      const std::uint32_t pair = slot(matrix * 8 + row)[column / 2];
      word |= ((pair >> (16 * (column % 2))) & 0xffffu) << (16 * h);
    }
    r[matrix] = word;
  }
  emulator::meet_warp();
}

void load_rows(std::uint32_t (&r)[4], const void* shared) noexcept {
  machine.require(machine.in_shared(shared, 16) && reinterpret_cast<std::uintptr_t>(shared) % 16 == 0);
  std::memcpy(slot(lane()), shared, 16);
  emulator::meet_warp();
  for (int matrix = 0; matrix < 4; ++matrix) r[matrix] = slot(matrix * 8 + lane() / 4)[lane() % 4];
  emulator::meet_warp();
}

void multiply_bytes(int (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) noexcept {
  emulator::publish(a, b0, b1);
  const int group = lane() / 4, quad = lane() % 4;
  for (int r = 0; r < 4; ++r) {
    const int row = group + (r >= 2 ? 8 : 0), column = 2 * quad + (r & 1);
    std::uint32_t sum = static_cast<std::uint32_t>(d[r]);
    for (int k = 0; k < 32; ++k) {
      const int from = k % 16 / 4, shift = 8 * (k % 4);
      const std::uint32_t x = slot(row % 8 * 4 + from)[(row >= 8 ? 1 : 0) + (k >= 16 ? 2 : 0)];
      const std::uint32_t y = slot(column * 4 + from)[4 + (k >= 16 ? 1 : 0)];
      sum += static_cast<std::uint32_t>(static_cast<std::int8_t>(x >> shift) * static_cast<std::int8_t>(y >> shift));
    }
    d[r] = static_cast<int>(sum);
  }
  emulator::meet_warp();
}
void publish_to_products() noexcept {}
void begin_products() noexcept {}
void commit_products() noexcept {}
void wait_products_until(int) noexcept {}
void multiply_group(int (&d)[8], const std::uint32_t (&a)[4], const unsigned char* rows, int byte, bool add) noexcept {
  emulator::group_bytes(d, a, rows, byte, add);
}
void multiply_group(int (&d)[32], const std::uint32_t (&a)[4], const unsigned char* rows, int byte, bool add) noexcept {
  emulator::group_bytes(d, a, rows, byte, add);
}
void multiply_group(int (&d)[64], const std::uint32_t (&a)[4], const unsigned char* rows, int byte, bool add) noexcept {
  emulator::group_bytes(d, a, rows, byte, add);
}
void multiply_group(int (&d)[128], const std::uint32_t (&a)[4], const unsigned char* rows, int byte,
                    bool add) noexcept {
  emulator::group_bytes(d, a, rows, byte, add);
}
void multiply_group(BFloat16, float (&d)[64], const std::uint32_t (&a)[4], const unsigned char* rows, int byte,
                    bool add) noexcept {
  emulator::group_floats<BFloat16>(d, a, rows, byte, add);
}
void multiply_group(Half, float (&d)[64], const std::uint32_t (&a)[4], const unsigned char* rows, int byte,
                    bool add) noexcept {
  emulator::group_floats<Half>(d, a, rows, byte, add);
}
void multiply_group(BFloat16, float (&d)[128], const std::uint32_t (&a)[4], const unsigned char* rows, int byte,
                    bool add) noexcept {
  emulator::group_floats<BFloat16>(d, a, rows, byte, add);
}
void multiply_group(Half, float (&d)[128], const std::uint32_t (&a)[4], const unsigned char* rows, int byte,
                    bool add) noexcept {
  emulator::group_floats<Half>(d, a, rows, byte, add);
}
void multiply_group(BFloat16, float (&d)[32], const std::uint32_t (&a)[4], const unsigned char* rows, int byte,
                    bool add) noexcept {
  emulator::group_floats<BFloat16>(d, a, rows, byte, add);
}
void multiply_group(Half, float (&d)[32], const std::uint32_t (&a)[4], const unsigned char* rows, int byte,
                    bool add) noexcept {
  emulator::group_floats<Half>(d, a, rows, byte, add);
}
void multiply_floats(BFloat16, float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                     std::uint32_t b1) noexcept {
  emulator::floats<BFloat16>(d, a, b0, b1);
}
void multiply_floats(Half, float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) noexcept {
  emulator::floats<Half>(d, a, b0, b1);
}
std::uint32_t round_pair(BFloat16, float low, float high) noexcept {
  return BFloat16::from_float(low).bits | static_cast<std::uint32_t>(BFloat16::from_float(high).bits) << 16;
}
std::uint32_t round_pair(Half, float low, float high) noexcept {
  return Half::from_float(low).bits | static_cast<std::uint32_t>(Half::from_float(high).bits) << 16;
}
std::uint32_t low_bytes(std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t d) noexcept {
  return (a & 255u) | (b & 255u) << 8 | (c & 255u) << 16 | (d & 255u) << 24;
}
int add_bytes(std::uint32_t bytes, int sum) noexcept {
  for (int i = 0; i < 4; ++i) sum += static_cast<std::int8_t>(bytes >> (8 * i));
  return sum;
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda

namespace {

namespace cuda = planish::kernels::cuda;
using cuda::Element;

/// Every (channel, column) of a unit has bits of its own, and no bit is left over.
template <int Bits>
constexpr bool unit_is_a_bijection() {
  bool taken[cuda::unit_bytes(Bits) * 8 / Bits] = {};
  for (int channel = 0; channel < cuda::unit_channels; ++channel)
    for (int column = 0; column < cuda::unit_columns; ++column) {
      const cuda::UnitPosition at = cuda::unit_position(Bits, channel, column);
      if (at.byte < 0 || at.byte >= cuda::unit_bytes(Bits) || at.shift % Bits != 0 || at.shift > 8 - Bits) return false;
      bool& place = taken[at.byte * 8 / Bits + at.shift / Bits];
      if (place) return false;
      place = true;
    }
  return true;
}

/// Rows of products ↔ channels, and k-indices of two products ↔ columns.
constexpr bool deals_are_bijections() {
  bool channels[cuda::unit_channels] = {}, columns[cuda::chunk_columns] = {};
  for (int tile = 0; tile < cuda::unit_tiles; ++tile)
    for (int row = 0; row < 16; ++row) channels[cuda::unit_channel(tile, row)] = true;
  for (int step = 0; step < 2; ++step)
    for (int k = 0; k < 32; ++k) columns[cuda::chunk_column(step, k)] = true;
  for (const bool found : channels)
    if (!found) return false;
  for (const bool found : columns)
    if (!found) return false;
  return true;
}

constexpr bool kronecker_columns_are_a_bijection() {
  for (int tiles = 2; tiles <= 32; tiles += 2) {
    bool columns[256] = {};
    for (int tile = 0; tile < tiles; ++tile)
      for (int c = 0; c < 8; ++c) {
        const int column = cuda::kronecker_column(tiles, tile, c);
        if (column < 0 || column >= 8 * tiles || columns[column]) return false;
        columns[column] = true;
      }
  }
  return true;
}

#if !defined(__clang__)  // whose default limit of steps is too low
static_assert(unit_is_a_bijection<4>() && unit_is_a_bijection<8>());
static_assert(deals_are_bijections() && kronecker_columns_are_a_bijection());
#endif

TEST_CASE("layouts are bijections") {
  CHECK(unit_is_a_bijection<4>());
  CHECK(unit_is_a_bijection<8>());
  CHECK(deals_are_bijections());
  CHECK(kronecker_columns_are_a_bijection());
}

TEST_CASE("fragment maps are those of the PTX manual") {
  CHECK(cuda::byte_a_element(0, 0, 0) == Element{0, 0});
  CHECK(cuda::byte_a_element(5, 1, 3) == Element{9, 7});
  CHECK(cuda::byte_a_element(30, 2, 1) == Element{7, 25});
  CHECK(cuda::byte_a_element(31, 3, 3) == Element{15, 31});
  CHECK(cuda::byte_b_element(6, 1, 2) == Element{26, 1});
  CHECK(cuda::half_a_element(9, 3, 1) == Element{10, 11});
  CHECK(cuda::half_b_element(9, 1, 0) == Element{10, 2});
  CHECK(cuda::sum_element(13, 2) == Element{11, 2});
  CHECK(cuda::sum_element(13, 1) == Element{3, 3});
}

TEST_CASE("a weight lies where the fragment of its lane is read") {
  for (int channel = 0; channel < cuda::unit_channels; ++channel)
    for (int column = 0; column < cuda::unit_columns; ++column)
      for (int tile = 0; tile < cuda::unit_tiles; ++tile)
        for (int row = 0; row < 16; ++row)
          for (int step = 0; step < 2; ++step) {
            if (cuda::unit_channel(tile, row) != channel) continue;
            for (int k = 0; k < 32; ++k) {
              if (cuda::chunk_column(step, k) != column % cuda::chunk_columns) continue;
              const int lane = row % 8 * 4 + k % 16 / 4, r = row / 8 + 2 * (k / 16), b = k % 4;
              CHECK(cuda::byte_a_element(lane, r, b) == Element{row, k});
              const int chunk = column / cuda::chunk_columns;
              CHECK(cuda::unit_position(8, channel, column) ==
                    cuda::UnitPosition{((chunk * 2 + step) * 4 + tile) * 512 + lane * 16 + 4 * r + b, 0});
              CHECK(cuda::unit_position(4, channel, column) ==
                    cuda::UnitPosition{(chunk * 4 + tile) * 512 + lane * 16 + 8 * step + 4 * (r / 2) + b, 4 * (r % 2)});
            }
          }
}

TEST_CASE("a barrier that one thread never reaches is a fault") {
  const int before = emulator::faults();
  emulator::run({1, 64, 16}, 1, [] {
    if (cuda::thread_index() != 3) cuda::block_barrier();
  });
  CHECK(emulator::faults() == before + 1);
  emulator::forget_faults();
}

TEST_CASE("a copy in the background is not there before it is waited for") {
  alignas(16) unsigned char from[16] = {1, 2, 3};
  int early = 0, late = 0;
  emulator::run({1, 32, 512}, 1, [&] {
    unsigned char* to = cuda::shared_memory() + 16 * cuda::thread_index();
    cuda::copy_async_16(to, from, 2);
    cuda::commit_copies();
    early += to[0] == 1;
    cuda::wait_copies<0>();
    late += to[0] == 1 && to[1] == 2 && to[2] == 0 && to[15] == 0;
  });
  CHECK(early == 0);
  CHECK(late == 32);
  CHECK(emulator::faults() == 0);
}

}  // namespace
