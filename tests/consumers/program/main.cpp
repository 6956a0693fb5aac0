#include <planish/planish.hpp>  // a second unit: nothing may be defined twice

#include "layer.hpp"

int main() {
  const planish::Status wrong = planish::Hadamard::make(-1).status();
  return layer_is_right() && wrong.code() == planish::ErrorCode::invalid_argument ? 0 : 1;
}
