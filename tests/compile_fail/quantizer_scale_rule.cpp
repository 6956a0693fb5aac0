// expect: planish: a scale rule has symmetry, codes(bits) and affine(range, clip, bits)
#include <planish/quantizer/quantizer.hpp>

namespace pl = planish;
const pl::Quantizer<4, pl::PerChannel, pl::MinMax> quantizer;  // the range rule in the scale rule's place
