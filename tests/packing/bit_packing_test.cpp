#include <vector>

#include <doctest/doctest.h>

#include <planish/core/random.hpp>
#include <planish/packing/bit_packing.hpp>

namespace pl = planish;

namespace {

using pl::index;  // inside a namespace: the C library has a function of this name

TEST_CASE("packing bits is bijective for every width and length") {
  std::uint64_t seed = 1;
  for (int bits = 2; bits <= 8; ++bits) {
    for (pl::Symmetry symmetry : {pl::Symmetry::symmetric, pl::Symmetry::asymmetric}) {
      for (index length = 0; length <= 70; ++length) {
        INFO("seed ", seed, " bits ", bits, " length ", length);
        pl::Random random(seed++);
        const pl::CodeRange range = pl::code_range(bits, symmetry);
        std::vector<std::uint8_t> codes(static_cast<std::size_t>(length));
        for (std::uint8_t& code : codes)
          code = static_cast<std::uint8_t>(range.lowest + static_cast<int>(random.below(1u << bits)));
        const auto bytes = static_cast<std::size_t>(pl::packed_row_bytes(length, bits));
        std::vector<std::uint8_t> packed(bytes + 1, 0xee), unpacked(codes.size() + 1, 0xee);
        pl::pack_row(codes.data(), length, bits, symmetry, packed.data());
        CHECK(packed[bytes] == 0xee);
        pl::unpack_row(packed.data(), length, bits, symmetry, unpacked.data());
        CHECK(unpacked.back() == 0xee);
        unpacked.pop_back();
        CHECK(unpacked == codes);

        // the other way: bytes whose unused high bits are 0 come back as they were
        std::vector<std::uint8_t> stream(bytes);
        for (std::uint8_t& byte : stream) byte = static_cast<std::uint8_t>(random.below(256));
        const int used = static_cast<int>(length * bits % 8);
        if (used != 0) stream.back() = static_cast<std::uint8_t>(stream.back() & ((1 << used) - 1));
        pl::unpack_row(stream.data(), length, bits, symmetry, unpacked.data());
        pl::pack_row(unpacked.data(), length, bits, symmetry, packed.data());
        packed.pop_back();
        CHECK(packed == stream);
      }
    }
  }
}

TEST_CASE("packed bits follow each other lowest first, symmetric codes offset by half their range") {
  const std::vector<std::uint8_t> codes = {1, 2, 3, 4, 5};
  std::vector<std::uint8_t> bytes(2);
  pl::pack_row(codes.data(), 5, 3, pl::Symmetry::asymmetric, bytes.data());
  CHECK(bytes == std::vector<std::uint8_t>{0b11'010'001, 0b0'101'100'0});
  const std::vector<std::uint8_t> signed_codes = {static_cast<std::uint8_t>(-8), 7};
  bytes.resize(1);
  pl::pack_row(signed_codes.data(), 2, 4, pl::Symmetry::symmetric, bytes.data());
  CHECK(bytes == std::vector<std::uint8_t>{0xf0});
}

}  // namespace
