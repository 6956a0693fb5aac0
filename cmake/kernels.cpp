// The kernels of our own tests and examples, compiled once.
#include <planish/kernels.hpp>
