#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <planish/core/array.hpp>

namespace pl = planish;

namespace {

template <class T>
std::vector<T> three() {
  if constexpr (std::is_same_v<T, std::string>)
    return {"one", "two", "three"};
  else
    return {1, 2, 3};
}

template <class T>
std::vector<T> values_of(const pl::Array<T>& array) {
  CHECK(array.end() - array.begin() == static_cast<std::ptrdiff_t>(array.size()));
  CHECK(array.empty() == (array.size() == 0));
  for (std::size_t i = 0; i < array.size(); ++i) CHECK(&array[i] == array.data() + i);
  return {array.begin(), array.end()};
}

}  // namespace

TEST_CASE_TEMPLATE("an array holds what its vector held", T, float, std::int8_t, std::string) {
  const std::vector<T> given = three<T>();
  CHECK(values_of(pl::Array<T>()).empty());
  CHECK(values_of(pl::Array<T>(given)) == given);
  CHECK(values_of(pl::Array<T>{given[0], given[1], given[2]}) == given);
  CHECK(values_of(pl::Array<T>(given.begin(), given.end())) == given);
  CHECK(values_of(pl::Array<T>(2)) == std::vector<T>(2));
  CHECK(values_of(pl::Array<T>(std::size_t{2}, given[1])) == std::vector<T>(2, given[1]));

  pl::Array<T> grown;
  grown.reserve(3);
  for (const T& value : given) grown.push_back(value);
  CHECK(values_of(grown) == given);
  CHECK(grown.front() == given.front());
  CHECK(grown.back() == given.back());
  grown.pop_back();
  grown.resize(4, given[0]);
  CHECK(values_of(grown) == std::vector<T>{given[0], given[1], given[0], given[0]});
}

TEST_CASE("an array takes a vector's memory, copies deeply and moves without a copy") {
  std::vector<double> given(100, 0.5);
  const double* const memory = given.data();
  pl::Array<double> array(std::move(given));
  CHECK(array.data() == memory);

  pl::Array<double> copy(array);
  CHECK(copy.data() != memory);
  copy[3] = 2.0;
  CHECK(array[3] == 0.5);
  array = copy;
  CHECK(array[3] == 2.0);

  const double* const copied = copy.data();
  pl::Array<double> moved(std::move(copy));
  CHECK(moved.data() == copied);
  array = std::move(moved);
  CHECK(array.data() == copied);
  CHECK(std::span<const double>(array).size() == 100);
}

TEST_CASE("an array may hold what cannot be copied, as long as nobody copies it") {
  pl::Array<std::unique_ptr<int>> owners;
  owners.push_back(std::make_unique<int>(7));
  const pl::Array<std::unique_ptr<int>> taken(std::move(owners));
  CHECK(*taken[0] == 7);
  static_assert(std::is_nothrow_move_constructible_v<pl::Array<std::unique_ptr<int>>>);
}
