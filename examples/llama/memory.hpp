#pragma once
#include <cstdint>

namespace llama {

/// Resident memory of this process in bytes, or 0 where the system does not say (anything but Linux).
[[nodiscard]] std::int64_t current_memory_bytes();

/// The largest resident memory since the start or the last reset.
[[nodiscard]] std::int64_t peak_memory_bytes();

/// Gives what was freed back to the system, else it counts in the next peak.
void trim_memory();

/// From now on, every larger block of memory goes back to the system as soon as it is freed. Costs its pages anew each
/// time: for work that keeps its buffers, and whose parts need different ones.
void return_freed_memory();

/// Starts the peak again at the current size. False where the system refuses; the peak then covers the whole run.
bool reset_peak_memory();

}  // namespace llama
