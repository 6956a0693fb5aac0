#pragma once
// For hosts of many units that learn: beside the unit of planish/bodies.hpp, and like it per set of instruction-set
// flags, one unit that holds this line alone:
//
//   #include <planish/calibration_bodies.hpp>
#if !defined(PLANISH_SEPARATE_BODIES)
#error "planish/calibration_bodies.hpp is for a program that defines PLANISH_SEPARATE_BODIES for all its units"
#endif
#include <planish/kernels/cpu/learning_bodies.hpp>
