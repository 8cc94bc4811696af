#include "io/journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "base/rng.h"
#include "tests/support/paths.h"

namespace r1::io {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
namespace fs = std::filesystem;

std::vector<std::string> records_of(const std::string& path) {
  std::vector<std::string> records;
  Journal::read(path, [&](std::string_view record) { records.emplace_back(record); });
  return records;
}

void append_all(const std::string& path, const std::vector<std::string>& records) {
  Journal journal(path, {.interval_seconds = 60});
  for (const std::string& record : records) journal.append(record);
}

TEST(Journal, KeepsRecordsOverReopening) {
  const test::TemporaryFolder folder;
  const std::string path = folder.file("j");
  append_all(path, {"one", "", std::string("t\0wo", 4)});
  std::vector<std::string> seen;
  {
    Journal journal(path, {.interval_seconds = 0}, [&](std::string_view record) { seen.emplace_back(record); });
    EXPECT_EQ(journal.recovery().num_records, 3);
    EXPECT_EQ(journal.recovery().cut_bytes, 0u);
    journal.append("three");
  }
  EXPECT_THAT(seen, ElementsAre("one", "", std::string("t\0wo", 4)));
  EXPECT_THAT(records_of(path), ElementsAre("one", "", std::string("t\0wo", 4), "three"));
}

TEST(Journal, ATornTailLosesTheLastRecordOnly) {
  const test::TemporaryFolder folder;
  const std::string path = folder.file("j");
  append_all(path, {"first", "second", "third record"});
  const std::string whole = read_file(path);
  const std::size_t third = whole.size() - 16 - 12;
  for (std::size_t size = third + 1; size < whole.size(); ++size) {
    write_file_atomically(path, whole.substr(0, size));
    EXPECT_THAT(records_of(path), ElementsAre("first", "second"));
    Journal journal(path, {});
    EXPECT_EQ(journal.recovery().cut_bytes, size - third);
    EXPECT_TRUE(journal.recovery().saved_tail.empty());
    journal.append("again");
    EXPECT_THAT(records_of(path), ElementsAre("first", "second", "again"));
  }
  write_file_atomically(path, whole + std::string(100, '\0'));  // the size reached the disk, the data did not
  EXPECT_EQ(Journal(path, {}).recovery().num_records, 3);
  EXPECT_EQ(read_file(path), whole);
}

TEST(Journal, DamageInTheMiddleKeepsTheBytesBehindItAside) {
  const test::TemporaryFolder folder;
  const std::string path = folder.file("j");
  append_all(path, {"first", "second", "third"});
  std::string damaged = read_file(path);
  damaged[8 + 16 + 5 + 16] ^= 1;  // first byte of "second"
  write_file_atomically(path, damaged);
  {
    const Journal journal(path, {});
    EXPECT_EQ(journal.recovery().num_records, 1);
    EXPECT_EQ(read_file(journal.recovery().saved_tail), damaged.substr(8 + 16 + 5));
  }
  EXPECT_THAT(records_of(path), ElementsAre("first"));
}

TEST(Journal, AnyByteChangedIsNoticed) {
  const test::TemporaryFolder folder;
  const std::string path = folder.file("j");
  append_all(path, {"abcdef", "ghijkl", "mnopqr"});
  const std::string whole = read_file(path);
  RandomStream random(1, "journal damage");
  for (int i = 0; i < 300; ++i) {
    std::string mutant = whole;
    mutant[8 + random.below(whole.size() - 8)] ^= static_cast<char>(1 << random.below(8));
    if (i % 3 == 0) mutant.resize(8 + random.below(mutant.size() - 8));
    folder.write("j", mutant);
    const auto records = records_of(path);
    ASSERT_LT(records.size(), 3u);
    const std::vector<std::string> expected = {"abcdef", "ghijkl", "mnopqr"};
    ASSERT_TRUE(std::equal(records.begin(), records.end(), expected.begin())) << "records before the damage are as they were";
  }
}

TEST(Journal, AnotherKindOfFileIsRefusedAndLeftAlone) {
  const test::TemporaryFolder folder;
  const std::string path = folder.write("notes.txt", "some words of the user\n");
  try {
    Journal journal(path, {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kData);
    EXPECT_THAT(error.what(), HasSubstr("another kind of file"));
  }
  EXPECT_EQ(read_file(path), "some words of the user\n");
}

TEST(Journal, ASecondWriterIsRefused) {
  const test::TemporaryFolder folder;
  const Journal first(folder.file("j"), {});
  EXPECT_THROW(Journal(folder.file("j"), {}), Error);
}

TEST(Journal, AFullDiskLosesTheRecordInFlightAlone) {
  const test::TemporaryFolder folder;
  const std::string path = folder.file("j");
  Journal journal(path, {.interval_seconds = 60});
  journal.append("kept");
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit limit = before;
  limit.rlim_cur = 200;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  ErrorKind kind = ErrorKind::kInternal;
  try {
    journal.append(std::string(500, 'x'));
  } catch (const Error& error) {
    kind = error.kind();
  }
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_EQ(kind, ErrorKind::kDisk);
  EXPECT_THAT(records_of(path), ElementsAre("kept"));
  journal.append("after");
  EXPECT_THAT(records_of(path), ElementsAre("kept", "after"));
}

}  // namespace
}  // namespace r1::io
