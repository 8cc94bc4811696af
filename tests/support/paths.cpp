#include "tests/support/paths.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace r1::test {

std::string source_folder() {
  // __FILE__ is <source>/tests/support/paths.cpp
  return std::filesystem::path(__FILE__).parent_path().parent_path().parent_path().string();
}

std::optional<std::string> shared_folder() {
  const char* chosen = std::getenv("R1_SHARED");
  const std::string folder = chosen != nullptr ? chosen : (std::filesystem::path(source_folder()).parent_path() / "shared").string();
  if (!std::filesystem::is_directory(folder + "/fixtures")) return std::nullopt;
  return folder;
}

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "r1-test-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed for " + pattern);
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TemporaryFolder::write(const std::string& name, const std::string& content) const {
  const std::string path = file(name);
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << content;
  return path;
}

}  // namespace r1::test
