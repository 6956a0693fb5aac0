// expect: planish: tapes and what is learned on them are of float or double
#include <planish/calibration/optimizer/parameter_set.hpp>

namespace cal = planish::calibration;
cal::ParameterSet<int> parameters;
