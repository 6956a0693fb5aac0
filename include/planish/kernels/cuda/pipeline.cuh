#pragma once
// What a producer and consumers of one block, or of a cluster of blocks, hand each other shared memory with: barriers
// in shared memory that count bytes, copies in bulk by the copy engine, and the registers of a role (sm_90a). Where the
// unit is not compiled for sm_90a the functions do nothing, and `query_device` says so to the plans.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/kernels/cuda/tensor_map.cuh>
#include <planish/kernels/cuda/warp.cuh>
#include <planish/kernels/cuda/warpgroup.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// A barrier in shared memory. A phase ends when its arrivals and its expected bytes have all come; phases alternate
/// between parity 0 (the first) and 1.
struct alignas(8) MemoryBarrier {
  std::uint64_t state;
};

#if defined(__CUDACC__)

PLANISH_DEVICE unsigned shared_address(const void* shared) noexcept {
  return static_cast<unsigned>(__cvta_generic_to_shared(shared));
}

/// By one thread, before `cluster_barrier`.
PLANISH_DEVICE void start_barrier(MemoryBarrier* barrier, int arrivals) noexcept {
#if defined(PLANISH_HAS_GROUP_PRODUCTS)
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
#endif
}
/// Makes started barriers known to the copy engine.
PLANISH_DEVICE void publish_barriers() noexcept {
#if defined(PLANISH_HAS_GROUP_PRODUCTS)
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
}
/// One arrival, and `bytes` that copies will bring.
PLANISH_DEVICE void arrive_expecting(MemoryBarrier* barrier, int bytes) noexcept {
#if defined(PLANISH_HAS_GROUP_PRODUCTS)
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes)
               : "memory");
#endif
}
/// One arrival.
PLANISH_DEVICE void arrive(MemoryBarrier* barrier) noexcept {
#if defined(PLANISH_HAS_GROUP_PRODUCTS)
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
#endif
}
/// Returns once the phase of this parity has ended.
PLANISH_DEVICE void wait_phase(MemoryBarrier* barrier, int parity) noexcept {
#if defined(PLANISH_HAS_GROUP_PRODUCTS)
  asm volatile(
      "{\n.reg .pred done;\nagain:\nmbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n@done bra over;\n"
      "bra again;\nover:\n}" ::"r"(shared_address(barrier)),
      "r"(parity)
      : "memory");
#endif
}

/// The copy engine will read this description soon.
PLANISH_DEVICE void prefetch_map(const TensorMap* map) noexcept {
#if defined(PLANISH_HAS_GROUP_PRODUCTS)
  asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
#endif
}
/// `bytes`, a multiple of 16, from global to shared memory, in the background; they count at the barrier.
PLANISH_DEVICE void copy_bulk(void* shared, const void* global, int bytes, MemoryBarrier* barrier) noexcept {
#if defined(PLANISH_HAS_GROUP_PRODUCTS)
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                   shared_address(shared)),
               "l"(global), "r"(bytes), "r"(shared_address(barrier))
               : "memory");
#endif
}
/// The map's box at (column, row) into shared memory; what lies outside of the rows is 0, and counts.
PLANISH_DEVICE void copy_box(void* shared, const TensorMap* map, int column, int row, MemoryBarrier* barrier) noexcept {
#if defined(PLANISH_HAS_GROUP_PRODUCTS)
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(
          shared_address(shared)),
      "l"(map), "r"(column), "r"(row), "r"(shared_address(barrier))
      : "memory");
#endif
}
/// The same of matrix `matrix`, where the map is of several.
PLANISH_DEVICE void copy_box(void* shared, const TensorMap* map, int column, int row, int matrix,
                             MemoryBarrier* barrier) noexcept {
#if defined(PLANISH_HAS_GROUP_PRODUCTS)
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4}], [%5];" ::
          "r"(shared_address(shared)),
      "l"(map), "r"(column), "r"(row), "r"(matrix), "r"(shared_address(barrier))
      : "memory");
