#include <cstdio>

#include <planish/planish.hpp>

planish::Status other(planish::MatrixView<const float> x);

int main() {
  const float row[] = {1.0f, -2.0f, 3.0f};
  const planish::Status status = other({row, 1, 3});
  std::printf("planish %d.%d.%d %s\n", planish::version.major, planish::version.minor, planish::version.patch,
              planish::abi_name);
  return status.ok() ? 0 : 1;
}
