// What our own tests and examples compile once.
#include <planish/bodies.hpp>
