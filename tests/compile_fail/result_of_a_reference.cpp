// expect: planish: Result<T> holds a value; use a pointer or a view
#include <planish/core/result.hpp>

namespace pl = planish;
bool has_value(const pl::Result<int&>& result) { return result.has_value(); }
