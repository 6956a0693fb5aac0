#pragma once
// planish, the half that runs beside a model. In the order that data flows: words, how codes lie in memory, transforms,
// quantizers, the backends that run them, layers, the cache. Opt into layers whose types are known at run time only by
// <planish/linear/any.hpp>, into files, which bring such layers, by <planish/io.hpp>, and into finding the parameters
// by <planish/calibration.hpp>.

// What numbers and errors are
#include <planish/core/affine.hpp>
#include <planish/core/aligned_buffer.hpp>
#include <planish/core/bfloat16_term.hpp>
#include <planish/core/copyable.hpp>
#include <planish/core/executor.hpp>
#include <planish/core/granularity.hpp>
#include <planish/core/half.hpp>
#include <planish/core/index.hpp>
#include <planish/core/lu.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/core/random.hpp>
#include <planish/core/rescale.hpp>
#include <planish/core/result.hpp>
#include <planish/core/scheme.hpp>
#include <planish/core/status.hpp>
#include <planish/core/version.hpp>
#include <planish/core/workspace.hpp>

// How codes lie in memory
#include <planish/packing/bfloat16_factors.hpp>
#include <planish/packing/bit_packing.hpp>
#include <planish/packing/codes.hpp>
#include <planish/packing/epilogue.hpp>
#include <planish/packing/float_panels.hpp>
#include <planish/packing/packed_weights.hpp>
#include <planish/packing/panels.hpp>
#include <planish/packing/quantized_rows.hpp>
#include <planish/packing/row_quantizer.hpp>

// What flattens: x -> (x - z) A, and its dual on the weights
#include <planish/transform/bfloat16_kronecker.hpp>
#include <planish/transform/block_diagonal.hpp>
#include <planish/transform/dense.hpp>
#include <planish/transform/fold.hpp>
#include <planish/transform/hadamard.hpp>
#include <planish/transform/identity.hpp>
#include <planish/transform/kronecker.hpp>
#include <planish/transform/permutation.hpp>
#include <planish/transform/producer.hpp>
#include <planish/transform/rotation.hpp>
#include <planish/transform/scale.hpp>
#include <planish/transform/shift.hpp>
#include <planish/transform/transform.hpp>

// What rounds
#include <planish/quantizer/fixed_ratio.hpp>
#include <planish/quantizer/min_max.hpp>
#include <planish/quantizer/mse_shrink.hpp>
#include <planish/quantizer/percentile.hpp>
#include <planish/quantizer/policies.hpp>
#include <planish/quantizer/quantizer.hpp>
#include <planish/quantizer/weight_scheme.hpp>

// Where it runs
#include <planish/backend/default.hpp>

// What a model calls
#include <planish/kv_cache/kv_cache.hpp>
#include <planish/linear/multiply_together.hpp>
#include <planish/linear/quantized_linear.hpp>
#include <planish/linear/site.hpp>
