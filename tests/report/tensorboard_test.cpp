#include "report/tensorboard.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <vector>

#include "base/files.h"
#include "base/hash.h"
#include "report/metrics.h"
#include "tests/support/paths.h"

namespace r1::report {
namespace {

// Published values: RFC 3720, appendix B.4.
TEST(Crc32c, AgreesWithTheVectorsOfTheStandard) {
  EXPECT_EQ(crc32c(""), 0u);
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(crc32c(std::string(32, '\xFF')), 0x62A8AB43u);
  std::string ascending, descending;
  for (int i = 0; i < 32; ++i) ascending += static_cast<char>(i);
  for (int i = 31; i >= 0; --i) descending += static_cast<char>(i);
  EXPECT_EQ(crc32c(ascending), 0x46DD794Eu);
  EXPECT_EQ(crc32c(descending), 0x113FDB5Cu);
}

std::uint64_t little_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

// Payloads of a record file; both checksums of each record are verified.
std::vector<std::string> records_of(const std::string& content) {
  std::vector<std::string> payloads;
  std::size_t at = 0;
  while (at < content.size()) {
    const std::string_view length = std::string_view(content).substr(at, 8);
    EXPECT_EQ(little_endian(std::string_view(content).substr(at + 8, 4)), masked_crc32c(length));
    const std::size_t size = little_endian(length);
    payloads.push_back(content.substr(at + 12, size));
    EXPECT_EQ(little_endian(std::string_view(content).substr(at + 12 + size, 4)), masked_crc32c(payloads.back()));
    at += 16 + size;
  }
  EXPECT_EQ(at, content.size());
  return payloads;
}

TEST(EventFile, BeginsWithTheVersionAndHoldsEachScalarAsF32) {
  const test::TemporaryFolder folder;
  EventFileWriter writer(folder.path());
  const std::vector<std::pair<std::string, double>> scalars = {{"train/loss", 0.5}, {"train/kl", -2.0}};
  writer.add_scalars(300, 2.0, scalars);
  const std::vector<std::string> records = records_of(read_file(writer.path()));
  ASSERT_EQ(records.size(), 2);
  EXPECT_NE(records[0].find("\x1a\x0d"
                            "brain.Event:2"),
            std::string::npos);
  // wall_time = 2.0 (f64), step = 300 (varint AC 02), summary { value { tag, simple_value } value { … } }
  const std::string expected = std::string("\x09\0\0\0\0\0\0\0\x40", 9) + "\x10\xAC\x02" + "\x2A\x24" +
                               std::string("\x0A\x11\x0A\x0Atrain/loss\x15\0\0\0\x3F", 19) +
                               std::string("\x0A\x0F\x0A\x08train/kl\x15\0\0\0\xC0", 17);
  EXPECT_EQ(to_hex(records[1]), to_hex(expected));
}

TEST(EventFile, SeparatesTrainingFromEvaluationAndLeavesTextsOut) {
  const test::TemporaryFolder folder;
  MetricsSink sink({.output_dir = folder.path()});
  MetricRow values;
  values.set("loss", 1.0);
  values.set("eval_loss", 2.0);
  values.set("note", "text");
  sink.log(1, 0.1, values);
  const std::string file = std::filesystem::directory_iterator(folder.file("runs"))->path().string();
  EXPECT_NE(file.find("/events.out.tfevents."), std::string::npos);
  const std::string record = records_of(read_file(file)).at(1);
  EXPECT_NE(record.find("train/loss"), std::string::npos);
  EXPECT_NE(record.find("eval/loss"), std::string::npos);
  EXPECT_NE(record.find("train/epoch"), std::string::npos);
  EXPECT_EQ(record.find("note"), std::string::npos);
}

}  // namespace
}  // namespace r1::report
