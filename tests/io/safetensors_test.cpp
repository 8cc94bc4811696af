#include "io/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "io/element_convert.h"
#include "io/safetensors_writer.h"
#include "tests/support/paths.h"

namespace r1::io {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
namespace fs = std::filesystem;

// A file of the given header text and data bytes.
std::string forge(const std::string& header, const std::string& data) {
  std::string file;
  for (std::size_t i = 0; i < 8; ++i) file += static_cast<char>(header.size() >> (8 * i) & 0xFF);
  return file + header + data;
}

std::string error_of(const std::string& path) {
  try {
    Safetensors::open(path);
  } catch (const Error& error) {
    EXPECT_EQ(exit_code(error.kind()), 3);
    EXPECT_THAT(error.what(), HasSubstr(path));
    return error.what();
  }
  ADD_FAILURE() << path << " was opened";
  return {};
}

std::string error_of_file(const std::string& content) {
  const test::TemporaryFolder folder;
  return error_of(folder.write("model.safetensors", content));
}

TensorBytes bytes_from(const std::map<std::string, std::string>& values) {
  return [&values](const TensorDescription& tensor) { return std::as_bytes(std::span<const char>(values.at(tensor.name))); };
}

TEST(Safetensors, GivesBackWhatWasWritten) {
  const test::TemporaryFolder folder;
  const std::map<std::string, std::string> values = {{"b", std::string(6, '\x01')}, {"a", std::string(8, '\x02')}, {"empty", ""}};
  const std::vector<TensorDescription> tensors = {{"b", DType::kBF16, {3, 1}}, {"a", DType::kF32, {2}}, {"empty", DType::kI64, {0, 7}}};
  write_safetensors(folder.file("t.safetensors"), tensors, bytes_from(values));
  const Safetensors file = Safetensors::open(folder.file("t.safetensors"));
  ASSERT_EQ(file.tensors().size(), 3u);
  EXPECT_THAT(file.metadata(), ElementsAre(std::pair<const std::string, std::string>("format", "pt")));
  for (const TensorDescription& tensor : tensors) {
    const StoredTensor& stored = file.at(tensor.name);
    EXPECT_EQ(stored.dtype, tensor.dtype);
    EXPECT_EQ(stored.shape, tensor.shape);
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(stored.bytes.data()), stored.bytes.size()), values.at(tensor.name));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(stored.bytes.data()) % size_of(stored.dtype), 0u) << "tensors are aligned";
  }
}

TEST(Safetensors, HeaderIsPaddedAndBytesAreTheSameEveryTime) {
  const test::TemporaryFolder folder;
  const std::map<std::string, std::string> values = {{"x", std::string(4, 'x')}};
  const std::vector<TensorDescription> tensors = {{"x", DType::kF32, {1}}};
  write_safetensors(folder.file("one"), tensors, bytes_from(values));
  write_safetensors(folder.file("two"), tensors, bytes_from(values));
  const std::string one = read_file(folder.file("one"));
  EXPECT_EQ(one, read_file(folder.file("two")));
  EXPECT_EQ(one.size() % 8, 4u);
  EXPECT_EQ(static_cast<unsigned char>(one[0]) % 8, 0) << "the length field counts the padding";
}

TEST(Safetensors, ShardsAreCutBeforeTheLimitAndReadBackThroughTheIndex) {
  const test::TemporaryFolder folder;
  std::map<std::string, std::string> values;
  std::vector<TensorDescription> tensors;
  for (int i = 0; i < 5; ++i) {
    const std::string name = "layer." + std::to_string(i);
    tensors.push_back({name, DType::kF32, {i + 1, 2}});
    values[name] = std::string(static_cast<std::size_t>(i + 1) * 8, static_cast<char>('a' + i));
  }
  write_model_folder(folder.path(), tensors, bytes_from(values), 30);  // sizes 8, 16 | 24 | 32 (over the limit) | 40
  EXPECT_TRUE(fs::exists(folder.file("model-00001-of-00004.safetensors")));
  EXPECT_THAT(read_file(folder.file("model.safetensors.index.json")), HasSubstr("\"total_size\": 120"));
  const Safetensors model = Safetensors::open(folder.path());
  ASSERT_EQ(model.tensors().size(), 5u);
  for (const StoredTensor& stored : model.tensors()) {
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(stored.bytes.data()), stored.bytes.size()), values.at(stored.name));
  }
  write_model_folder(folder.path(), tensors, bytes_from(values));
  EXPECT_TRUE(fs::exists(folder.file("model.safetensors")));
  EXPECT_FALSE(fs::exists(folder.file("model.safetensors.index.json"))) << "files of the earlier save are gone";
  EXPECT_FALSE(fs::exists(folder.file("model-00001-of-00004.safetensors")));
}

