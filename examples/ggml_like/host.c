#include "host.h"

#include <stdio.h>

#include "planish_mul_mat.h"

void* arena_take(struct arena* arena, size_t bytes, size_t alignment) {
  const size_t skip = (alignment - (uintptr_t)(arena->memory + arena->used) % alignment) % alignment;
  if (bytes > arena->size - arena->used || skip > arena->size - arena->used - bytes) return NULL;
  void* taken = arena->memory + arena->used + skip;
  arena->used += skip + bytes;
  return taken;
}

struct tensor tensor_in(struct arena* arena, const char* name, int64_t rows, int64_t columns) {
  const size_t row_bytes = ((size_t)columns * sizeof(float) + 63) / 64 * 64;
  const struct tensor tensor = {name, rows, columns, row_bytes, arena_take(arena, (size_t)rows * row_bytes, 64), NULL};
  return tensor;
}

int report(const char* tensor, const char* sentence, size_t length) {
  fprintf(stderr, "%s: %.*s\n", tensor, (int)length, sentence);
  return 1;
}

static const float* row_of(const struct tensor* tensor, int64_t row) {
  return (const float*)((const char*)tensor->data + (size_t)row * tensor->row_bytes);
}

/* One product, as every thread sees it: a task is an output channel. */
struct product {
  const struct tensor *w, *x;
  struct tensor* y;
};

static void one_channel(void* context, int channel, int worker) {
  const struct product* product = context;
  const float* w = row_of(product->w, channel);
  (void)worker;
  for (int64_t r = 0; r < product->x->rows; ++r) {
    const float* x = row_of(product->x, r);
    float sum = 0.0f;
    for (int64_t c = 0; c < product->w->columns; ++c) sum += x[c] * w[c];
    ((float*)((char*)product->y->data + (size_t)r * product->y->row_bytes))[channel] = sum;
  }
}

int mul_mat(const struct compute* compute, const struct tensor* w, const struct tensor* x, struct tensor* y) {
  struct product product = {w, x, y};
  /* planish: begin */
  if (w->extra != NULL) return planish_mul_mat(compute, w, x, y);
  /* planish: end */
  if (x->columns != w->columns) return report(w->name, "the input has another width", 27);
  compute->run(compute->pool, (int)w->rows, one_channel, &product);
  return 0;
}
