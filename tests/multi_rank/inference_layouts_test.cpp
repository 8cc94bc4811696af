// Tensor parallel and pipeline parallel generation: the bytes of one rank.
#include <gmock/gmock.h>

#include <cmath>

#include "base/files.h"
#include "base/json.h"
#include "base/rng.h"
#include "checkpoint/inference_model.h"
#include "engine/engine.h"
#include "engine/kv_cache.h"
#include "engine/rank_layout.h"
#include "ops/copy.h"
#include "tests/support/on_ranks.h"
#include "tests/support/paths.h"
#include "tests/support/tiny_model.h"

namespace r1::test {
namespace {

using checkpoint::ModelPlace;
using engine::Completion;
using engine::EngineOptions;
using engine::Request;
using parallel::WeightStorage;

constexpr int kNumRanks = 4;

struct Loaded {
  std::unique_ptr<models::CausalLM> model;
  std::unique_ptr<parallel::InferenceStore> store;
  std::unique_ptr<nn::UnitRunner> runner;
};
using Load = std::function<Loaded(const ModelPlace&)>;

struct Layout {
  int tensor_size, num_stages;
};

/// Prompts of 1 to 40 tokens, some with several samples; every other row greedy.
std::vector<Request> mixed_requests(std::int64_t vocab_size) {
  RandomStream random(11, "layout prompts");
  std::vector<Request> requests;
  for (std::uint64_t row = 0; row < 9; ++row) {
    auto prompt = std::make_shared<std::vector<std::int32_t>>();
    const std::uint64_t length = 1 + random.below(40);
    for (std::uint64_t i = 0; i < length; ++i)
      prompt->push_back(static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(vocab_size))));
    engine::SamplingParams params;
    params.settings.temperature = row % 2 == 0 ? 0.0F : 0.9F;
    params.settings.top_p = row % 3 == 1 ? 0.9F : 1.0F;
    params.settings.repetition_penalty = row % 4 == 3 ? 1.2F : 1.0F;
    params.max_new_tokens = 4 + static_cast<std::int64_t>(row) * 2;
    params.min_new_tokens = row == 5 ? 3 : 0;
    params.stop_token_ids = {3};
    const auto shared_params = std::make_shared<engine::SamplingParams>(params);
    for (std::uint32_t sample = 0; sample < (row % 4 == 1 ? 3U : 1U); ++sample)
      requests.push_back({row, sample, prompt, shared_params, {}});
  }
  return requests;
}

std::vector<Completion> generate(const ExecContext& ctx, const Loaded& loaded, const EngineOptions& options) {
  engine::Engine engine(ctx, *loaded.model, *loaded.runner, nullptr, options);
  return engine.generate(mixed_requests(loaded.model->config().vocab_size));
}

void expect_the_same_everywhere(const ExecContext& ctx, comm::World& world, const Load& load, EngineOptions options,
                                const std::vector<Layout>& layouts, const std::string& what) {
  options.max_batch_tokens = 24;
  options.block_size = 16;
  options.max_model_len = 96;
  const std::vector<Completion> expected = generate(ctx, load({}), options);
  for (const auto& [tensor_size, num_stages] : layouts) {
    SCOPED_TRACE(testing::Message() << what << ", tensor " << tensor_size << ", pipeline " << num_stages);
    engine::RankLayout ranks(world.communicator(), tensor_size, num_stages);
    options.ranks = &ranks;
    const Loaded part = load({ranks.tensor_rank(), tensor_size, ranks.stage(), num_stages});
    const std::vector<Completion> actual = generate(ctx, part, options);
    ASSERT_EQ(actual.size(), expected.size());
    for (std::size_t i = 0; i < actual.size(); ++i) {
      ASSERT_EQ(actual[i].ids, expected[i].ids) << "request " << i;
      ASSERT_EQ(actual[i].log_probs, expected[i].log_probs) << "request " << i;  // floats: bit for bit
      ASSERT_EQ(actual[i].finish_reason, expected[i].finish_reason) << "request " << i;
    }
  }
}

