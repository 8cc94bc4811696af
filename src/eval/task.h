// A benchmark: where its problems come from, how they are asked, and what counts as right.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "config/bench_config.h"
#include "data/dataset.h"
#include "eval/grading.h"

namespace r1::eval {

/// What tasks depend on besides their name.
struct TaskSettings {
  config::BenchProfile profile = config::BenchProfile::kFeb25;
  std::optional<std::string> data_dir;  // none: the folders of R1_DATA
  std::uint64_t seed = 42;
};

/// One task, its data open and its columns checked. Copyable.
struct Task {
  std::string name;   // math_500, as results name it
  std::string suite;  // first part of the key in lighteval's layout: custom or lighteval
  AnswerKind answer_kind = AnswerKind::kMath;
  data::DatasetPtr dataset;
  /// The prompt (a text or messages) and the gold answer of a row. Throw Error(kData) that begins with the row's place.
  std::function<Json(const Json& row, std::int64_t index)> prompt;
  std::function<std::string(const Json& row, std::int64_t index)> gold;
  std::optional<std::string> system_prompt;  // a flag wins
  /// Tokens that an answer may need; scores under a lower limit are not those of published tables. 0: whatever the model can.
  std::int64_t generation_size = 0;
  std::vector<int> sample_counts{1};        // profile head reports pass@1 over the first n of the samples for each of them
  std::string metric = "extractive_match";  // name of the score of one sample
};

}  // namespace r1::eval
