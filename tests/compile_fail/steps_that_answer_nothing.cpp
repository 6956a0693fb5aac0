// expect: planish: on_step takes a LearnProgress and returns bool: false stops the learning
#include <planish/calibration/optimizer/learn.hpp>

namespace pl = planish;
namespace cal = planish::calibration;
void learn(cal::ParameterSet<float>& parameters, cal::tape::Tape<float>& on, cal::tape::Variable<float> loss) {
  const auto report = cal::learn(
      parameters, on, {}, [loss](pl::index) { return loss; }, [](const cal::LearnProgress&) {});
}
