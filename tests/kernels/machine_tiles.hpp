#pragma once
// Whether the machine that runs the tests has AMX's tiles, where they are compiled for it.
#include <string>

#include <doctest/doctest.h>

#include <planish/kernels/cpu/isa/tile_permission.hpp>

#if defined(PLANISH_HAS_AMX_INT8)
/// False, with a line, where this machine runs no tiles. Leaves them disabled.
inline bool machine_has_tiles() {
  namespace isa = planish::kernels::cpu::isa;
  const planish::Status status = isa::enable_tiles();
  if (status) isa::use_tiles(false);
  if (!status) MESSAGE(std::string(status.message()));
  return status.ok();
}
#endif