TEST(Safetensors, AFailedWriteLeavesNoFile) {
  const test::TemporaryFolder folder;
  const std::vector<TensorDescription> tensors = {{"x", DType::kF32, {1}}};
  const TensorBytes failing = [](const TensorDescription&) -> std::span<const std::byte> { fail(ErrorKind::kNumeric, "NaN"); };
  EXPECT_THROW(write_safetensors(folder.file("model.safetensors"), tensors, failing), Error);
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(Safetensors, ReadsAllFilesOfTheGroundTruth) {
  R1_REQUIRE_SHARED(shared);
  int files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(shared)) {
    if (entry.path().extension() != ".safetensors") continue;
    const Safetensors file = Safetensors::open(entry.path().string());
    EXPECT_FALSE(file.tensors().empty()) << entry.path();
    ++files;
  }
  EXPECT_GT(files, 20);
  const Safetensors sharded = Safetensors::open(shared + "/fixtures/checkpoints/deepseek_v3");
  EXPECT_NE(sharded.find("lm_head.weight"), nullptr);
  EXPECT_NE(sharded.find("model.embed_tokens.weight"), nullptr);
}

TEST(Safetensors, AMissingTensorIsReportedWithTheNearestName) {
  const test::TemporaryFolder folder;
  const std::string path = folder.write("m.safetensors", forge(R"({"embed.weight":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}})", "x"));
  const Safetensors file = Safetensors::open(path);
  try {
    file.at("embed.wieght");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("nearest name is 'embed.weight'"));
  }
}

TEST(Safetensors, RefusesAForgedLength) {
  EXPECT_THAT(error_of_file("abc"), HasSubstr("truncated"));
  EXPECT_THAT(error_of_file(std::string("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF{}", 10)), HasSubstr("at most 100000000"));
  EXPECT_THAT(error_of_file(std::string("\x03\0\0\0\0\0\0\0{}", 10)), HasSubstr("only 2 bytes follow"));
  EXPECT_THAT(error_of_file(std::string(16, '\0')), HasSubstr("does not begin with '{'"));
}

TEST(Safetensors, RefusesPicklesAndOtherFormatsByTheirFirstBytes) {
  EXPECT_THAT(error_of_file(std::string("PK\x03\x04") + std::string(40, 'x')), HasSubstr("pickle"));
  for (char protocol = 2; protocol <= 5; ++protocol) {
    EXPECT_THAT(error_of_file(std::string("\x80") + protocol + std::string(40, 'x')), HasSubstr("pickle"));
  }
  EXPECT_THAT(error_of_file("GGUF" + std::string(40, 'x')), HasSubstr("GGUF"));
  EXPECT_THAT(error_of_file("version https://git-lfs.github.com/spec/v1\n"), HasSubstr("LFS"));
  const test::TemporaryFolder folder;
  folder.write("pytorch_model.bin", "PK\x03\x04");
  EXPECT_THAT(error_of(folder.path()), HasSubstr("pytorch_model.bin"));
}

TEST(Safetensors, RefusesHeadersThatLie) {
  const auto one = [](const std::string& fields) { return forge("{\"t\":{" + fields + "}}", "12345678"); };
  EXPECT_THAT(error_of_file(one(R"("dtype":"F32","shape":[3],"data_offsets":[0,8])")), HasSubstr("needs 12 bytes, data_offsets give 8"));
  EXPECT_THAT(error_of_file(one(R"("dtype":"F99","shape":[2],"data_offsets":[0,8])")), HasSubstr("'F99' is not supported"));
  EXPECT_THAT(error_of_file(one(R"("dtype":"F32","shape":[-2],"data_offsets":[0,8])")), HasSubstr("non-negative"));
  EXPECT_THAT(error_of_file(one(R"("dtype":"F32","shape":[2.0],"data_offsets":[0,8])")), HasSubstr("non-negative"));
  EXPECT_THAT(error_of_file(one(R"("dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8])")), HasSubstr("impossibly large"));
  EXPECT_THAT(error_of_file(one(R"("dtype":"F32","shape":[2],"data_offsets":[8,0])")), HasSubstr("end lies before the begin"));
  EXPECT_THAT(error_of_file(one(R"("dtype":"F32","shape":[2],"data_offsets":[-1,8])")), HasSubstr("two non-negative integers"));
  EXPECT_THAT(error_of_file(one(R"("dtype":"F32","shape":[2],"data_offsets":[0,4,8])")), HasSubstr("two non-negative integers"));
  EXPECT_THAT(error_of_file(one(R"("dtype":"F32","shape":[2])")), HasSubstr("data_offsets is missing"));
  EXPECT_THAT(error_of_file(one(R"("dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8])")), HasSubstr("stands twice"));
  EXPECT_THAT(error_of_file(one(R"("dtype":"F32","shape":[4],"data_offsets":[0,16])")), HasSubstr("only 8 bytes of data"));
  EXPECT_THAT(error_of_file(one(R"("dtype":"F32","shape":[1],"data_offsets":[4,8])")), HasSubstr("hole of 4 bytes"));
  EXPECT_THAT(error_of_file(one(R"("dtype":"F32","shape":[1],"data_offsets":[0,4])")), HasSubstr("4 bytes follow the last tensor"));
  EXPECT_THAT(error_of_file(forge("{\"t\":[]}", "")), HasSubstr("expected an object"));
  EXPECT_THAT(error_of_file(forge("{\"t\":{}", "")), HasSubstr("not a valid JSON object"));
  EXPECT_THAT(error_of_file(forge("{\"\xFF\":{}}", "")), HasSubstr("not a valid JSON object"));
  EXPECT_THAT(error_of_file(forge("{\"t\":" + std::string(5000, '[') + std::string(5000, ']') + "}", "")),
              HasSubstr("not a valid JSON object"));
  EXPECT_THAT(error_of_file(forge(R"({"__metadata__":{"format":1}})", "")), HasSubstr("expected a text"));
}

TEST(Safetensors, RefusesOverlapsAndDuplicateNames) {
  const std::string overlap =
      R"({"a":{"dtype":"I8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"I8","shape":[4],"data_offsets":[2,6]}})";
  EXPECT_THAT(error_of_file(forge(overlap, "123456")), HasSubstr("overlap"));
  const std::string twice = R"({"a":{"dtype":"I8","shape":[4],"data_offsets":[0,4]},"a":{"dtype":"I8","shape":[4],"data_offsets":[4,8]}})";
  EXPECT_THAT(error_of_file(forge(twice, "12345678")), HasSubstr("stands twice"));
}

