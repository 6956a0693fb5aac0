// The C host's side. It starts its threads anew for every run, which is simple and slow.
#include "c_threads.h"

#include <atomic>
#include <new>
#include <pthread.h>
#include <vector>

namespace {

struct Threads {
  int workers;
};

/// One run, as every worker sees it.
struct Job {
  std::atomic<int> next{0};
  int tasks;
  c_task task;
  void* context;
};

struct Worker {
  pthread_t thread;
  Job* job;
  int number;
};

void* work(void* pointer) {
  const Worker& worker = *static_cast<Worker*>(pointer);
  for (int i = worker.job->next++; i < worker.job->tasks; i = worker.job->next++)
    worker.job->task(worker.job->context, i, worker.number);
  return nullptr;
}

}  // namespace

void* c_threads_create(int workers) { return new (std::nothrow) Threads{workers}; }

void c_threads_destroy(void* threads) { delete static_cast<Threads*>(threads); }

void c_threads_run(void* threads, int tasks, c_task task, void* context) {
  Job job{{0}, tasks, task, context};
  std::vector<Worker> workers(static_cast<std::size_t>(static_cast<Threads*>(threads)->workers));
  std::size_t started = 1;  // the calling thread is worker 0
  for (; started < workers.size(); ++started) {
    workers[started] = {{}, &job, static_cast<int>(started)};
    if (pthread_create(&workers[started].thread, nullptr, work, &workers[started]) != 0) break;
  }
  workers[0] = {{}, &job, 0};
  work(workers.data());
  for (std::size_t i = 1; i < started; ++i) pthread_join(workers[i].thread, nullptr);
}
