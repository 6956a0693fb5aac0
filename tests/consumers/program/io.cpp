#include <cstdio>

#include <planish/io.hpp>

int main() {
  const planish::Status status = planish::io::SafetensorsFile::open("/no/such/file.safetensors").status();
  std::printf("%.*s\n", static_cast<int>(status.message().size()), status.message().data());
  return status.code() == planish::ErrorCode::io ? 0 : 1;
}