TEST(Safetensors, RefusesAnIndexThatReachesOutsideOrDoesNotFit) {
  const std::string shard = forge(R"({"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}})", "x");
  const test::TemporaryFolder outside;
  outside.write("secret.safetensors", shard);
  auto error_with_index = [&](const std::string& weight_map) {
    const test::TemporaryFolder folder;
    folder.write("one.safetensors", shard);
    fs::create_symlink(outside.file("secret.safetensors"), folder.file("link.safetensors"));
    folder.write("model.safetensors.index.json", "{\"weight_map\":" + weight_map + "}");
    return error_of(folder.path());
  };
  EXPECT_THAT(error_with_index(R"({"a":"../secret.safetensors"})"), HasSubstr("not a plain file name"));
  EXPECT_THAT(error_with_index(R"({"a":"/etc/passwd"})"), HasSubstr("not a plain file name"));
  EXPECT_THAT(error_with_index(R"({"a":".."})"), HasSubstr("not a plain file name"));
  EXPECT_THAT(error_with_index(R"({"a":"link.safetensors"})"), HasSubstr("leads out of the model folder"));
  EXPECT_THAT(error_with_index(R"({"a":"two.safetensors"})"), HasSubstr("not in the folder"));
  EXPECT_THAT(error_with_index(R"({"b":"one.safetensors"})"), HasSubstr("found it in no shard"));
  EXPECT_THAT(error_with_index(R"({"a":1})"), HasSubstr("expected a file name"));
  EXPECT_THAT(error_with_index("{}"), HasSubstr("empty"));
  EXPECT_THAT(error_with_index("[]"), HasSubstr("weight_map"));
}

TEST(Safetensors, FollowsTheLinksOfTheHuggingFaceCache) {
  const test::TemporaryFolder repository;
  fs::create_directories(repository.file("blobs"));
  fs::create_directories(repository.file("snapshots/abc"));
  repository.write("blobs/0123", forge(R"({"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}})", "x"));
  fs::create_symlink("../../blobs/0123", repository.file("snapshots/abc/model.safetensors"));
  EXPECT_EQ(Safetensors::open(repository.file("snapshots/abc")).tensors().size(), 1u);
}

TEST(ElementConvert, KnowsEveryDtypeAtAnyAlignment) {
  const auto first_value = [](DType dtype, const std::string& bytes) {
    const std::string shifted = "?" + bytes;  // unaligned on purpose
    float value = 0;
    convert_to_f32(dtype, std::as_bytes(std::span<const char>(shifted)).subspan(1), std::span<float>(&value, 1));
    return value;
  };
  EXPECT_EQ(first_value(DType::kF32, std::string("\0\0\x20\xC0", 4)), -2.5f);
  EXPECT_EQ(first_value(DType::kF64, std::string("\0\0\0\0\0\0\xE0\x3F", 8)), 0.5f);
  EXPECT_EQ(first_value(DType::kBF16, std::string("\x80\x3F", 2)), 1.0f);
  EXPECT_EQ(first_value(DType::kF16, std::string("\x01\x00", 2)), 0x1p-24f);
  EXPECT_EQ(first_value(DType::kF8E4M3, "\x7E"), 448.0f);
  EXPECT_EQ(first_value(DType::kI8, "\xFF"), -1.0f);
  EXPECT_EQ(first_value(DType::kI64, std::string("\x05\0\0\0\0\0\0\0", 8)), 5.0f);
  std::int64_t integer = 0;
  const std::string minus_two("\xFE\xFF\xFF\xFF", 4);
  convert_to_i64(DType::kI32, std::as_bytes(std::span<const char>(minus_two)), std::span<std::int64_t>(&integer, 1), "ids");
  EXPECT_EQ(integer, -2);
  EXPECT_THROW(convert_to_i64(DType::kF32, std::as_bytes(std::span<const char>(minus_two)), std::span<std::int64_t>(&integer, 1), "ids"),
               Error);
}

}  // namespace
}  // namespace r1::io
