#pragma once
#include "block_claim.hpp"

namespace llama {

/// The place of this process among those that one `mpirun` has started; rank 0 of 1 outside of it, and where planish
/// was built without MPI. Processes of a job meet in its folder only, so MPI is left again at once: a process that dies
/// later breaks no call of the others, and none of them waits for it.
[[nodiscard]] JobShare ranks();

}  // namespace llama
