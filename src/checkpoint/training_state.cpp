#include "checkpoint/training_state.h"

#include <algorithm>
#include <filesystem>
#include <vector>

#include "base/files.h"
#include "base/hash.h"
#include "base/json.h"

namespace r1::checkpoint {
namespace {

Json object_of(const std::string& text) { return text.empty() ? Json::object() : Json::parse(text); }

}  // namespace

std::string to_json(const TrainingState& state) {
  const RunIdentity& id = state.identity;
  return Json({{"step", state.step},
               {"identity",
                {{"task", id.task},
                 {"model", id.model},
                 {"data", id.data},
                 {"seed", id.seed},
                 {"data_seed", id.data_seed},
                 {"rows_per_step", id.rows_per_step},
                 {"max_steps", id.max_steps}}},
               {"model",
                {{"config", object_of(state.model.config_json)},
                 {"save_dtype", std::string(dtype_name(state.model.save.dtype))},
                 {"source_folder", state.model.save.source_folder},
                 {"chat_template", state.model.save.chat_template}}},
               {"trainer", object_of(state.trainer_json)},
               {"objective", object_of(state.objective_json)},
               {"config", state.config}})
      .dump();
}

TrainingState training_state_from(const std::string& json, const std::string& where) {
  try {
    const Json from = Json::parse(json);
    TrainingState state;
    state.step = from.at("step");
    const Json& id = from.at("identity");
    state.identity = {id.at("task"),      id.at("model"),         id.at("data"),     id.at("seed"),
                      id.at("data_seed"), id.at("rows_per_step"), id.at("max_steps")};
    const Json& model = from.at("model");
    state.model.config_json = model.at("config").dump(2);
    const std::string dtype = model.at("save_dtype");
    const auto known = dtype_from_name(dtype);
    if (!known) fail(ErrorKind::kData, "{}: the run's state cannot be read: save_dtype '{}'", where, dtype);
    state.model.save.dtype = *known;
    state.model.save.source_folder = model.at("source_folder");
    state.model.save.chat_template = model.at("chat_template");
    state.config = from.at("config");
    state.trainer_json = from.at("trainer").dump();
    state.objective_json = from.at("objective").dump();
    return state;
  } catch (const Json::exception& error) {
    fail(ErrorKind::kData, "{}: the run's state cannot be read: {}", where, error.what());
  }
}

std::string differences(const RunIdentity& saved, const RunIdentity& now) {
  std::string text;
  const auto compare = [&](const char* name, const auto& a, const auto& b) {
    if (a != b) text += fmt::format("{}{} (checkpoint: {}, now: {})", text.empty() ? "" : ", ", name, a, b);
  };
  compare("task", saved.task, now.task);
  compare("model", saved.model, now.model);
  compare("data set", saved.data, now.data);
  compare("seed", saved.seed, now.seed);
  compare("data_seed", saved.data_seed, now.data_seed);
  compare("rows of a step (batch size × accumulation × ranks)", saved.rows_per_step, now.rows_per_step);
  return text;
}

std::string fingerprint_model(const std::string& folder) {
  constexpr std::size_t kEdge = std::size_t{1} << 20;
  Xxh3Stream stream;
  stream.update(read_file(folder + "/config.json", ErrorKind::kModel));
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".safetensors") names.push_back(entry.path().filename().string());
  }
  std::ranges::sort(names);
  for (const std::string& name : names) {
    const MappedFile file(folder + "/" + name, ErrorKind::kModel);
    const std::string_view bytes = file.text();
    stream.update(fmt::format("{}:{}", name, bytes.size()));
    stream.update(bytes.substr(0, kEdge));
    stream.update(bytes.substr(bytes.size() - std::min(kEdge, bytes.size())));
  }
  return stream.hex_digest();
}

}  // namespace r1::checkpoint
