#include "tokenizer_files.hpp"

#include <filesystem>
#include <vector>

#include <planish/io/gguf.hpp>

#include "json_members.hpp"
#include "require.hpp"
#include "text_source.hpp"

namespace llama {
namespace {

namespace files = std::filesystem;

bool is_there(const files::path& path) {
  std::error_code ignored;
  return files::is_regular_file(path, ignored);
}

/// Files of llama2.c's naming in a folder.
std::vector<std::string> llama2c_tokenizers(const files::path& folder) {
  std::vector<std::string> found;
  std::error_code ignored;
  for (const auto& entry : files::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("tok") && name.ends_with(".bin")) found.push_back(entry.path().string());
  }
  return found;
}

}  // namespace

std::string find_tokenizer(const std::string& path) {
  std::error_code ignored;
  const bool is_folder = files::is_directory(path, ignored);
  const bool is_weights = path.ends_with(".safetensors") || path.ends_with(".safetensors.index.json");
  if (!is_folder && !is_weights) return path;
  const files::path folder = is_folder ? files::path(path) : files::path(path).remove_filename();
  for (const char* name : {"tokenizer.json", "tokenizer.model"})
    if (is_there(folder / name)) return (folder / name).string();
  const auto others = llama2c_tokenizers(folder.empty() ? files::path(".") : folder);
  if (others.size() == 1) return others.front();
  if (others.size() > 1) fail(path, ": several tokenizers lie there; name one by --tokenizer FILE");
  fail(path,
       ": has no tokenizer (tokenizer.json, tokenizer.model or a tok*.bin of llama2.c); name one by "
       "--tokenizer FILE");
}

std::string read_chat_template(const std::string& tokenizer_path) {
  if (tokenizer_path.ends_with(".gguf"))
    return require(require(planish::io::GgufFile::open(tokenizer_path)).get_string("tokenizer.chat_template"));
  const files::path folder = files::path(tokenizer_path).remove_filename();
  if (is_there(folder / "chat_template.jinja")) return read_text((folder / "chat_template.jinja").string());
  const std::string config_path = (folder / "tokenizer_config.json").string();
  if (!is_there(config_path)) fail(tokenizer_path, ": has no chat template");
  const nlohmann::json json = parse_json(config_path, read_text(config_path));
  const JsonMembers config(json, config_path);
  if (!config.has("chat_template")) fail(config_path, ": has no chat template");
  if (config["chat_template"].is_string()) return config.text("chat_template");
  for (const nlohmann::json& named : config.array("chat_template"))
    if (named.is_object() && JsonMembers(named, config_path).text("name") == "default")
      return JsonMembers(named, config_path).text("template");
  fail(config_path, ": has several chat templates, none of them 'default'");
}

}  // namespace llama
