// opcodes CUBIN...: counts the instructions of every kernel in cubins that planish cares about, and refuses kernels
// without the matrix instructions they are made of. An instruction has 128 bits, its opcode in the lowest 12.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace {

template <class T>
T at(const std::vector<char>& bytes, std::uint64_t offset) {
  T value{};
  if (offset + sizeof(T) <= bytes.size()) std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

bool check(const char* path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  if (bytes.size() < 64 || std::memcmp(bytes.data(),
                                       "\x7f"
                                       "ELF\x02",
                                       5) != 0) {
    std::printf("%s: not a cubin\n", path);
    return false;
  }
  const bool hopper = std::strstr(path, "90a") != nullptr;
  bool good = true;
  int kernels = 0;
  const auto sections = at<std::uint64_t>(bytes, 40);
  const int size = at<std::uint16_t>(bytes, 58), count = at<std::uint16_t>(bytes, 60),
            names = at<std::uint16_t>(bytes, 62);
  const auto section = [&](int i) {
    return sections + static_cast<std::uint64_t>(i) * static_cast<std::uint64_t>(size);
  };
  const auto names_at = at<std::uint64_t>(bytes, section(names) + 24);
  for (int i = 0; i < count; ++i) {
    const std::uint64_t name_at = names_at + at<std::uint32_t>(bytes, section(i));
    if (name_at >= bytes.size()) return false;
    const std::string name(bytes.data() + name_at);
    if (name.rfind(".text.", 0) != 0) continue;
    ++kernels;
    const auto begin = at<std::uint64_t>(bytes, section(i) + 24), length = at<std::uint64_t>(bytes, section(i) + 32);
    int whole = 0, floats = 0, async_copies = 0;
    for (std::uint64_t p = begin; p + 16 <= begin + length; p += 16) {
      const unsigned opcode = at<std::uint16_t>(bytes, p) & 0xfffu;
      whole += opcode == 0x237 || opcode == 0xdf1;                      // IMMA, IGMMA
      floats += opcode == 0x23c || opcode == 0xdf0 || opcode == 0x9f0;  // HMMA, HGMMA of registers and of memory
      async_copies += opcode == 0xfae || opcode == 0x9ae;               // LDGSTS
    }
    const bool product = name.find("multiply_") != std::string::npos;
    const bool transform =
        name.find("kronecker_rows") != std::string::npos || name.find("kronecker_groups") != std::string::npos ||
        name.find("weight_only_") != std::string::npos || name.find("attend_decode") != std::string::npos;
    std::printf("%5d IMMA %5d HMMA %3d LDGSTS %6d instructions  %s\n", whole, floats, async_copies,
                static_cast<int>(length / 16), name.c_str());
    const bool group = name.find("_groups") != std::string::npos || name.find("_pipeline") != std::string::npos;
    const bool empty = group && whole + floats == 0 && !hopper;
    good = good && (((whole > 0) == product && (floats > 0) == transform) || empty);
    // Left steps and right steps of every size of KroneckerGroupPath: a compiler once lost some.
    constexpr int products[] = {0, 4 + 4, 4 + 5, 4 + 8, 7 + 8, 8 + 8, 4 * 8 + 14};
    const auto size_at = name.find("KroneckerGroupPathE");
    if (size_at != std::string::npos && !empty) good = good && floats == products[name[size_at + 19] - '0'];
  }
  if (kernels == 0 || !good) std::printf("%s: a kernel is not made of the instructions it should be\n", path);
  return good && kernels > 0;
}

}  // namespace

int main(int count, char** paths) {
  bool good = count > 1;
  for (int i = 1; i < count; ++i) good = check(paths[i]) && good;
  return good ? 0 : 1;
}
