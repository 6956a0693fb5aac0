#include "id_lines.hpp"

#include <fstream>
#include <sstream>

namespace llama {

std::string to_id_lines(const std::vector<std::vector<int>>& sequences) {
  std::ostringstream lines;
  for (const std::vector<int>& sequence : sequences)
    for (std::size_t i = 0; i < sequence.size(); ++i) lines << sequence[i] << (i + 1 == sequence.size() ? '\n' : ' ');
  return lines.str();
}

std::optional<std::vector<std::vector<int>>> read_id_lines(const std::string& path, index count, index length,
                                                           index vocabulary) {
  std::ifstream file(path);
  std::vector<std::vector<int>> sequences;
  for (std::string line; static_cast<index>(sequences.size()) < count;) {
    if (!std::getline(file, line) || file.eof()) return std::nullopt;  // also a last line that was cut off
    std::istringstream numbers(line);
    std::vector<int>& ids = sequences.emplace_back();
    for (int id = 0; numbers >> id;) {
      if (id < 0 || id >= vocabulary) return std::nullopt;
      ids.push_back(id);
    }
    if (!numbers.eof() || static_cast<index>(ids.size()) != length) return std::nullopt;
  }
  return sequences;
}

}  // namespace llama