#endif
}
/// Shared memory, in the order of `copy_box`, to the map's box at (column, row), in the background; what lies outside
/// of the rows is left out. Belongs to the open group.
PLANISH_DEVICE void store_box(const TensorMap* map, const void* shared, int column, int row) noexcept {
#if defined(PLANISH_HAS_GROUP_PRODUCTS)
  asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%2, %3}], [%1];" ::"l"(map),
               "r"(shared_address(shared)), "r"(column), "r"(row)
               : "memory");
#endif
}
/// Closes the group of this thread's stores so far.
PLANISH_DEVICE void commit_bulk() noexcept {
#if defined(PLANISH_HAS_GROUP_PRODUCTS)
  asm volatile("cp.async.bulk.commit_group;" ::: "memory");
#endif
}
/// Returns once all but the last `Pending` groups of this thread have read shared memory.
template <int Pending>
PLANISH_DEVICE void wait_bulk_read() noexcept {
#if defined(PLANISH_HAS_GROUP_PRODUCTS)
  asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(Pending) : "memory");
#endif
}

/// All threads of all blocks of the cluster meet; what they wrote to shared memory before is seen by all after.
PLANISH_DEVICE void cluster_barrier() noexcept {
#if defined(PLANISH_HAS_GROUP_PRODUCTS)
  asm volatile("barrier.cluster.arrive.release;\nbarrier.cluster.wait.acquire;" ::: "memory");
#endif
}
/// 16 bytes that lie at this place of the shared memory of block `rank` of the cluster.
PLANISH_DEVICE Vector16 load_of_block(const void* shared, int rank) noexcept {
  Vector16 v = {};
#if defined(PLANISH_HAS_GROUP_PRODUCTS)
  asm volatile(
      "{\n.reg .b32 there;\nmapa.shared::cluster.u32 there, %4, %5;\n"
      "ld.shared::cluster.v4.u32 {%0, %1, %2, %3}, [there];\n}"
      : "=r"(v.words[0]), "=r"(v.words[1]), "=r"(v.words[2]), "=r"(v.words[3])
      : "r"(shared_address(shared)), "r"(rank)
      : "memory");
#endif
  return v;
}

/// Gives registers of this warpgroup back, or takes some, until a thread has `Count`, a multiple of 8.
template <int Count>
PLANISH_DEVICE void give_registers() noexcept {
#if defined(PLANISH_HAS_GROUP_PRODUCTS)
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Count));
#endif
}
template <int Count>
PLANISH_DEVICE void take_registers() noexcept {
#if defined(PLANISH_HAS_GROUP_PRODUCTS)
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Count));
#endif
}

#else

void start_barrier(MemoryBarrier* barrier, int arrivals) noexcept;
inline void publish_barriers() noexcept {}
void arrive_expecting(MemoryBarrier* barrier, int bytes) noexcept;
void arrive(MemoryBarrier* barrier) noexcept;
void wait_phase(MemoryBarrier* barrier, int parity) noexcept;
inline void prefetch_map(const TensorMap*) noexcept {}
void copy_bulk(void* shared, const void* global, int bytes, MemoryBarrier* barrier) noexcept;
void copy_box(void* shared, const TensorMap* map, int column, int row, MemoryBarrier* barrier) noexcept;
void copy_box(void* shared, const TensorMap* map, int column, int row, int matrix, MemoryBarrier* barrier) noexcept;
void store_box(const TensorMap* map, const void* shared, int column, int row) noexcept;
void commit_bulk() noexcept;
void wait_bulk_read_until(int pending) noexcept;
template <int Pending>
void wait_bulk_read() noexcept {
  wait_bulk_read_until(Pending);
}
void cluster_barrier() noexcept;
Vector16 load_of_block(const void* shared, int rank) noexcept;
template <int Count>
void give_registers() noexcept {}
template <int Count>
void take_registers() noexcept {}

#endif

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
