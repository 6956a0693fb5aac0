// expect: planish: record_loss(batch) takes an index and returns the loss as a tape::Variable
#include <planish/calibration/optimizer/learn.hpp>

namespace pl = planish;
namespace cal = planish::calibration;
void learn(cal::ParameterSet<float>& parameters, cal::tape::Tape<float>& on) {
  const auto report = cal::learn(
      parameters, on, {}, [](pl::index) { return 0.5f; }, [](const cal::LearnProgress&) { return true; });
}
