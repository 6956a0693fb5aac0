// expect: planish: a range rule is callable, const, with a tile
#include <planish/quantizer/quantizer.hpp>

namespace pl = planish;
struct TakesNothing {
  pl::ValueRange operator()() const { return {}; }
};
const pl::Quantizer<4, pl::PerChannel, pl::Symmetric, TakesNothing> quantizer;
