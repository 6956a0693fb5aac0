#ifndef PLANISH_MUL_MAT_H
#define PLANISH_MUL_MAT_H
/* What the engine sees of planish. Functions return 0, or have reported what was wrong. */
#include "host.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Quantizes weights once and hangs the result on the tensor; its floats are not needed any more. */
int planish_attach(struct tensor* w);
void planish_detach(struct tensor* w);
int planish_mul_mat(const struct compute* compute, const struct tensor* w, const struct tensor* x, struct tensor* y);

#ifdef __cplusplus
}
#endif
#endif
