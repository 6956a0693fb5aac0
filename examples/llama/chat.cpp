#include "chat.hpp"

#include "error.hpp"

namespace llama {
namespace {

constexpr std::string_view start = "<|im_start|>";
constexpr std::string_view end = "<|im_end|>";

/// The text that the template itself puts into a system message: literal, so without quotes or braces of its language.
std::string literal_system_message(std::string_view source) {
  const std::string opening = std::string(start) + "system";
  for (std::size_t at = source.find(opening); at != std::string_view::npos; at = source.find(opening, at + 1)) {
    std::string_view rest = source.substr(at + opening.size());
    if (rest.substr(0, 1) == "\n")
      rest.remove_prefix(1);
    else if (rest.substr(0, 2) == "\\n")
      rest.remove_prefix(2);
    else
      continue;
    const std::string_view message = rest.substr(0, rest.find(end));
    if (message.size() < rest.size() && !message.empty() && message.find_first_of("'\"{}") == std::string_view::npos)
      return std::string(message);
  }
  return {};
}

}  // namespace

ChatTemplate::ChatTemplate(std::string_view chat_template) {
  if (chat_template.empty()) fail("the model has no chat template; generate without one");
  if (chat_template.find(start) == std::string_view::npos || chat_template.find(end) == std::string_view::npos)
    fail("the model's chat template is not ChatML (", start, "role ... ", end,
         "), the only one known here; write the prompt as the model expects it and generate without a template");
  default_system_ = literal_system_message(chat_template);
}

std::string ChatTemplate::prompt(std::span<const ChatMessage> messages) const {
  std::string text;
  const auto add = [&](std::string_view role, std::string_view content) {
    text += std::string(start) + std::string(role) + '\n' + std::string(content) + std::string(end) + '\n';
  };
  if (!default_system_.empty() && !messages.empty() && messages.front().role != "system")
    add("system", default_system_);
  for (const ChatMessage& message : messages) {
    if (message.role != "system" && message.role != "user" && message.role != "assistant")
      fail("a chat message has the role '", message.role, "'; known are system, user and assistant");
    for (const std::string_view marker : {start, end})
      if (message.content.find(marker) != std::string::npos)
        fail("a chat message holds ", marker, ", which would end it and begin another");
    add(message.role, message.content);
  }
  return text + std::string(start) + "assistant\n";
}

std::string ChatTemplate::prompt(std::string_view question) const {
  const ChatMessage message{"user", std::string(question)};
  return prompt(std::span(&message, 1));
}

}  // namespace llama
