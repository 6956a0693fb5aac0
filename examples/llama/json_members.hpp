#pragma once
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "config.hpp"

namespace llama {

/// Members of a JSON object by type; every complaint names the file and the key. Null counts as missing.
class JsonMembers {
 public:
  using Json = nlohmann::json;

  JsonMembers(const Json& json, const std::string& path) : json_(json), path_(path) {}

  [[nodiscard]] bool has(const char* key) const { return json_.contains(key) && !json_[key].is_null(); }
  [[nodiscard]] bool is_null(const char* key) const { return json_.contains(key) && json_[key].is_null(); }
  [[nodiscard]] const Json& operator[](const char* key) const { return json_[key]; }

  [[nodiscard]] index number(const char* key) const {
    if (!has(key)) throw Error(path_ + ": '" + key + "' is missing");
    if (!json_[key].is_number_integer()) throw Error(path_ + ": '" + key + "' is not a whole number");
    return json_[key].get<index>();
  }
  [[nodiscard]] index number(const char* key, index otherwise) const { return has(key) ? number(key) : otherwise; }

  [[nodiscard]] double real(const char* key, double otherwise) const {
    if (!has(key)) return otherwise;
    if (!json_[key].is_number()) throw Error(path_ + ": '" + key + "' is not a number");
    return json_[key].get<double>();
  }
  [[nodiscard]] bool flag(const char* key, bool otherwise) const {
    if (!has(key)) return otherwise;
    if (!json_[key].is_boolean()) throw Error(path_ + ": '" + key + "' is not true or false");
    return json_[key].get<bool>();
  }
  [[nodiscard]] std::string text(const char* key) const {
    if (!has(key)) throw Error(path_ + ": '" + key + "' is missing");
    if (!json_[key].is_string()) throw Error(path_ + ": '" + key + "' is not a string");
    return json_[key].get<std::string>();
  }
  [[nodiscard]] std::string text(const char* key, const std::string& otherwise) const {
    return has(key) ? text(key) : otherwise;
  }
  [[nodiscard]] JsonMembers object(const char* key) const {
    if (!has(key) || !json_[key].is_object()) throw Error(path_ + ": '" + key + "' is not an object");
    return {json_[key], path_};
  }
  [[nodiscard]] const Json& array(const char* key) const {
    if (!has(key) || !json_[key].is_array()) throw Error(path_ + ": '" + key + "' is not a list");
    return json_[key];
  }

 private:
  const Json& json_;
  const std::string& path_;
};

/// Throws Error unless the text is a JSON object; `path` is for messages.
[[nodiscard]] inline nlohmann::json parse_json(const std::string& path, std::string_view text) {
  nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) throw Error(path + ": is not a JSON object");
  return json;
}

}  // namespace llama