/// Parts of a seeded model, cut out of the whole one in memory.
class TinyParts {
 public:
  TinyParts(const ExecContext& ctx, const std::string& config_json) : ctx_(ctx), whole_(make_tiny_model(ctx, config_json)) {}

  Loaded load(const ModelPlace& place, WeightStorage storage) {
    const models::ModelConfig& config = whole_.model->config();
    const std::vector<int> borders =
        models::stage_borders(std::vector<std::int64_t>(static_cast<std::size_t>(config.num_hidden_layers), 10), 3, 9, place.num_stages);
    Loaded part;
    part.model = models::make_model(config, {place.tensor_rank, place.tensor_size, borders[static_cast<std::size_t>(place.stage)],
                                             borders[static_cast<std::size_t>(place.stage) + 1]});
    part.store = std::make_unique<parallel::InferenceStore>(ctx_, part.model->parameters(), storage, DType::kF32);
    part.runner = std::make_unique<nn::UnitRunner>(part.model->parameters(), *part.store);
    part.model->parameters().for_each([&](nn::Parameter& parameter) {
      const Tensor all = ops::to_host(ctx_, whole_.model->parameters().find(parameter.name)->value);
      part.store->set_value(parameter, all.rows(parameter.first_row, parameter.first_row + parameter.shape[0]));
    });
    return part;
  }

 private:
  const ExecContext& ctx_;
  TinyModel whole_;
};

/// Nothing divides anything: 3 key/value heads with 2 query heads each, odd widths.
std::string odd_config(const std::string& model_type, const std::string& more = "") {
  return R"({"model_type": ")" + model_type +
         R"(", "vocab_size": 53, "hidden_size": 25, "intermediate_size": 41, "num_hidden_layers": 5, "num_attention_heads": 6,
             "num_key_value_heads": 3, "head_dim": 6, "max_position_embeddings": 128, "rms_norm_eps": 1e-6)" +
         more + "}";
}

const std::vector<Layout> kAllLayouts{{2, 1}, {4, 1}, {1, 2}, {1, 4}, {2, 2}};

TEST(InferenceLayouts, OfTinyModelsWithOddSizesGiveTheBytesOfOneRank) {
  on_ranks(kNumRanks, [](comm::World& world) {
    const auto ctx = make_cpu_context(1);
    const std::pair<std::string, WeightStorage> cases[] = {
        {odd_config("qwen2", R"(, "tie_word_embeddings": true)"), WeightStorage::kF32},
        {odd_config("qwen2"), WeightStorage::kInt8},
        {odd_config("llama", R"(, "attention_bias": true, "mlp_bias": true)"), WeightStorage::kBF16},
        {odd_config("qwen3", R"(, "tie_word_embeddings": true)"), WeightStorage::kInt8},
        {odd_config("qwen3", R"(, "attention_bias": true)"), WeightStorage::kF32},
    };
    for (const auto& [config, storage] : cases) {
      TinyParts parts(*ctx, config);
      const auto load = [&, storage = storage](const ModelPlace& place) { return parts.load(place, storage); };
      expect_the_same_everywhere(*ctx, world, load, {}, kAllLayouts, config);
    }
  });
}

TEST(InferenceLayouts, WithASmallCachePreemptAndStillGiveTheBytesOfOneRank) {
  on_ranks(kNumRanks, [](comm::World& world) {
    const auto ctx = make_cpu_context(1);
    TinyParts parts(*ctx, odd_config("qwen2"));
    const auto load = [&](const ModelPlace& place) { return parts.load(place, WeightStorage::kF32); };
    // Room for one sequence of 96 tokens and a little more: sequences lose their blocks, and a pipeline has one batch under way.
    EngineOptions options;
    options.kv_cache_bytes = 7 * engine::kv_block_bytes(*load({}).model, 16);
    expect_the_same_everywhere(*ctx, world, load, options, {{1, 2}, {2, 2}}, "small cache");
    options.kv_cache_bytes = 0;
    options.max_num_sequences = 3;  // fewer than a lane's turn
    expect_the_same_everywhere(*ctx, world, load, options, {{1, 4}, {2, 2}}, "few sequences");
  });
}

