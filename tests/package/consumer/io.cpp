#include <cstdio>

#include <planish/io.hpp>

int main() {
  const auto file = planish::io::SafetensorsFile::open("/no/such/file.safetensors");
  if (file.has_value()) return 1;
  const planish::Status status = file.status();
  std::printf("%.*s\n", static_cast<int>(status.message().size()), status.message().data());
  return status.code() == planish::ErrorCode::io ? 0 : 1;
}
