#pragma once
// For hosts of many units: the kernels, which are nine tenths of what a unit that calls them compiles, compiled once.
// Define PLANISH_SEPARATE_KERNELS for the whole program and give it, per set of instruction-set flags in use, one unit
// with those flags that holds this line alone:
//
//   #include <planish/kernels.hpp>
//
// Nothing else changes: the same functions with the same bits, called instead of inlined.
#if !defined(PLANISH_SEPARATE_KERNELS)
#error "planish/kernels.hpp compiles the kernels of a program that defines PLANISH_SEPARATE_KERNELS for all its units"
#endif
#include <planish/kernels/cpu/bodies.hpp>
