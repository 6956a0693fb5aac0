#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include <planish/core/aligned_buffer.hpp>
#include <planish/core/lu.hpp>
#include <planish/core/random.hpp>
#include <planish/core/workspace.hpp>

using namespace planish;

TEST_CASE("AlignedBuffer: zero-filled, on a cache line, copied only by name") {
  auto buffer = AlignedBuffer<float>::make(63);
  REQUIRE(buffer);
  CHECK(reinterpret_cast<std::uintptr_t>(buffer->data()) % buffer_alignment == 0);
  for (float value : buffer->span()) CHECK(value == 0.0f);
  (*buffer)[62] = 5.0f;
  const auto copy = buffer->clone();
  REQUIRE(copy);
  CHECK((*copy)[62] == 5.0f);
  CHECK(copy->data() != buffer->data());
  CHECK(AlignedBuffer<float>::make(0)->empty());
  CHECK_FALSE(AlignedBuffer<float>::make(-1).has_value());
  CHECK(AlignedBuffer<double>::make(planish::index{1} << (8 * sizeof(planish::index) - 3)).status().code() ==
        ErrorCode::out_of_memory);
}

TEST_CASE("AlignedBuffer: from 2 MiB on it starts on a page of 2 MiB, and moves with its size") {
  constexpr planish::index huge = planish::index{2} << 20, page = huge;
  for (const planish::index count : {huge - 1, huge, huge + 5}) {
    auto buffer = AlignedBuffer<std::uint8_t>::make(count);
    REQUIRE(buffer.has_value());
    const auto start = reinterpret_cast<std::uintptr_t>(buffer->data());
    CHECK(start % static_cast<std::uintptr_t>(count < huge ? 64 : page) == 0);
    CHECK(std::all_of(buffer->data(), buffer->data() + count, [](std::uint8_t value) { return value == 0; }));
    auto small = AlignedBuffer<std::uint8_t>::make(7);
    REQUIRE(small.has_value());
    *small = *std::move(buffer);  // each is freed as it was made
    CHECK(small->size() == count);
  }
}

TEST_CASE("Workspace: aligned pieces that do not overlap, and an empty one when it runs out") {
  std::vector<std::byte> memory(64 * 5 + 63);
  for (std::size_t skip : {0u, 1u, 63u}) {
    Workspace workspace(std::span<std::byte>(memory).subspan(skip));
    const auto first = workspace.take<float>(17);  // two lines
    const auto second = workspace.take<std::int8_t>(64);
    REQUIRE(first.size() == 17);
    REQUIRE(second.size() == 64);
    CHECK(reinterpret_cast<std::uintptr_t>(first.data()) % buffer_alignment == 0);
    CHECK(reinterpret_cast<std::byte*>(second.data()) >= reinterpret_cast<std::byte*>(first.data() + first.size()));
    CHECK(workspace.take<double>(1000).empty());
  }
  CHECK(workspace_bytes<float>(17) == 128);
  CHECK(workspace_bytes<float>(0) == 0);
}

TEST_CASE("inverse: A times its inverse is the identity; what has none is refused by name") {
  for (planish::index n : {1, 2, 7, 24, 65}) {
    Random random(static_cast<std::uint64_t>(n));
    std::vector<double> a(static_cast<std::size_t>(n * n));
    for (double& value : a) value = random.normal();
    const auto b = inverse(a, n);
    REQUIRE(b);
    for (planish::index i = 0; i < n; ++i)
      for (planish::index j = 0; j < n; ++j) {
        double sum = 0;
        for (planish::index k = 0; k < n; ++k)
          sum += a[static_cast<std::size_t>(i * n + k)] * (*b)[static_cast<std::size_t>(k * n + j)];
        CHECK(sum == doctest::Approx(i == j ? 1.0 : 0.0).epsilon(1e-9));
      }
  }
  CHECK(inverse(std::vector<double>{1, 2, 2, 4}, 2).status().code() == ErrorCode::singular);
  CHECK(inverse(std::vector<double>{1, 2, 3, std::numeric_limits<double>::quiet_NaN()}, 2).status().code() ==
        ErrorCode::not_finite);
  CHECK(inverse(std::vector<double>{1, 2, 3}, 2).status().code() == ErrorCode::shape_mismatch);
}

