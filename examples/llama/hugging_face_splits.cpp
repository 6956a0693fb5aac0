#include "hugging_face_splits.hpp"

#include "json_members.hpp"
#include "token_spelling.hpp"

namespace llama {
namespace {

/// A pattern that matches the text itself.
std::string literally(std::string_view text) {
  std::string pattern;
  for (const char c : text) {
    if (std::string_view("\\^$.|?*+()[]{}-").find(c) != std::string_view::npos) pattern += '\\';
    pattern += c;
  }
  return pattern;
}

/// Reads the steps of one tokenizer, one kind after the other.
class SplitReader {
 public:
  SplitReader(const std::string& path, Vocabulary& vocabulary) : path_(path), vocabulary_(vocabulary) {}

  /// Steps of a `Sequence`, or the step itself.
  void normalise(const nlohmann::json& step) {
    for_each(step, "normalizers", [this](const JsonMembers& members, const std::string& type) {
      if (type == "NFC") return;  // text is taken as it is: nearly all of it is composed already
      if (type == "Prepend" && members.text("prepend") == space_mark) {
        vocabulary_.adds_space_prefix = true;
      } else if (type == "Replace" && members.text("content") == space_mark && replaces_space(members)) {
        vocabulary_.kind = TokenizerKind::sentence_piece;
      } else {
        fail(path_, ": the normalizer '", type, "' is not supported (NFC, Prepend and Replace of the space mark)");
      }
    });
  }

  void cut(const nlohmann::json& step) {
    for_each(step, "pretokenizers", [this](const JsonMembers& members, const std::string& type) {
      if (type == "Split")
        split(members);
      else if (type == "Digits")
        add(members.flag("individual_digits", false) ? R"(\p{N})" : R"(\p{N}+)");
      else if (type == "ByteLevel")
        cut_to_bytes(members);
      else if (type == "Metaspace")
        cut_at_spaces(members);
      else
        fail(path_, ": the pre-tokenizer '", type, "' is not supported (Split, Digits, ByteLevel, Metaspace)");
    });
  }

  /// Throws Error unless the steps together are one of the two kinds.
  void check() const {
    if (vocabulary_.kind == TokenizerKind::byte_level && !is_byte_level_)
      fail(path_,
           ": the tokenizer is neither byte-level (ByteLevel) nor in the manner of SentencePiece (Metaspace, or "
           "Replace of a space)");
    if (vocabulary_.kind == TokenizerKind::sentence_piece && is_byte_level_)
      fail(path_, ": the tokenizer spells spaces in two ways");
  }

 private:
  template <class Use>
  void for_each(const nlohmann::json& step, const char* list, Use&& use) {
    if (step.is_null()) return;
    if (!step.is_object()) fail(path_, ": a step of the tokenizer is not an object");
    const JsonMembers members(step, path_);
    const std::string type = members.text("type");
    if (type != "Sequence") return use(members, type);
    for (const nlohmann::json& inner : members.array(list)) for_each(inner, list, use);
  }

  [[nodiscard]] static bool replaces_space(const JsonMembers& members) {
    return members.object("pattern").text("String", "") == " ";
  }

  void add(std::string pattern, SplitKeeps keeps = SplitKeeps::all) {
    if (is_byte_level_) fail(path_, ": the pre-tokenizer ByteLevel is not the last step");
    vocabulary_.splits.push_back({std::move(pattern), keeps});
  }

  void split(const JsonMembers& members) {
    const JsonMembers pattern = members.object("pattern");
    const std::string text = pattern.has("Regex") ? pattern.text("Regex") : literally(pattern.text("String"));
    const std::string behaviour = members.text("behavior", "Isolated");
    const bool inverted = members.flag("invert", false);
    if (behaviour != "Isolated" && behaviour != "Removed")
      fail(path_, ": the behavior '", behaviour, "' of the pre-tokenizer Split is not supported (Isolated, Removed)");
    add(text, behaviour == "Isolated" ? SplitKeeps::all : inverted ? SplitKeeps::matches : SplitKeeps::gaps);
  }

  void cut_to_bytes(const JsonMembers& members) {
    if (members.flag("use_regex", true)) add(std::string(gpt2_pattern()));
    if (members.flag("add_prefix_space", true)) {
      if (vocabulary_.splits.size() > 1)
        fail(path_, ": ByteLevel with add_prefix_space after other steps is not supported");
      vocabulary_.adds_space_prefix = vocabulary_.prefixes_if_missing = true;
    }
    is_byte_level_ = true;
  }

  void cut_at_spaces(const JsonMembers& members) {
    if (members.text("replacement", std::string(space_mark)) != space_mark)
      fail(path_, ": the pre-tokenizer Metaspace with another mark than U+2581 is not supported");
    const std::string scheme =
        members.text("prepend_scheme", members.flag("add_prefix_space", true) ? "always" : "never");
    if (scheme != "always" && scheme != "first" && scheme != "never")
      fail(path_, ": the prepend_scheme '", scheme, "' of the pre-tokenizer Metaspace is not supported");
    vocabulary_.kind = TokenizerKind::sentence_piece;
    if (scheme != "never") vocabulary_.adds_space_prefix = vocabulary_.prefixes_if_missing = true;
    vocabulary_.prefixes_once = scheme == "first";
    if (members.flag("split", true)) add(" [^ ]*");  // every word keeps the space before it
  }

  const std::string& path_;
  Vocabulary& vocabulary_;
  bool is_byte_level_ = false;
};

}  // namespace

void read_hugging_face_splits(const nlohmann::json& tokenizer, const std::string& path, Vocabulary& vocabulary) {
  const auto member = [&](const char* key) { return tokenizer.contains(key) ? tokenizer[key] : nlohmann::json(); };
  vocabulary.kind = TokenizerKind::byte_level;
  SplitReader reader(path, vocabulary);
  reader.normalise(member("normalizer"));
  reader.cut(member("pre_tokenizer"));
  reader.check();
}

}  // namespace llama
