// A host whose own names are ordinary ones: macros before the headers, globals and types beside them.
#define ROWS 1
#define BITS 4
#define ALIGN(x) x
#define LIKELY(x) (x)
#define UNUSED
#define VERSION "7.8.9"

#include <planish/planish.hpp>

#include "layer.hpp"

struct Status {};
struct Transform {};
struct Workspace {};
struct Hadamard {};
using index_type = long;
template <class T>
struct MatrixView {};
int quantize(int value) { return value + BITS; }

int main() {
  using namespace planish;  // a host may do this; only names that it uses itself are then ambiguous
  return layer_is_right() && ::quantize(0) == 4 ? 0 : 1;
}
