#pragma once
// Every body that learning_entry_points.hpp promises.
#include <planish/kernels/cpu/float_product.hpp>
#include <planish/kernels/cpu/rounded_product.hpp>
