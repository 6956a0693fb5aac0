// expect: planish: AlignedBuffer holds plain numbers
#include <string>

#include <planish/core/aligned_buffer.hpp>

namespace pl = planish;
const auto buffer = pl::AlignedBuffer<std::string>::make(4);
