#ifndef C_THREADS_H
#define C_THREADS_H
/* Threads as a C host has them: a handle, a function pointer and a void*. */
#ifdef __cplusplus
extern "C" {
#endif

typedef void (*c_task)(void* context, int task, int worker);

/* A null pointer if there is no memory for it. */
void* c_threads_create(int workers);
void c_threads_destroy(void* threads);

/* Calls task(context, i, worker) once for every i in [0, tasks), and returns after the last call. */
void c_threads_run(void* threads, int tasks, c_task task, void* context);

#ifdef __cplusplus
}
#endif
#endif
