#include "white_space.hpp"

#include <algorithm>
#include <array>

namespace llama {
namespace {

constexpr std::array<std::string_view, 25> spaces{" ",      "\t",     "\n",     "\v",     "\f",     "\r",     "\u0085",
                                                  "\u00a0", "\u1680", "\u2000", "\u2001", "\u2002", "\u2003", "\u2004",
                                                  "\u2005", "\u2006", "\u2007", "\u2008", "\u2009", "\u200a", "\u2028",
                                                  "\u2029", "\u202f", "\u205f", "\u3000"};

template <class Is>
std::size_t space_that(Is&& is_there) {
  const auto found = std::find_if(spaces.begin(), spaces.end(), is_there);
  return found == spaces.end() ? 0 : found->size();
}

}  // namespace

std::size_t leading_space(std::string_view text) {
  std::size_t taken = 0;
  while (const std::size_t bytes = space_that([&](auto space) { return text.substr(taken).starts_with(space); }))
    taken += bytes;
  return taken;
}

std::size_t trailing_space(std::string_view text) {
  const std::size_t whole = text.size();
  while (const std::size_t bytes = space_that([&](auto space) { return text.ends_with(space); }))
    text.remove_suffix(bytes);
  return whole - text.size();
}

}  // namespace llama
