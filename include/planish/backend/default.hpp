#pragma once
#include <planish/backend/backend.hpp>
#include <planish/backend/cpu.hpp>
#include <planish/backend/reference.hpp>

namespace planish::inline PLANISH_ABI {

/// What layers run on unless told otherwise.
using DefaultBackend = Cpu;

static_assert(Backend<Reference> && Backend<Cpu>);

}  // namespace planish::inline PLANISH_ABI
