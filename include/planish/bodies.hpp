#pragma once
// For hosts of many units: what is the same in every unit that runs layers, most of what such a unit compiles,
// compiled once. Define PLANISH_SEPARATE_BODIES for the whole program and give it, per set of instruction-set flags in
// use, one unit with those flags that holds this line alone:
//
//   #include <planish/bodies.hpp>
//
// Nothing else changes: the same functions with the same bits, called instead of compiled again.
#if !defined(PLANISH_SEPARATE_BODIES)
#error "planish/bodies.hpp is for a program that defines PLANISH_SEPARATE_BODIES for all its units"
#endif
#include <planish/kernels/cpu/bodies.hpp>
#include <planish/linear/built_in_stages.hpp>
