#pragma once
#include <concepts>
#include <cstddef>
#include <memory>
#include <type_traits>

#include <planish/core/abi.hpp>

namespace planish {

namespace executor_clauses {
/// What a reference to a host's threads needs of them.
template <class E>
concept TakesTasks = requires(E& e) {
  { e.workers() } -> std::convertible_to<int>;
  e.run(1, [](int, int) noexcept {});
};
}  // namespace executor_clauses

/// Untyped handle to a host's threads: how many workers there are, and how to run numbered tasks on them. Trivial and
/// part of the untagged vocabulary. The default runs everything on the calling thread.
class ExecutorReference {
 public:
  using Task = void (*)(void* context, int task, int worker);
  using Run = void (*)(void* host, int tasks, Task task, void* context);

  PLANISH_ALWAYS_INLINE constexpr ExecutorReference() noexcept = default;

  /// From a C host: `run` must call `task(context, i, worker)` once for every i in [0, tasks), worker in [0, workers),
  /// no two at once on one worker, and return after all of them. It must not throw.
  PLANISH_ALWAYS_INLINE constexpr ExecutorReference(void* host, int host_workers, Run host_run) noexcept
      : host_(host), workers_(host_workers), run_(host_run) {}

  /// From anything that satisfies Executor. The executor must outlive the reference.
  template <class E>
  requires(!std::same_as<std::remove_cvref_t<E>, ExecutorReference> &&
           executor_clauses::TakesTasks<E>) PLANISH_ALWAYS_INLINE ExecutorReference(E& executor)
  noexcept
      : host_(const_cast<void*>(static_cast<const void*>(std::addressof(executor)))),
        workers_(executor.workers()),
        run_([](void* host, int tasks, Task task, void* context) {
          static_cast<E*>(host)->run(tasks, [task, context](int i, int worker) noexcept { task(context, i, worker); });
        }) {}

#if !defined(__CUDACC__)  // whose front end does not see through the lambda of a clause
  // NOLINTBEGIN(bugprone-forwarding-reference-overload): the clause leaves copies alone
  /// Anything else, for a sentence.
  template <class E>
  requires(!std::same_as<std::remove_cvref_t<E>, ExecutorReference> &&
           !executor_clauses::TakesTasks<E>) PLANISH_ALWAYS_INLINE ExecutorReference(E&&)
  noexcept {
    static_assert(executor_clauses::TakesTasks<E>,
                  "planish: an executor has workers(), and run(tasks, work) that calls work(task, worker) once for "
                  "every task");
  }
  // NOLINTEND(bugprone-forwarding-reference-overload)
#endif

  [[nodiscard]] PLANISH_ALWAYS_INLINE constexpr int workers() const noexcept { return workers_; }

  /// Calls `work(task, worker)` for every task in [0, tasks) and returns after the last one.
  template <class Work>
  PLANISH_ALWAYS_INLINE void run(int tasks, Work&& work) const noexcept {
    if (run_ == nullptr || tasks <= 1) {
      for (int task = 0; task < tasks; ++task) work(task, 0);
      return;
    }
    using Plain = std::remove_reference_t<Work>;
    run_(
        host_, tasks, [](void* context, int task, int worker) { (*static_cast<Plain*>(context))(task, worker); },
        const_cast<void*>(static_cast<const void*>(std::addressof(work))));
  }

 private:
  void* host_ = nullptr;
  int workers_ = 1;
  Run run_ = nullptr;
};

static_assert(std::is_trivially_copyable_v<ExecutorReference>, "planish: ExecutorReference crosses between units");

namespace executor_clauses {
template <class E>
concept CountsItsWorkers = requires(E& e) {
  { e.workers() }
  noexcept->std::convertible_to<int>;
};
template <class E>
concept RunsNumberedTasks = requires(E& e) {
  e.run(1, [](int /*task*/, int /*worker*/) noexcept {});
};
}  // namespace executor_clauses

/// A host's thread pool: `workers()`, and `run(tasks, work)` that calls `work(task, worker)` once per task and returns
/// after all of them. Never nested.
template <class E>
concept Executor = executor_clauses::CountsItsWorkers<E> && executor_clauses::RunsNumberedTasks<E>;

#if !defined(__CUDACC__)  // whose front end does not see through the lambda of a clause
static_assert(Executor<const ExecutorReference>, "planish: the reference is itself an executor");
#endif

/// The whole numbers from begin to before end: rows, panels, lines.
struct Range {
  std::ptrdiff_t begin, end;
};
/// Splits [0, items) into `parts` runs of nearly equal length; part p is [begin, end).
[[nodiscard]] PLANISH_ALWAYS_INLINE constexpr Range part_of(std::ptrdiff_t items, std::ptrdiff_t part,
                                                            std::ptrdiff_t parts) noexcept {
  return {items * part / parts, items * (part + 1) / parts};
}

}  // namespace planish
