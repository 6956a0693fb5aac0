#pragma once
#include <span>
#include <string>
#include <string_view>

namespace llama {

/// One turn of a conversation; `role` is "system", "user" or "assistant".
struct ChatMessage {
  std::string role;
  std::string content;
};

/// Writes conversations the way a chat model was trained on them: ChatML,
/// `<|im_start|>role\ncontent<|im_end|>\n` per message. Encode the result with SpecialTokens::parsed.
class ChatTemplate {
 public:
  /// Recognises ChatML in a model's `tokenizer.chat_template`, with the system message it puts before conversations
  /// that bring none. Throws Error for other templates and for an empty one.
  explicit ChatTemplate(std::string_view chat_template);

  /// The conversation, then the opening of the assistant's answer. Throws Error for an unknown role, and for
  /// content that holds the markers themselves, which would pose as a message of its own.
  [[nodiscard]] std::string prompt(std::span<const ChatMessage> messages) const;

  /// The same for a single question.
  [[nodiscard]] std::string prompt(std::string_view question) const;

  [[nodiscard]] const std::string& default_system() const noexcept { return default_system_; }

 private:
  std::string default_system_;  ///< empty: none
};

}  // namespace llama
