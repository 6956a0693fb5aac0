#include "choose.hpp"

#include <cstring>

namespace dispatch {
namespace {

#if defined(__x86_64__)
bool has_avx2() noexcept { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

bool has_avx512vnni() noexcept {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512cd") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
}
#endif

}  // namespace

std::size_t runnable(const Kernels* (&tables)[most_tables]) noexcept {
  std::size_t count = 0;
#if defined(__x86_64__)
  if (has_avx512vnni()) {
    // asks CPU and operating system itself; the unit holds no AMX instruction that runs without it
    if (avx512vnni_amx::kernels.enable()) tables[count++] = &avx512vnni_amx::kernels;
    tables[count++] = &avx512vnni::kernels;
  }
  if (has_avx2()) tables[count++] = &avx2::kernels;
#endif
  tables[count++] = &portable::kernels;
  return count;
}

const Kernels* choose(const char* name) noexcept {
  const Kernels* tables[most_tables] = {};
  const std::size_t count = runnable(tables);
  for (std::size_t i = 0; i < count; ++i)
    if (name == nullptr || std::strcmp(tables[i]->name, name) == 0) return tables[i];
  return nullptr;
}

}  // namespace dispatch
