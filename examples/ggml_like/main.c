/* A two-layer network on the host's own product, then the same with planish behind it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "../host_executor/c_threads.h"
#include "planish_mul_mat.h"

enum { tokens = 12, width = 320, hidden = 900, threads = 2 };

/* Numbers without a pattern, from -1 to 1; every 61st channel `loud` times as large, as in real models. */
static void fill(const struct tensor* t, uint32_t seed, float loud) {
  for (int64_t r = 0; r < t->rows; ++r)
    for (int64_t c = 0; c < t->columns; ++c) {
      seed = seed * 1664525u + 1013904223u;
      const float value = (float)(seed >> 8) / 8388608.0f - 1.0f;
      *(float*)((char*)t->data + (size_t)r * t->row_bytes + (size_t)c * sizeof(float)) =
          c % 61 == 7 ? loud * value : value;
    }
}

static int network(const struct compute* compute, const struct tensor* up, const struct tensor* down,
                   const struct tensor* x, struct tensor* middle, struct tensor* y) {
  if (mul_mat(compute, up, x, middle) != 0) return 1;
  for (int64_t r = 0; r < middle->rows; ++r) {
    float* row = (float*)((char*)middle->data + (size_t)r * middle->row_bytes);
    for (int64_t c = 0; c < middle->columns; ++c) row[c] = row[c] > 0.0f ? row[c] : 0.0f;
  }
  return mul_mat(compute, down, middle, y);
}

int main(void) {
  struct arena arena = {malloc(32u << 20), 32u << 20, 0};
  struct tensor up = tensor_in(&arena, "up", hidden, width), down = tensor_in(&arena, "down", width, hidden);
  struct tensor x = tensor_in(&arena, "x", tokens, width), middle = tensor_in(&arena, "middle", tokens, hidden);
  struct tensor y = tensor_in(&arena, "y", tokens, width), exact = tensor_in(&arena, "exact", tokens, width);
  void* pool = c_threads_create(threads);
  const struct compute compute = {pool, threads, c_threads_run, &arena};
  if (arena.memory == NULL || exact.data == NULL || pool == NULL) return 1;
  fill(&up, 1, 1.0f);
  fill(&down, 2, 1.0f);
  fill(&x, 3, 20.0f);

  int failed = network(&compute, &up, &down, &x, &middle, &exact);
  failed = failed || planish_attach(&up) != 0 || planish_attach(&down) != 0;
  const size_t used = arena.used;
  failed = failed || network(&compute, &up, &down, &x, &middle, &y) != 0;

  double error = 0.0, signal = 0.0;
  for (size_t r = 0; r < tokens; ++r)
    for (size_t c = 0; c < width; ++c) {
      const size_t at = r * y.row_bytes + c * sizeof(float);
      const double want = (double)*(float*)((char*)exact.data + at), got = (double)*(float*)((char*)y.data + at);
      error += (got - want) * (got - want);
      signal += want * want;
    }
  const double relative = sqrt(error / signal);
  printf("4-bit weights, 8-bit activations: %.1f %% from the host's float32\n", 100.0 * relative);

  /* What does not fit is reported and nothing else happens: an input of another width, an arena that is full. */
  int refused = mul_mat(&compute, &up, &middle, &y);
  arena.used = arena.size;
  refused += mul_mat(&compute, &up, &x, &middle);
  arena.used = used;

  planish_detach(&up);
  planish_detach(&down);
  c_threads_destroy(pool);
  free(arena.memory);
  return !failed && refused == 2 && relative < 0.2 ? 0 : 1;
}
