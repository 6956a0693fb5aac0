#include "thread_pool.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <system_error>

namespace llama {
namespace {

/// True while this thread works on a task of any pool: `run` must not be called then.
thread_local bool inside_task = false;

constexpr std::uint64_t untaken_mask = 0xffffffffu;
constexpr int spins_before_sleep = 4000;  // some 50 to 100 microseconds
constexpr int spins_before_yield = 200;

void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

int machine_workers() { return static_cast<int>(std::max(1u, std::thread::hardware_concurrency())); }

}  // namespace

ThreadPool::ThreadPool(int workers) {
  const int wanted = workers > 0 ? workers : machine_workers();
  try {
    for (int worker = 1; worker < wanted; ++worker) threads_.emplace_back([this, worker] { serve(worker); });
  } catch (const std::system_error&) {
    // The system gives no more threads: work with those there are.
  }
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(sleep_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::run_tasks(int tasks, Task task, void* context) noexcept {
  if (inside_task) {  // in every build: the threads would wait for each other, or overwrite the running job
    std::fputs("llama::ThreadPool::run must not be called from inside a task\n", stderr);
    std::abort();
  }
  if (tasks <= 0) return;
  tasks_.store(tasks, std::memory_order_relaxed);
  task_.store(task, std::memory_order_relaxed);
  context_.store(context, std::memory_order_relaxed);
  unfinished_.store(tasks, std::memory_order_relaxed);
  const std::uint64_t job = (state_.load(std::memory_order_relaxed) >> 32) + 1;
  state_.store(job << 32 | static_cast<std::uint32_t>(tasks));
  if (tasks > 1 && sleepers_.load() > 0) {
    { const std::lock_guard lock(sleep_); }  // whoever counts as sleeping now waits, or has yet to look at the state
    wake_.notify_all();
  }
  while (take_one(0)) {
  }
  for (int spins = 0; unfinished_.load(std::memory_order_acquire) != 0; ++spins)
    if (spins < spins_before_yield)
      pause();
    else
      std::this_thread::yield();
}

bool ThreadPool::take_one(int worker) noexcept {
  std::uint64_t state = state_.load(std::memory_order_acquire);
  for (;;) {
    const auto untaken = static_cast<int>(state & untaken_mask);
    if (untaken == 0) return false;
    const int index = tasks_.load(std::memory_order_relaxed) - untaken;
    const Task task = task_.load(std::memory_order_relaxed);
    void* const context = context_.load(std::memory_order_relaxed);
    if (!state_.compare_exchange_weak(state, state - 1, std::memory_order_acq_rel, std::memory_order_acquire)) continue;
    inside_task = true;
    task(context, index, worker);
    inside_task = false;
    unfinished_.fetch_sub(1, std::memory_order_release);
    return true;
  }
}

void ThreadPool::serve(int worker) noexcept {
  const auto has_work = [this] { return (state_.load() & untaken_mask) != 0; };
  while (!stopping_.load(std::memory_order_relaxed)) {
    int spins = 0;
    while (spins < spins_before_sleep && !has_work()) {
      pause();
      ++spins;
    }
    if (spins == spins_before_sleep) {
      std::unique_lock lock(sleep_);
      ++sleepers_;
      wake_.wait(lock, [&] { return has_work() || stopping_; });
      --sleepers_;
    }
    while (take_one(worker)) {
    }
  }
}

}  // namespace llama
