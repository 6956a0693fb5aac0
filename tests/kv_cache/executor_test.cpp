#include <atomic>
#include <thread>

#include "support.hpp"

namespace planish::test {

namespace {

/// Threads for one run at a time; tasks are taken in whatever order the threads arrive.
class Threads {
 public:
  explicit Threads(int workers) : workers_(workers) {}
  [[nodiscard]] int workers() const noexcept { return workers_; }
  template <class Work>
  void run(int tasks, Work&& work) noexcept {
    std::atomic<int> next{0};
    std::vector<std::thread> threads;
    for (int worker = 0; worker < workers_; ++worker)
      threads.emplace_back([&, worker] {
        for (int task = next++; task < tasks; task = next++) work(task, worker);
      });
    for (std::thread& thread : threads) thread.join();
  }

 private:
  int workers_;
};

}  // namespace

TEST_CASE("lines are shared evenly among workers, few enough at a time for the second-level cache") {
  const auto block = [](index rows, index group, index kv_heads, int workers) {
    Attention a;
    a.query = MatrixView<const float>(nullptr, rows, kv_heads * group * 64);
    a.group = group;
    return attend_block_lines(a, kv_heads, workers);
  };
  CHECK(block(100, 1, 1, 1) == 100);
  CHECK(block(100, 1, 1, 2) == 50);
  CHECK(block(101, 1, 1, 2) == 51);
  CHECK(block(20, 5, 1, 4) == 25);
  CHECK(block(100, 1, 3, 4) == 50);  // two workers a KV head at most
  CHECK(block(100, 1, 8, 4) == 100);
  CHECK(block(1000, 1, 1, 2) == 192);
  CHECK(block(1, 1, 1, 16) == 1);
  CHECK(block(0, 1, 1, 2) == 1);
}

TEST_CASE("threads change nothing in the result") {
  for (const index rows : {index{1}, index{100}})
    for (const index kv_heads : {1, 3}) {
      const index head_size = 40, group = 5;
      INFO("rows ", rows, ", KV heads ", kv_heads);
      KvCache cache =
          make_cache({.kv_heads = kv_heads, .head_size = head_size, .capacity = 200, .key_bits = 4, .value_bits = 3});
      const Rows k(200, kv_heads * head_size, 1), v(200, kv_heads * head_size, 2);
      const Rows q(rows, kv_heads * group * head_size, 3);
      REQUIRE(cache.append(k.view(), v.view()).ok());
      Rows serial(rows, q.columns);
      REQUIRE(attend(cache, q.view(), 200 - rows, 0.2f, serial.view()).ok());
      for (const int workers : {2, 3, 7}) {
        Threads threads(workers);
        Rows y(rows, q.columns);
        CHECK(attend(cache, q.view(), 200 - rows, 0.2f, y.view(), threads).ok());
        CHECK(same(y, serial));
      }
    }
}

}  // namespace planish::test
