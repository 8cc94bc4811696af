// Where tests find the ground truth, and a folder that goes away after the test.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>

namespace r1::test {

/// Folder of the shared ground truth (R1_SHARED, else ../shared beside the project), or nothing in a bare clone.
std::optional<std::string> shared_folder();

/// Root of the project's source tree.
std::string source_folder();

/// A fresh folder, removed with everything in it when the object goes.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  /// Writes a file into the folder and returns its path.
  std::string write(const std::string& name, const std::string& content) const;

 private:
  std::string path_;
};

}  // namespace r1::test

/// Skips aloud where the shared ground truth is missing (a bare clone); `shared` is then its path.
#define R1_REQUIRE_SHARED(shared)                                                                              \
  const auto shared##_or_none = ::r1::test::shared_folder();                                                   \
  if (!shared##_or_none) GTEST_SKIP() << "needs the shared ground truth (../shared or R1_SHARED): bare clone"; \
  const std::string shared = *shared##_or_none
