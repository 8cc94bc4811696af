#include "base/files.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>

#include "tests/support/paths.h"

namespace r1 {
namespace {

using ::testing::HasSubstr;

std::size_t num_entries(const std::string& folder) {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++count;
  return count;
}

TEST(WriteFileAtomically, ReplacesTheWholeFileAndLeavesNothingBeside) {
  const test::TemporaryFolder folder;
  write_file_atomically(folder.file("a"), "long first content");
  write_file_atomically(folder.file("a"), std::string("b\0c", 3));
  EXPECT_EQ(read_file(folder.file("a")), std::string("b\0c", 3));
  EXPECT_EQ(num_entries(folder.path()), 1);
}

TEST(AtomicFile, WithoutCommitLeavesTheOldFileAndNoOther) {
  const test::TemporaryFolder folder;
  write_file_atomically(folder.file("a"), "old");
  {
    AtomicFile file(folder.file("a"));
    file.write("new");
    EXPECT_EQ(read_file(folder.file("a")), "old");
  }
  EXPECT_EQ(read_file(folder.file("a")), "old");
  EXPECT_EQ(num_entries(folder.path()), 1);
}

TEST(AtomicFile, ThatCannotBeMadeIsADiskErrorWithPathAndFreeBytes) {
  const test::TemporaryFolder folder;
  try {
    AtomicFile file(folder.file("absent/a"));
    FAIL() << "expected an error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kDisk);
    EXPECT_EQ(exit_code(error.kind()), 6);
    EXPECT_THAT(error.what(), HasSubstr(folder.file("absent/a") + ": cannot create this file: No such file or directory ("));
  }
}

TEST(AtomicFile, ThatCannotGetItsNameLeavesNothing) {
  const test::TemporaryFolder folder;
  folder.write("taken/child", "x");  // a folder that is not empty cannot be replaced by a file
  EXPECT_THROW(write_file_atomically(folder.file("taken"), "content"), Error);
  EXPECT_EQ(num_entries(folder.path()), 1);
}

TEST(ReadFile, NamesWhatItCannotRead) {
  const test::TemporaryFolder folder;
  for (const auto& [path, reason] :
       {std::pair{folder.file("absent"), "cannot read: No such file"}, std::pair{folder.path(), "expected a file, found a folder"}}) {
    try {
      read_file(path, ErrorKind::kModel);
      FAIL() << "expected an error for " << path;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kModel);
      EXPECT_THAT(error.what(), HasSubstr(path + ": " + reason));
    }
  }
}

TEST(ReadFile, ReadsFilesWhoseSizeIsNotKnown) { EXPECT_THAT(read_file("/proc/self/status"), HasSubstr("Pid:")); }

TEST(MappedFile, ShowsTheBytesAndMoves) {
  const test::TemporaryFolder folder;
  MappedFile first(folder.write("a", "content"));
  EXPECT_EQ(first.text(), "content");
  MappedFile second = std::move(first);
  EXPECT_EQ(second.text(), "content");
  first = MappedFile(folder.write("b", "other"));
  second = std::move(first);
  EXPECT_EQ(second.text(), "other");
}

TEST(MappedFile, OfAnEmptyFileIsEmptyAndOfAFolderIsAnError) {
  const test::TemporaryFolder folder;
  EXPECT_TRUE(MappedFile(folder.write("a", "")).bytes().empty());
  EXPECT_THROW(MappedFile(folder.path()), Error);
  EXPECT_THROW(MappedFile(folder.file("absent")), Error);
}

TEST(MakeDirectories, MakesParentsAndRefusesAFileInTheWay) {
  const test::TemporaryFolder folder;
  make_directories(folder.file("a/b/c"));
  make_directories(folder.file("a/b/c"));
  EXPECT_TRUE(std::filesystem::is_directory(folder.file("a/b/c")));
  folder.write("file", "x");
  EXPECT_THROW(make_directories(folder.file("file")), Error);
}

TEST(FreeDiskBytes, LooksAtTheNearestParentThatExists) {
  const test::TemporaryFolder folder;
  EXPECT_GT(free_disk_bytes(folder.file("not/there/yet")), 0);
}

}  // namespace
}  // namespace r1
