#include "report/trainer_state.h"

#include <filesystem>
#include <map>

#include "base/files.h"
#include "report/json_rows.h"

namespace r1::report {
namespace {

// The order of Hugging Face's files: they are written with sorted keys.
Json sorted(const Json& object) {
  std::map<std::string, Json> by_key;
  for (const auto& [key, value] : object.items()) by_key[key] = value;
  Json result = Json::object();
  for (auto& [key, value] : by_key) result[key] = std::move(value);
  return result;
}

void write_json(const std::string& path, const Json& value, int indent) {
  write_file_atomically(path, value.dump(indent, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace

void write_trainer_state(const std::string& path, const TrainerState& state, const std::vector<LoggedRow>& history) {
  Json log_history = Json::array();
  for (const LoggedRow& row : history) {
    Json object = {{"epoch", json_of(row.epoch)}, {"step", row.step}};
    add_values(object, row.values);
    log_history.push_back(sorted(object));
  }
  const Json whole = {
      {"best_global_step", nullptr},
      {"best_metric", nullptr},
      {"best_model_checkpoint", nullptr},
      {"epoch", state.epoch},
      {"eval_steps", state.eval_steps},
      {"global_step", state.global_step},
      {"is_hyper_param_search", false},
      {"is_local_process_zero", true},
      {"is_world_process_zero", true},
      {"log_history", log_history},
      {"logging_steps", state.logging_steps},
      {"max_steps", state.max_steps},
      {"num_input_tokens_seen", state.num_input_tokens_seen},
      {"num_train_epochs", state.num_train_epochs},
      {"save_steps", state.save_steps},
      {"stateful_callbacks", Json::object()},
      {"total_flos", state.total_flos},
      {"train_batch_size", state.train_batch_size},
      {"trial_name", nullptr},
      {"trial_params", nullptr},
  };
  write_json(path, whole, 2);
}

void write_results(const std::string& output_dir, const std::string& split, const MetricRow& results) {
  Json own = Json::object();
  add_values(own, results);
  write_json(output_dir + "/" + split + "_results.json", sorted(own), 4);

  const std::string all_path = output_dir + "/all_results.json";
  Json all = Json::object();
  if (std::filesystem::exists(all_path)) all = read_json_file(all_path);
  if (!all.is_object()) fail(ErrorKind::kData, "{}: expected an object; move the file away", all_path);
  add_values(all, results);
  write_json(all_path, sorted(all), 4);
}

}  // namespace r1::report
