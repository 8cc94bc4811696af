// A trained Llama of 260 K parameters (../shared/data/models/stories260K) against what transformers says about it.
#include <gmock/gmock.h>

#include <algorithm>

#include "base/json.h"
#include "io/element_convert.h"
#include "io/safetensors.h"
#include "io/safetensors_writer.h"
#include "tests/support/paths.h"
#include "tests/support/run_program.h"

namespace r1 {
namespace {

using Ids = std::vector<std::int64_t>;

class Stories : public ::testing::Test {
 protected:
  static std::vector<float> floats(const io::Safetensors& file, const std::string& name) {
    const io::StoredTensor& stored = file.at(name);
    std::vector<float> values(static_cast<std::size_t>(stored.num_elements()));
    io::convert_to_f32(stored.dtype, stored.bytes, values);
    return values;
  }

  // r1_inspect forward on one sequence whose every token but the first is a target.
  io::Safetensors forward(const std::string& model, const Ids& ids) {
    const auto length = static_cast<std::int64_t>(ids.size());
    const std::vector<io::TensorDescription> descriptions = {{"input_ids", DType::kI64, {1, length}}, {"labels", DType::kI64, {1, length}}};
    io::write_safetensors(folder_.file("in.safetensors"), descriptions,
                          [&](const io::TensorDescription&) { return std::as_bytes(std::span(ids)); });
    const auto done = test::run_program(R1_BIN_DIR "/r1_inspect", {"forward", "--model", model, "--input", folder_.file("in.safetensors"),
                                                                   "--output", folder_.file("out.safetensors")});
    EXPECT_EQ(done.exit_code, 0) << done.err;
    return io::Safetensors::open_file(folder_.file("out.safetensors"));
  }

  // One row in, one row out.
  static Json inspect(const std::string& command, const std::string& model, const Json& row) {
    const auto done = test::run_program(R1_BIN_DIR "/r1_inspect", {command, "--model", model}, row.dump() + "\n");
    EXPECT_EQ(done.exit_code, 0) << done.err;
    return Json::parse(done.out);
  }

  test::TemporaryFolder folder_;
};

TEST_F(Stories, TextsAreTokenisedAndComeBack) {
  R1_REQUIRE_SHARED(shared);
  const std::string model = shared + "/data/models/stories260K";
  const Json golden = read_json_file(model + "/golden.json");
  for (const Json& example : golden.at("encode")) {
    const Json ids = inspect("tokenize", model, {{"text", example.at("text")}, {"add_special_tokens", true}}).at("ids");
    EXPECT_EQ(ids, example.at("ids")) << example.at("text");
    EXPECT_EQ(inspect("detokenize", model, {{"ids", ids}, {"skip_special_tokens", true}}).at("text"), example.at("text"));
  }
  const Json text = inspect("detokenize", model, {{"ids", golden.at("greedy_from_bos_256_new")}, {"skip_special_tokens", true}}).at("text");
  EXPECT_EQ(text, golden.at("greedy_text"));
}

TEST_F(Stories, LogitsAndLossAgree) {
  R1_REQUIRE_SHARED(shared);
  const std::string model = shared + "/data/models/stories260K";
  for (const Json& example : read_json_file(model + "/golden.json").at("forward")) {
    const Json row = inspect("tokenize", model, {{"text", example.at("text")}, {"add_special_tokens", true}});
    const io::Safetensors out = forward(model, row.at("ids").get<Ids>());
    const auto expected = example.at("last_logits").get<std::vector<float>>();
    const std::vector<float> logits = floats(out, "logits");
    ASSERT_GE(logits.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i)
      ASSERT_NEAR(logits[logits.size() - expected.size() + i], expected[i], 2e-4) << example.at("text") << " id " << i;
    EXPECT_NEAR(floats(out, "loss")[0], example.at("mean_nll").get<float>(), 2e-5) << example.at("text");
  }
}

// Under teacher forcing the greedy story is its own arg-max at each of its 256 tokens.
TEST_F(Stories, TheGreedyStoryIsTheMostLikelyContinuation) {
  R1_REQUIRE_SHARED(shared);
  const std::string model = shared + "/data/models/stories260K";
  const Ids ids = read_json_file(model + "/golden.json").at("greedy_from_bos_256_new").get<Ids>();
  ASSERT_EQ(ids.size(), 257U);
  const std::vector<float> logits = floats(forward(model, ids), "logits");
  const std::size_t vocab_size = logits.size() / ids.size();
  for (std::size_t t = 0; t + 1 < ids.size(); ++t) {
    const auto begin = logits.begin() + static_cast<std::ptrdiff_t>(t * vocab_size);
    EXPECT_EQ(std::max_element(begin, begin + static_cast<std::ptrdiff_t>(vocab_size)) - begin, ids[t + 1]) << "token " << t + 1;
  }
}

}  // namespace
}  // namespace r1
