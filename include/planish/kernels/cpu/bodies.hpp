#pragma once
// Every body that entry_points.hpp promises.
#include <planish/kernels/cpu/attend.hpp>
#include <planish/kernels/cpu/cache_store.hpp>
#include <planish/kernels/cpu/dense_rows.hpp>
#include <planish/kernels/cpu/hadamard_rows.hpp>
#include <planish/kernels/cpu/kronecker_bfloat16.hpp>
#include <planish/kernels/cpu/kronecker_codes.hpp>
#include <planish/kernels/cpu/kronecker_rows.hpp>
#include <planish/kernels/cpu/multiply.hpp>
#include <planish/kernels/cpu/multiply_amx.hpp>
#include <planish/kernels/cpu/multiply_float.hpp>
#include <planish/kernels/cpu/multiply_weight_only.hpp>
#include <planish/kernels/cpu/norm_rows.hpp>
#include <planish/kernels/cpu/quantize_rows.hpp>
#include <planish/kernels/cpu/swiglu_rows.hpp>
