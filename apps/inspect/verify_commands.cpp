#include "apps/inspect/verify_commands.h"

#include "apps/inspect/jsonl_rows.h"
#include "base/error.h"
#include "config/fields.h"
#include "rewards/registry.h"
#include "verify/verify.h"

namespace r1::apps {
namespace {

struct VerifyOptions {
  bool strict = false, extract = false;
};

std::string required_text(const Json& row, const char* name) {
  auto text = text_field(row, name);
  if (!text) fail(ErrorKind::kData, "the row has no text '{}'", name);
  return *text;
}

/// Members of a row's args, by Open R1's names of the functions' parameters.
rewards::RewardOptions reward_options(const Json& arguments, rewards::Revision revision) {
  rewards::RewardOptions options;
  options.revision = revision;
  const auto number = [&](const char* name) -> std::optional<double> {
    const auto member = arguments.find(name);
    if (member == arguments.end() || member->is_null()) return std::nullopt;
    if (!member->is_number()) fail(ErrorKind::kData, "args '{}': expected a number, found {}", name, member->type_name());
    return member->get<double>();
  };
  options.cosine_min_value_wrong = number("min_value_wrong");
  options.cosine_max_value_wrong = number("max_value_wrong");
  options.cosine_min_value_correct = number("min_value_correct");
  options.cosine_max_value_correct = number("max_value_correct");
  options.cosine_max_len = number("max_len").value_or(options.cosine_max_len);
  options.repetition_n_grams = static_cast<int>(number("ngram_size").value_or(options.repetition_n_grams));
  options.repetition_max_penalty = number("max_penalty").value_or(options.repetition_max_penalty);
  options.max_completion_len =
      static_cast<std::int64_t>(number("max_completion_len").value_or(static_cast<double>(options.max_completion_len)));
  options.soft_punish_cache =
      static_cast<std::int64_t>(number("soft_punish_cache").value_or(static_cast<double>(options.soft_punish_cache)));
  if (const auto language = text_field(arguments, "language")) options.repetition_language = *(options.code_language = *language);
  return options;
}

/// The texts of a field that holds one text, a list of texts, or null (one empty text).
std::vector<std::string> text_list(const Json& row, const char* name) {
  const auto member = row.find(name);
  if (member == row.end() || member->is_null()) return {""};
  if (!member->is_array()) return {*text_field(row, name)};
  std::vector<std::string> texts;
  for (const Json& item : *member) {
    if (!item.is_string()) fail(ErrorKind::kData, "field '{}': expected a list of texts, found {} in it", name, item.type_name());
    texts.push_back(item.get<std::string>());
  }
  return texts;
}

Json reward_value(const rewards::RewardResult& result) { return result.value ? Json(*result.value) : Json(nullptr); }

Json score_row(const Json& row) {
  static const Json kNoArguments = Json::object();
  const auto member = row.find("args");
  const Json& arguments = member != row.end() && member->is_object() ? *member : kNoArguments;
  const auto options = reward_options(arguments, rewards::revision_by_name(text_field(row, "rev").value_or("r1")));
  const auto reward = rewards::make_reward(required_text(row, "fn"), options);
  const std::vector<std::string> texts = text_list(row, "completion");
  const std::string opened = text_field(row, "opened").value_or("");
  const auto tokens = arguments.find("completion_tokens");
  // Each completion sees the row's columns; of a list of solutions, its own.
  std::vector<Json> columns(texts.size(), row);
  const auto solution = row.find("solution");
  if (solution != row.end() && solution->is_array()) {
    if (solution->size() != texts.size()) fail(ErrorKind::kData, "{} solutions for {} completions", solution->size(), texts.size());
    for (std::size_t i = 0; i < texts.size(); ++i) columns[i]["solution"] = (*solution)[i];
  }
  std::vector<rewards::Completion> completions(texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    completions[i] = {.text = texts[i], .opened = opened, .row = &columns[i]};
    if (tokens != arguments.end() && tokens->is_number_integer()) completions[i].num_tokens = tokens->get<std::int64_t>();
  }
  const auto results = reward->score(completions, nullptr);
  if (!row.contains("completion") || !row["completion"].is_array()) return {{"reward", reward_value(results.at(0))}};
  Json values = Json::array();
  for (const auto& result : results) values.push_back(reward_value(result));
  return {{"reward", values}};
}

}  // namespace

int run_reward(std::span<const std::string> arguments) {
  config::FieldList fields;
  if (config::parse_arguments(arguments, fields).help_requested) {
    fmt::print("{}", fields.help(
                         "r1_inspect reward < ROWS.jsonl",
                         "Scores completions: rows with fn, rev (feb25, head, both or r1), completion, solution, args and other columns."));
    for (const auto& entry : rewards::reward_table())
      fmt::print("  {:<26} {}{}{}\n", entry.name, entry.summary, *entry.columns ? "; columns: " : "", entry.columns);
    return 0;
  }
  return run_jsonl_rows(score_row);
}

int run_verify(std::span<const std::string> arguments) {
  VerifyOptions options;
  config::FieldList fields;
  fields.add("strict", options.strict, "Without the library's leniencies: bases of numbers, unit letters, tiny numbers.");
  fields.add("extract", options.extract, "Only extract: rows have a text and a config.");
  if (config::parse_arguments(arguments, fields).help_requested) {
    fmt::print(
        "{}",
        fields.help("r1_inspect verify [--strict] [--extract] < ROWS.jsonl",
                    "Grades predictions against gold answers: rows with gold, pred and config (default, open_r1, latex, expr, choice)."));
    return 0;
  }
  return run_jsonl_rows([&](const Json& row) {
    const verify::Profile profile = verify::profile_by_name(text_field(row, "config").value_or("default"), options.strict);
    if (options.extract)
      return Json{{"extracted", verify::describe(verify::extract_answer(required_text(row, "text"), profile.prediction))}};
    const verify::Answer gold = verify::extract_answer(required_text(row, "gold"), profile.gold);
    const verify::Answer prediction = verify::extract_answer(required_text(row, "pred"), profile.prediction);
    const verify::Verdict verdict = verify::compare_answers(gold, prediction, options.strict);
    return Json{{"correct", verdict.correct()},
                {"status", verify::status_name(verdict.status)},
                {"gold_extracted", verify::describe(gold)},
                {"pred_extracted", verify::describe(prediction)}};
  });
}

}  // namespace r1::apps
