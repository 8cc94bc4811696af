// What the mathematics benchmarks share.
#pragma once

#include <string>

#include "eval/task.h"
#include "eval/task_data.h"

namespace r1::eval {

/// Tokens that the published tables allow for an answer.
inline constexpr std::int64_t kPublishedGenerationSize = 32'768;

struct MathTaskDescription {
  std::string name;
  DataNames data;
  std::vector<std::string> problem_columns{"problem"}, gold_columns{"answer"};
  AnswerKind answer_kind = AnswerKind::kExpression;
  std::vector<int> head_sample_counts{1};
};

/// Profile feb25: the problem alone is the prompt, and the score is extractive_match. Profile head: an instruction before it, and
/// math_pass@1.
Task make_math_task(const MathTaskDescription& description, const TaskSettings& settings);

/// Profile head's prompt: an instruction to end with a "final answer is" sentence that holds a box, an empty line, the problem.
std::string with_final_answer_instruction(const std::string& problem);

}  // namespace r1::eval
