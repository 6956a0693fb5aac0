#pragma once
#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include <planish/core/abi.hpp>
#include <planish/core/result.hpp>
#include <planish/io/mapped_file.hpp>

namespace planish::inline PLANISH_ABI::io {

/// SHA-256 (FIPS 180-4) over bytes that come in pieces.
class Sha256 {
 public:
  using Digest = std::array<std::uint8_t, 32>;

  void update(std::span<const std::byte> bytes) noexcept {
    if (bytes.empty()) return;
    total_ += bytes.size();
    if (filled_ > 0) {
      const std::size_t part = std::min(bytes.size(), block_.size() - filled_);
      std::memcpy(block_.data() + filled_, bytes.data(), part);
      filled_ += part;
      bytes = bytes.subspan(part);
      if (filled_ < block_.size()) return;
      absorb(block_.data());
      filled_ = 0;
    }
    for (; bytes.size() >= block_.size(); bytes = bytes.subspan(block_.size())) absorb(bytes.data());
    std::memcpy(block_.data(), bytes.data(), bytes.size());
    filled_ = bytes.size();
  }
  void update(std::string_view text) noexcept { update(std::as_bytes(std::span(text))); }

  /// The digest of everything so far; nothing may follow.
  [[nodiscard]] Digest finish() noexcept {
    const std::uint64_t bits = total_ * 8;
    block_[filled_++] = std::byte{0x80};
    if (filled_ > 56) {
      std::memset(block_.data() + filled_, 0, block_.size() - filled_);
      absorb(block_.data());
      filled_ = 0;
    }
    std::memset(block_.data() + filled_, 0, 56 - filled_);
    for (int i = 0; i < 8; ++i) block_[static_cast<std::size_t>(56 + i)] = static_cast<std::byte>(bits >> (56 - 8 * i));
    absorb(block_.data());
    Digest digest{};
    for (std::size_t i = 0; i < digest.size(); ++i)
      digest[i] = static_cast<std::uint8_t>(state_[i / 4] >> (24 - 8 * (i % 4)));
    return digest;
  }

  /// The digest as 64 lower-case hexadecimal digits.
  [[nodiscard]] std::string finish_hex() {
    std::string text;
    for (std::uint8_t byte : finish())
      for (int nibble : {byte >> 4, byte & 15})
        text += static_cast<char>(nibble < 10 ? '0' + nibble : 'a' + nibble - 10);
    return text;
  }

 private:
  static constexpr std::array<std::uint32_t, 64> constants{
      0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
      0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
      0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
      0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
      0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
      0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
      0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
      0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

  void absorb(const std::byte* block) noexcept {
    std::array<std::uint32_t, 64> w;
    for (std::size_t i = 0; i < 16; ++i) {
      std::uint32_t word = 0;
      for (std::size_t j = 0; j < 4; ++j) word = word << 8 | std::to_integer<std::uint32_t>(block[4 * i + j]);
      w[i] = word;
    }
    for (std::size_t i = 16; i < 64; ++i) {
      const std::uint32_t a = w[i - 15], b = w[i - 2];
      w[i] = w[i - 16] + (std::rotr(a, 7) ^ std::rotr(a, 18) ^ (a >> 3)) + w[i - 7] +
             (std::rotr(b, 17) ^ std::rotr(b, 19) ^ (b >> 10));
    }
    auto [a, b, c, d, e, f, g, h] = state_;
    for (std::size_t i = 0; i < 64; ++i) {
      const std::uint32_t t1 =
          h + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) + ((e & f) ^ (~e & g)) + constants[i] + w[i];
      const std::uint32_t t2 = (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
      h = g;
      g = f;
      f = e;
      e = d + t1;
      d = c;
      c = b;
      b = a;
      a = t1 + t2;
    }
    const std::array<std::uint32_t, 8> next{a, b, c, d, e, f, g, h};
    for (std::size_t i = 0; i < 8; ++i) state_[i] += next[i];
  }

  std::array<std::uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::byte, 64> block_{};
  std::size_t filled_ = 0;
  std::uint64_t total_ = 0;  // bytes
};

/// SHA-256 of a whole file, 64 hexadecimal digits: the identity of a model.
[[nodiscard]] inline Result<std::string> sha256_of_file(const std::string& path) noexcept {
  const auto file = MappedFile::open(path);
  if (!file) return file.status();
  return detail::guarded(path, [&]() -> Result<std::string> {
    Sha256 hash;
    hash.update(file->bytes());
    return hash.finish_hex();
  });
}

}  // namespace planish::inline PLANISH_ABI::io