TEST(InferenceLayouts, OfTheFixturesGiveTheBytesOfOneRank) {
  R1_REQUIRE_SHARED(shared);
  on_ranks(kNumRanks, [&](comm::World& world) {
    const auto ctx = make_cpu_context(1);
    for (const char* name : {"qwen2", "qwen2_untied", "llama3", "qwen3", "qwen2_bf16"}) {
      const std::string folder = shared + "/fixtures/checkpoints/" + name;
      const auto load = [&](const ModelPlace& place) {
        auto loaded = checkpoint::load_inference_model(*ctx, folder, WeightStorage::kStored, place);
        return Loaded{std::move(loaded->model), std::move(loaded->store), std::move(loaded->runner)};
      };
      expect_the_same_everywhere(*ctx, world, load, {}, {{2, 1}, {4, 1}, {1, 2}, {2, 2}}, name);
    }
  });
}

TEST(InferenceLayouts, SpreadTheWeightsAndTheCache) {
  on_ranks(kNumRanks, [](comm::World& world) {
    const auto ctx = make_cpu_context(1);
    TinyParts parts(*ctx, tiny_config_json("qwen2"));
    const Loaded whole = parts.load({}, WeightStorage::kF32);
    std::int64_t vectors = 0;
    whole.model->parameters().for_each([&](nn::Parameter& parameter) {
      if (parameter.tp_axis == nn::TpAxis::kReplicated && parameter.shape.rank() == 1) vectors += parameter.num_elements() * 4;
    });
    const Loaded part = parts.load({world.rank(), kNumRanks, 0, 1}, WeightStorage::kF32);
    std::int64_t sum = 0;
    for (const std::int64_t bytes : world.communicator().host_gather_value(part.store->num_bytes(), "bytes")) sum += bytes;
    // Norms are on all ranks, and two ranks each share one of the two key/value heads with its bias; all else is somewhere once.
    const std::int64_t key_value = 3 * 2 * (2 * 6 * 24 + 2 * 6) * 4;
    EXPECT_EQ(sum, whole.store->num_bytes() + (kNumRanks - 1) * vectors + key_value);
    EXPECT_EQ(engine::kv_block_bytes(*part.model, 16) * 2, engine::kv_block_bytes(*whole.model, 16));
    const Loaded stage = parts.load({0, 1, world.rank() % 3, 3}, WeightStorage::kF32);
    EXPECT_EQ(engine::kv_block_bytes(*stage.model, 16) * 3, engine::kv_block_bytes(*whole.model, 16));
  });
}

TEST(InferenceLayouts, StopAllRanksOfAGroupAtTheSameStep) {
  on_ranks(kNumRanks, [](comm::World& world) {
    const auto ctx = make_cpu_context(1);
    TinyParts parts(*ctx, odd_config("qwen2"));
    engine::RankLayout ranks(world.communicator(), 2, 2);
    const Loaded part = parts.load({ranks.tensor_rank(), 2, ranks.stage(), 2}, WeightStorage::kF32);
    EngineOptions options;
    options.ranks = &ranks;
    int asked = 0;
    options.wants_to_stop = [&] { return ++asked > 4; };
    engine::Engine engine(*ctx, *part.model, *part.runner, nullptr, options);
    for (const Request& request : mixed_requests(53)) engine.add(request);
    int steps = 0;
    for (; engine.has_unfinished() && !engine.stop_agreed(); ++steps) engine.step();
    EXPECT_TRUE(engine.stop_agreed());
    for (const int other : world.communicator().host_gather_value(steps, "steps")) EXPECT_EQ(other, steps);
    EXPECT_EQ(asked > 0, ranks.draws());
  });
}

