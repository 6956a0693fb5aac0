#include <atomic>
#include <cstdlib>
#include <new>

#include <doctest/doctest.h>

#include "linear/samples.hpp"
#include "sanitizer_heap.hpp"

#if !defined(SANITIZER_OWNS_HEAP)

// Counts what this program takes from the heap. Not inlined: GCC would take a new and the free of its delete for a
// mismatched pair.
namespace {
std::atomic<int> allocations{0};
}

[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  ++allocations;
  const auto step = static_cast<std::size_t>(alignment);
  return std::aligned_alloc(step, (size + step - 1) / step * step);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }

namespace pl = planish;
using samples::made;
using samples::Matrix;
using samples::Memory;

TEST_CASE("layers allocate nothing while they run") {
  const Matrix w(70, 192, 1, 0.05), x(40, 192, 2);
  const auto transform =
      pl::Transform(pl::Shift(samples::offsets(192, 3)), pl::Scale(samples::factors(192, 4)),
                    samples::random_kronecker(192, 5), made(pl::Hadamard::make(192, 6)), pl::Rotation::random(192, 7));
  const auto codes = made(pl::quantize_weights(w.view(), {.bits = 4, .group_size = 64}));
  for (auto mode : {pl::SiteMode::packed, pl::SiteMode::fake})
    for (int bits : {4, 8, 16}) {
      const auto site = made(pl::AnySite::make(pl::AnyTransform(transform), {.bits = bits}, mode));
      const auto linear = made(pl::AnyLinear::make(codes.view(), {}, mode));
      Matrix y(40, 70);
      samples::Shuffled executor;
      Memory memory(site.workspace_size(40, 3) + linear.workspace_size(40, 3));
      auto workspace = memory.workspace();
      pl::QuantizedInput in;
      const int before = allocations;
      const bool prepared = site.prepare(x.view(), in, workspace, executor).ok();
      const bool multiplied = linear.multiply(in, y.view(), workspace, executor).ok();
      CHECK(allocations == before);
      CHECK(prepared);
      CHECK(multiplied);
    }
}

#endif
