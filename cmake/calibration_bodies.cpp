// What our own tests and examples that learn compile once.
#include <planish/calibration_bodies.hpp>