/// The programs under mpirun.
class ProgramLayouts : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string config = folder_.write("config.json", R"({"model_type": "qwen3", "vocab_size": 264, "hidden_size": 41,
      "intermediate_size": 71, "num_hidden_layers": 3, "num_attention_heads": 6, "num_key_value_heads": 3, "head_dim": 10,
      "max_position_embeddings": 128, "tie_word_embeddings": true, "eos_token_id": 257, "pad_token_id": 256})");
    const auto made =
        run_program(R1_BIN_DIR "/r1_inspect", {"init-model", "--config", config, "--tokenizer", source_folder() + "/assets/chain",
                                               "--output", folder_.file("model"), "--init", "scaled", "--seed", "3"});
    ASSERT_EQ(made.exit_code, 0) << made.err;
  }

  ProgramResult run(int num_ranks, const std::string& program, std::vector<std::string> arguments, Layout layout) const {
    arguments.insert(arguments.end(), {"--model=" + folder_.file("model"), "--num_threads=1", "--max-new-tokens=12",
                                       "--tensor-parallel-size=" + std::to_string(layout.tensor_size),
                                       "--pipeline-parallel-size=" + std::to_string(layout.num_stages)});
    const std::string path = R1_BIN_DIR "/" + program;
    return num_ranks == 1 ? run_program(path, arguments) : run_on_ranks(num_ranks, path, arguments);
  }
  ProgramResult generate(int num_ranks, const std::string& name, Layout layout) const {
    return run(num_ranks, "r1_generate",
               {"--hf-dataset=builtin/chain:rows=30", "--hf-output-dataset=" + folder_.file(name), "--temperature=0.9",
                "--num-generations=3", "--output-format=jsonl", "--output-ids"},
               layout);
  }
  std::string output(const std::string& name) const { return read_file(folder_.file(name) + "/part-00000.jsonl"); }

  TemporaryFolder folder_;
};

TEST_F(ProgramLayouts, OfR1GenerateGiveTheFileOfOneRankBesideDataParallelGroupsToo) {
  ASSERT_EQ(generate(1, "one", {1, 1}).exit_code, 0);
  for (const Layout& layout : {Layout{2, 1}, Layout{1, 2}, Layout{2, 2}}) {
    std::filesystem::remove_all(folder_.file("many"));
    const auto done = generate(4, "many", layout);
    ASSERT_EQ(done.exit_code, 0) << done.err;
    EXPECT_EQ(output("many"), output("one")) << layout.tensor_size << " × " << layout.num_stages;
    EXPECT_THAT(done.err, ::testing::Not(::testing::HasSubstr("rank 1:"))) << "rank 0 alone should speak";
  }
}

TEST_F(ProgramLayouts, OfR1BenchGiveTheScoresOfOneRank) {
  const auto bench = [&](int num_ranks, const std::string& name, Layout layout) {
    return run(num_ranks, "r1_bench", {"--tasks=builtin/chain:rows=20", "--output-dir=" + folder_.file(name)}, layout);
  };
  const auto one = bench(1, "one", {1, 1});
  if (one.err.find("libr1_parquet.so") != std::string::npos) GTEST_SKIP() << "needs libr1_parquet.so";
  ASSERT_EQ(one.exit_code, 0) << one.err;
  const auto many = bench(4, "many", {2, 2});
  ASSERT_EQ(many.exit_code, 0) << many.err;
  const auto details = [&](const std::string& name) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_.file(name) + "/details")) {
      if (entry.path().extension() == ".parquet") return read_file(entry.path().string());
    }
    return std::string("no details of ") + name;
  };
  EXPECT_EQ(details("many"), details("one"));
}

TEST_F(ProgramLayouts, ThatCannotBeAreRefusedInOneLine) {
  const auto heads = generate(7, "out", {7, 1});
  EXPECT_EQ(heads.exit_code, 2);
  EXPECT_THAT(heads.err, ::testing::HasSubstr("--tensor-parallel-size 7: expected at most the model's 6 attention heads"));
  const auto layers = generate(4, "out", {1, 4});
  EXPECT_EQ(layers.exit_code, 2);
  EXPECT_THAT(layers.err, ::testing::HasSubstr("--pipeline-parallel-size 4: expected at most the model's 3 layers"));
  const auto ranks = generate(3, "out", {2, 1});
  EXPECT_EQ(ranks.exit_code, 2);
  EXPECT_THAT(ranks.err, ::testing::HasSubstr("expected a divisor of the world size 3"));
  EXPECT_FALSE(std::filesystem::exists(folder_.file("out")));
}

}  // namespace
}  // namespace r1::test
