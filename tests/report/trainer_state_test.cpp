#include "report/trainer_state.h"

#include <gtest/gtest.h>

#include "base/files.h"
#include "base/json.h"
#include "tests/support/paths.h"

namespace r1::report {
namespace {

TEST(TrainerState, HasTheKeysThatTransformersReads) {
  const test::TemporaryFolder folder;
  MetricRow values;
  values.set("loss", 0.5);
  values.set("learning_rate", 1e-5);
  const std::vector<LoggedRow> history = {{1, 0.25, values}, {2, 0.5, values}};
  write_trainer_state(folder.file("trainer_state.json"), {.epoch = 0.5, .global_step = 2, .max_steps = 4, .train_batch_size = 8}, history);

  const Json state = read_json_file(folder.file("trainer_state.json"));
  // The fields of transformers.TrainerState: its load_from_json passes the file's keys to the constructor.
  const std::vector<std::string> expected = {"best_global_step",
                                             "best_metric",
                                             "best_model_checkpoint",
                                             "epoch",
                                             "eval_steps",
                                             "global_step",
                                             "is_hyper_param_search",
                                             "is_local_process_zero",
                                             "is_world_process_zero",
                                             "log_history",
                                             "logging_steps",
                                             "max_steps",
                                             "num_input_tokens_seen",
                                             "num_train_epochs",
                                             "save_steps",
                                             "stateful_callbacks",
                                             "total_flos",
                                             "train_batch_size",
                                             "trial_name",
                                             "trial_params"};
  std::vector<std::string> found;
  for (const auto& [key, value] : state.items()) found.push_back(key);
  EXPECT_EQ(found, expected);
  EXPECT_EQ(state["global_step"], 2);
  EXPECT_EQ(to_json_line(state["log_history"][0]), R"({"epoch":0.25,"learning_rate":1e-05,"loss":0.5,"step":1})");
  EXPECT_EQ(state["log_history"].size(), 2);
}

TEST(Results, OfASplitAreMergedIntoAllResults) {
  const test::TemporaryFolder folder;
  MetricRow train, eval;
  train.set("train_loss", 0.5);
  train.set("epoch", 1.0);
  eval.set("eval_loss", 0.75);
  eval.set("epoch", 2.0);
  write_results(folder.path(), "train", train);
  write_results(folder.path(), "eval", eval);
  EXPECT_EQ(read_file(folder.file("train_results.json")), "{\n    \"epoch\": 1.0,\n    \"train_loss\": 0.5\n}\n");
  EXPECT_EQ(to_json_line(read_json_file(folder.file("all_results.json"))), R"({"epoch":2.0,"eval_loss":0.75,"train_loss":0.5})");
}

}  // namespace
}  // namespace r1::report
