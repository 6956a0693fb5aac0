#include "llama/table.hpp"

#include <limits>

#include <doctest/doctest.h>

using namespace llama;

TEST_CASE("columns are aligned: names to the left, numbers to the right, by characters and not bytes") {
  Table table({{"recipe", "", Align::left}, {"perplexity"}, {"speed", "tokens/s"}});
  table.add_row({"fp32", "21.77 \u00b1 0.3", "812"});
  table.add_row({"w4a4kv4+hadamard", "113.70 \u00b1 1.2", "1024"});
  table.add_row({"w4a8"});
  CHECK(table.to_string() ==
        "recipe              perplexity     speed\n"
        "                                tokens/s\n"
        "----------------------------------------\n"
        "fp32               21.77 \u00b1 0.3       812\n"
        "w4a4kv4+hadamard  113.70 \u00b1 1.2      1024\n"
        "w4a8\n");
}

TEST_CASE("a table without units has one heading line, and one without rows is still a table") {
  CHECK(Table({{"a", "", Align::left}, {"b"}}).to_string() == "a  b\n----\n");
}

TEST_CASE("numbers are written without exponents") {
  CHECK(fixed(3.14159, 2) == "3.14");
  CHECK(fixed(-0.5, 0) == "-0");
  CHECK(significant(11609.4, 4) == "11609");
  CHECK(significant(113.72, 4) == "113.7");
  CHECK(significant(0.03204, 3) == "0.0320");
  CHECK(significant(0.0, 3) == "0");
  CHECK(significant(1.0, 3) == "1.00");
  CHECK(mebibytes(98362432) == "93.8");
  for (const double x : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    CHECK(fixed(x, 2) == "-");
    CHECK(significant(x, 3) == "-");
  }
}
