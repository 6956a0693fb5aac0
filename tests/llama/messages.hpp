#pragma once
// What work that must fail says.
#include <exception>
#include <functional>
#include <string>
#include <string_view>

namespace llama::test {

inline std::string message_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "no error";
}

inline bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace llama::test