TEST_CASE("inverse: rows are exchanged where a pivot is zero, whatever their order") {
  for (const planish::index n : {2, 3, 5, 8}) {
    const auto size = static_cast<std::size_t>(n);
    for (std::size_t turn = 1; turn < size; ++turn) {
      std::vector<double> a(size * size, 0.0);
      for (std::size_t i = 0; i < size; ++i) a[i * size + (i + turn) % size] = static_cast<double>(i + 2);
      const auto b = inverse(a, n);
      REQUIRE(b);
      int wrong = 0;
      for (std::size_t i = 0; i < size; ++i)
        for (std::size_t j = 0; j < size; ++j) {
          const bool is = (j + turn) % size == i;
          wrong += !(std::fabs((*b)[i * size + j] - (is ? 1.0 / static_cast<double>(j + 2) : 0.0)) < 1e-15);
        }
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("inverse: an empty matrix has an empty one; less than none, and pivots of 1e-14 of the largest, have none") {
  const auto none = inverse(std::vector<double>{}, 0);
  REQUIRE(none);
  CHECK(none->empty());
  CHECK(inverse(std::vector<double>{1.0}, -1).status().code() == ErrorCode::shape_mismatch);
  CHECK(inverse(std::vector<double>{}, -1).status().code() == ErrorCode::shape_mismatch);
  CHECK(inverse(std::vector<double>{0.0}, 1).status().code() == ErrorCode::singular);
  CHECK(inverse(std::vector<double>{1.0, 0.0, 0.0, 1e-14}, 2).status().code() == ErrorCode::singular);
  CHECK(inverse(std::vector<double>{1.0, 0.0, 0.0, -1e-14}, 2).status().code() == ErrorCode::singular);
  const auto small = inverse(std::vector<double>{1.0, 0.0, 0.0, 1.01e-14}, 2);
  REQUIRE(small);
  CHECK((*small)[3] == doctest::Approx(1.0 / 1.01e-14));
}

TEST_CASE("Workspace: a whole number of lines takes no more than that, and all of the memory may be taken") {
  for (const planish::index lines : {0, 1, 2, 7}) {
    CHECK(workspace_bytes<float>(16 * lines) == static_cast<std::size_t>(64 * lines));
    CHECK(workspace_bytes<float>(16 * lines + 1) == static_cast<std::size_t>(64 * lines + 64));
    CHECK(workspace_bytes<double>(8 * lines + 8) == static_cast<std::size_t>(64 * lines + 64));
    CHECK(workspace_bytes<std::int8_t>(64 * lines + 63) == static_cast<std::size_t>(64 * lines + 64));
  }
  alignas(64) std::byte memory[256];
  Workspace workspace{std::span<std::byte>(memory)};
  CHECK(workspace.size() == 256);
  CHECK(workspace.take<float>(65).empty());
  const auto first = workspace.take<float>(16), rest = workspace.take<float>(48);
  CHECK((first.size() == 16 && static_cast<void*>(first.data()) == memory));
  CHECK((rest.size() == 48 && static_cast<void*>(rest.data()) == memory + 64));
  CHECK(workspace.size() == 0);
  CHECK(workspace.take<float>(1).empty());
  CHECK(Workspace(std::span<std::byte>(memory).subspan(1, 63)).size() == 0);
  CHECK(Workspace(std::span<std::byte>(memory).subspan(1, 64)).size() == 1);
}

TEST_CASE_TEMPLATE("AlignedBuffer: whether a page of 2 MiB holds it is a matter of bytes, not of elements", T, float,
                   double) {
  constexpr auto count = static_cast<planish::index>((std::size_t{2} << 20) / sizeof(T));
  for (int i = 0; i < 4; ++i) {
    const auto buffer = AlignedBuffer<T>::make(count);
    REQUIRE(buffer.has_value());
    CHECK(reinterpret_cast<std::uintptr_t>(buffer->data()) % (std::size_t{2} << 20) == 0);
  }
  CHECK(AlignedBuffer<T>::make(0)->data() == nullptr);
  CHECK(AlignedBuffer<T>::make(0)->clone()->empty());
}
