#include "laws/isa_laws.hpp"

TEST_CASE("the instruction set of this build computes the integers of the reference") {
  laws::check_isa<planish::kernels::cpu::isa::Best>();
}
