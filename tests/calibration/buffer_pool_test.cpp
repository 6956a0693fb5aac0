#include <utility>

#include <doctest/doctest.h>

#include <planish/calibration/tape/buffer_pool.hpp>
#include <planish/calibration/tape/tape.hpp>

using planish::calibration::tape::BufferPool;

TEST_CASE("a pool counts what it lent and what it keeps, and release frees what is not lent") {
  BufferPool<float> pool;
  CHECK(pool.total_bytes() == 0);
  auto lent = pool.take(100);
  pool.give_back(pool.take(300));
  CHECK(pool.total_bytes() == 1600);
  pool.release();
  CHECK(pool.total_bytes() == 400);
  pool.give_back(std::move(lent));
  CHECK(pool.total_bytes() == 400);
  pool.release();
  CHECK(pool.total_bytes() == 0);
  pool.release();
  CHECK(pool.total_bytes() == 0);
}

TEST_CASE("a pool lends the smallest kept buffer that fits, unless it is more than twice the size") {
  BufferPool<float> pool;
  auto small = pool.take(100), large = pool.take(160);
  const float *const at_small = small.data(), *const at_large = large.data();
  pool.give_back(std::move(large));
  pool.give_back(std::move(small));
  auto first = pool.take(80), second = pool.take(80), third = pool.take(80);
  CHECK(first.data() == at_small);
  CHECK(second.data() == at_large);
  CHECK(pool.total_bytes() == (100 + 160 + 80) * sizeof(float));
  pool.give_back(std::move(second));
  auto fourth = pool.take(79);
  CHECK(fourth.data() != at_large);
  CHECK(pool.total_bytes() == (100 + 160 + 80 + 79) * sizeof(float));
}

TEST_CASE("a tape that is cleared keeps its memory for the next step until it is released") {
  planish::calibration::tape::Tape<float> tape;
  static_cast<void>(tape.scratch(3, 50));
  { auto loan = tape.borrow(70); }
  static_cast<void>(tape.scratch_bytes(333));
  const std::size_t before = tape.memory_bytes();
  CHECK(before == (150 + 70) * sizeof(float) + 333);
  tape.clear();
  CHECK(tape.memory_bytes() == before);
  tape.release();
  CHECK(tape.memory_bytes() == 0);
}
