#ifndef HOST_H
#define HOST_H
/* An engine in C: tensors that say where their bytes lie, an arena, threads behind a function pointer. */
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A float32 matrix. Rows may lie further apart than they are long. */
struct tensor {
  const char* name;
  int64_t rows, columns;
  size_t row_bytes; /* from one row to the next */
  float* data;
  void* extra; /* what a backend hangs on weights; null: plain floats */
};

/* Memory that is handed out front to back and taken back all at once. */
struct arena {
  unsigned char* memory;
  size_t size, used;
};

/* How a graph is computed: threads of the host's, and memory for the moment. */
struct compute {
  void* pool;
  int threads;
  void (*run)(void* pool, int tasks, void (*task)(void* context, int task, int worker), void* context);
  struct arena* scratch;
};

/* Null if the arena is full. */
void* arena_take(struct arena* arena, size_t bytes, size_t alignment);
struct tensor tensor_in(struct arena* arena, const char* name, int64_t rows, int64_t columns);

/* y = x Wᵀ, the one operation that matters. w: out × in, x: tokens × in, y: tokens × out. 0, or the tensor's fault has
   been reported and y is not to be used. */
int mul_mat(const struct compute* compute, const struct tensor* w, const struct tensor* x, struct tensor* y);

/* Where errors go. Returns 1. */
int report(const char* tensor, const char* sentence, size_t length);

#ifdef __cplusplus
}
#endif
#endif
