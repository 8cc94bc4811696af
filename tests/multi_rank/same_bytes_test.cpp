// The same bytes on any number of ranks, with every sharding.
#include <cstdlib>

#include "tests/multi_rank/training_job.h"

namespace r1::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class SameBytes : public TrainingJob {};

struct Layout {
  int num_ranks;
  const char* sharding;
  const char* recompute;  // recompute_granularity, or ""
};

void add_recompute(const Layout& layout, std::vector<std::string>& flags) {
  if (*layout.recompute == '\0') return;
  flags.insert(flags.end(), {"--gradient_checkpointing", "--recompute_granularity", layout.recompute});
}

std::vector<Layout> all_layouts() {
  std::vector<Layout> layouts;
  for (const int num_ranks : {1, 2, 3, 4}) {
    for (const char* sharding : {"ddp", "zero2", "zero3"}) {
      for (const char* recompute : {"", "selective", "full"}) layouts.push_back({num_ranks, sharding, recompute});
    }
  }
  return layouts;
}

TEST_F(SameBytes, ComeFromDdpZero2AndZero3OnOneToFourRanks) {
  ASSERT_EQ(train(1, "one", "ddp").exit_code, 0);
  std::vector<Layout> layouts{{2, "zero3", "full"}, {3, "zero2", "selective"}, {4, "zero3", ""}, {4, "ddp", ""}};
  if (std::getenv("R1_TEST_FULL") != nullptr) layouts = all_layouts();
  for (const Layout& layout : layouts) {
    SCOPED_TRACE(testing::Message() << layout.num_ranks << " ranks, " << layout.sharding << ", recompute " << layout.recompute);
    std::vector<std::string> flags;
    add_recompute(layout, flags);
    std::filesystem::remove_all(out("many"));
    const auto done = train(layout.num_ranks, "many", layout.sharding, flags);
    ASSERT_EQ(done.exit_code, 0) << done.err;
    EXPECT_EQ(weights("many"), weights("one"));
    EXPECT_EQ(metrics("many"), metrics("one"));
    EXPECT_THAT(done.err, Not(HasSubstr("rank 1:"))) << "rank 0 alone should speak";
  }
}

TEST_F(SameBytes, ComeFromGrpoWhoeverGeneratesTheCompletions) {
  ASSERT_EQ(train_grpo(1, "one", "ddp").exit_code, 0);
  std::vector<Layout> layouts{{3, "zero3", "selective"}};
  if (std::getenv("R1_TEST_FULL") != nullptr) layouts = all_layouts();
  for (const Layout& layout : layouts) {
    SCOPED_TRACE(testing::Message() << layout.num_ranks << " ranks, " << layout.sharding << ", recompute " << layout.recompute);
    std::vector<std::string> flags;
    add_recompute(layout, flags);
    std::filesystem::remove_all(out("many"));
    const auto done = train_grpo(layout.num_ranks, "many", layout.sharding, flags);
    ASSERT_EQ(done.exit_code, 0) << done.err;
    EXPECT_EQ(weights("many"), weights("one"));
    EXPECT_EQ(metrics("many"), metrics("one"));
  }
}

TEST_F(SameBytes, ComeFromAnEpochThatEndsInTheMiddleOfARoundAndItsEvaluation) {
  // 53 rows: a step of 12 micro-batches, then one of 2 in which ranks 2 and 3 have nothing to do; 50 rows of evaluation.
  const std::vector<std::string> flags{"--dataset_name=builtin/chain:rows=53",
                                       "--max_steps=-1",
                                       "--num_train_epochs=2",
                                       "--eval_strategy=epoch",
                                       "--dataset_test_split=test",
                                       "--per_device_eval_batch_size=7"};
  ASSERT_EQ(train(1, "one", "ddp", flags).exit_code, 0);
  const auto done = train(4, "four", "zero3", flags);
  ASSERT_EQ(done.exit_code, 0) << done.err;
  EXPECT_EQ(weights("four"), weights("one"));
  EXPECT_EQ(metrics("four"), metrics("one"));
  EXPECT_THAT(metrics("four"), HasSubstr("eval_loss"));
}

TEST_F(SameBytes, AreNotPromisedWithoutTheDeterministicReductionButTheValuesAreClose) {
  ASSERT_EQ(train(1, "one", "ddp").exit_code, 0);
  ASSERT_EQ(train(3, "three", "zero2", {"--deterministic_reduction=false"}).exit_code, 0);
  const auto last_loss = [&](const std::string& name) {
    const std::string rows = metrics(name);
    return Json::parse(rows.substr(rows.rfind('\n', rows.size() - 2) + 1))["loss"].get<double>();
  };
  EXPECT_NEAR(last_loss("three"), last_loss("one"), 1e-3);
}

TEST_F(SameBytes, LeaveNoPartialModelAndOneMessageWhenTheDataAreBroken) {
  const std::string rows = folder_.write("rows.jsonl", "{\"text\": \"fine\"}\n{\"text\": \n");
  const auto done = train(2, "out", "zero2", {"--dataset_name=" + rows});
  EXPECT_EQ(done.exit_code, 3) << done.err;
  EXPECT_THAT(done.err, HasSubstr("rows.jsonl:2"));
  EXPECT_EQ(done.err.find("rows.jsonl:2"), done.err.rfind("rows.jsonl:2")) << done.err;
  EXPECT_FALSE(std::filesystem::exists(out("out") + "/model.safetensors"));
}

}  // namespace
}  // namespace r1::test
