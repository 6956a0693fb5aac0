// expect: planish: tapes and what is learned on them are of float or double
#include <planish/calibration/tape/tape.hpp>

namespace tape = planish::calibration::tape;
tape::Tape<int> record;
