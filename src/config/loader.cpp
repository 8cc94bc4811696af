#include "config/loader.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "base/log.h"
#include "base/strings.h"
#include "config/checks.h"
#include "config/yaml_reader.h"

extern char** environ;

namespace r1::config {

namespace {

std::string find_recipe(const std::string& name, const Environment& environment) {
  namespace fs = std::filesystem;
  if (fs::exists(name) || fs::path(name).is_absolute()) return name;
  for (const std::string& folder : environment.search_folders) {
    const fs::path path = (fs::path(folder) / name).lexically_normal();
    if (fs::is_regular_file(path)) return path.string();
  }
  return name;  // the reader's error names it
}

// The last assignment of a key, flags after files; null when there is none.
const Assignment* last_assignment(std::span<const Assignment> assignments, std::string_view key) {
  const Assignment* last = nullptr;
  for (const Assignment& assignment : assignments) {
    if (assignment.key == key) last = &assignment;
  }
  return last;
}

// The values that --compat feb25 has in place of the defaults.
void apply_compat(FieldList& fields, std::span<const Assignment> assignments) {
  Field* compat = fields.find("compat");
  const Assignment* chosen = last_assignment(assignments, "compat");
  if (compat == nullptr || chosen == nullptr) return;
  std::vector<std::string> no_notices;
  apply_assignments(fields, {chosen, 1}, no_notices);
  if (compat->print() != "feb25") return;
  for (Field& field : fields.fields()) {
    if (!field.feb25_default) continue;
    const bool is_list = field.is_list && field.feb25_default->starts_with('[');
    field.assign(is_list ? parse_yaml(*field.feb25_default, field.name) : Value::scalar(*field.feb25_default), field.limits);
    field.source = Source::kCompat;
    field.where = "compat feb25";
  }
}

// num_processes means something on the command line only (design/interfaces.md).
void drop_num_processes(std::vector<Assignment>& assignments, std::vector<std::string>& notices) {
  std::erase_if(assignments, [&](const Assignment& assignment) {
    if (assignment.key != "num_processes" || assignment.source != Source::kFile) return false;
    notices.push_back(
        fmt::format("{}: 'num_processes' has no effect in a recipe: the world size is that of mpirun or srun", assignment.where));
    return true;
  });
}

bool is_secret(std::string_view name) {
  const std::string lower = to_lower_ascii(name);
  for (const char* word : {"token", "key", "secret", "password", "passwd", "credential"}) {
    if (lower.find(word) != std::string::npos) return true;
  }
  return false;
}

std::string print_env(const Dict& env) {
  Value shown = env.root();
  for (std::size_t i = 0; i < shown.keys.size(); ++i) {
    if (is_secret(shown.keys[i])) shown.items[i] = Value::scalar("(hidden)");
  }
  return to_json_text(shown);
}

void export_variables(const Dict& env, const std::string& place, bool export_env) {
  for (std::size_t i = 0; i < env.keys().size(); ++i) {
    const Value& value = env.root().items[i];
    const std::string& name = env.keys()[i];
    if (name.empty() || name.find('=') != std::string::npos) fail(ErrorKind::kConfig, "{}: '{}' is no name of a variable", place, name);
    if (!value.is_scalar()) fail(ErrorKind::kConfig, "{}: '{}': expected a text, found {}", place, name, describe(value));
    if (export_env) setenv(name.c_str(), value.text.c_str(), 1);
  }
}

void apply_device_variable(FieldList& fields, const Environment& environment, const Dict* env) {
  Field* device = fields.find("device");
  if (device->given()) return;
  const Value* from_recipe = env != nullptr ? env->root().find("R1_DEVICE") : nullptr;
  const auto from_process = environment.variables.find("R1_DEVICE");
  std::string text;
  if (from_recipe != nullptr && from_recipe->is_scalar()) text = from_recipe->text;
  else if (from_process != environment.variables.end()) text = from_process->second;
  if (text.empty()) return;
  try {
    device->assign(Value::scalar(text), device->limits);
  } catch (const Error& error) {
    fail(ErrorKind::kUsage, "R1_DEVICE: {}", error.what());
  }
  device->source = Source::kEnvironment;
  device->where = "R1_DEVICE";
}

// What the accelerate file decides where the recipe does not.
void apply_accelerate(FieldList& fields, TrainerConfig& config, const Environment& environment, std::vector<std::string>& notices) {
  if (!config.accelerate_config) return;
  config.accelerate = read_accelerate_config(find_accelerate_config(*config.accelerate_config, environment.search_folders));
  notices.insert(notices.end(), config.accelerate.notices.begin(), config.accelerate.notices.end());
  auto adopt = [&](const char* key, const std::string& value) {
    Field* field = fields.find(key);
    if (field->given()) return;
    field->assign(Value::scalar(value), field->limits);
    field->source = Source::kFile;
    field->where = config.accelerate.path;
  };
  if (config.accelerate.bf16) adopt("bf16", "true");
  if (config.accelerate.gradient_accumulation_steps) {
    adopt("gradient_accumulation_steps", std::to_string(*config.accelerate.gradient_accumulation_steps));
  }
  if (config.accelerate.gradient_clipping) adopt("max_grad_norm", fmt::format("{}", *config.accelerate.gradient_clipping));
}

void plan_world(CommonConfig& config, const Environment& environment, std::vector<std::string>& notices) {
  config.world_size = environment.world_size;
  const bool layout = config.nodes || config.ntasks_per_node;
  if (config.planning() && layout) config.world_size = config.nodes.value_or(1) * config.ntasks_per_node.value_or(1);
  const bool has_device = config.device_memory || config.memory_bandwidth || config.link_bandwidth || config.peak_tflops != "measured";
  if (!config.planning() && (layout || has_device || config.plan_format != PlanFormat::kText)) {
    notices.push_back(
        "--nodes, --ntasks_per_node, --device_memory and what else describes a planned job have no effect without --plan: the job is "
        "what mpirun or srun started");
  }
}

template <typename Config>
Config load(std::span<const std::string> arguments, const Environment& environment, FieldList (*fields_of)(Config&)) {
  constexpr bool kTrains = std::is_base_of_v<TrainerConfig, Config>;
  Config config;
  FieldList fields = fields_of(config);
  ScannedArguments scanned = scan_arguments(arguments, fields);
  if (!scanned.positionals.empty()) fail(ErrorKind::kUsage, "unexpected argument '{}'; flags begin with '--'", scanned.positionals.front());

  std::vector<std::string> notices;
  std::vector<Assignment> assignments;
  if (const Assignment* recipe = last_assignment(scanned.assignments, "config")) {
    const std::string path = find_recipe(recipe->value.text, environment);
    assignments = assignments_of(read_yaml_file(path), path);
    if (const Assignment* nested = last_assignment(assignments, "config")) {
      fail(ErrorKind::kConfig, "{}: 'config' cannot stand in a recipe; write its keys here", nested->where);
    }
    drop_num_processes(assignments, notices);
  }
  for (Assignment& assignment : assignments) assignment.key = replace_all(std::move(assignment.key), "-", "_");
  assignments.insert(assignments.end(), scanned.assignments.begin(), scanned.assignments.end());

  apply_compat(fields, assignments);
  apply_assignments(fields, assignments, notices);
  log::set_level(log::level_from_name(config.log_level));
  const Dict* env = nullptr;
  if constexpr (kTrains) {
    env = &config.env;
    export_variables(config.env, fields.find("env")->where, environment.export_env);
    apply_accelerate(fields, config, environment, notices);
  }
  apply_device_variable(fields, environment, env);
  require_fields(fields);
  plan_world(config, environment, notices);

  config.notices = std::move(notices);
  config.effective_configuration = fields.effective_configuration();
  if constexpr (kTrains) {
    for (ConfigRow& row : config.effective_configuration) {
      if (row.key == "env") row.value = print_env(config.env);
    }
    config.effective_configuration.push_back(
        {.key = "sharding_strategy",
         .value = std::string(enum_names(ShardingStrategy{})[static_cast<std::size_t>(config.accelerate.sharding_strategy)]),
         .origin = config.accelerate.path.empty() ? "default" : config.accelerate.path,
         .given = !config.accelerate.path.empty()});
  }
  check(config);
  for (const std::string& notice : config.notices) log::notice_once(notice, notice);
  return config;
}

}  // namespace

Environment Environment::of_process(int world_size) {
  Environment environment;
  environment.world_size = world_size;
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    const std::string text(*variable);
    const std::size_t equals = text.find('=');
    if (equals != std::string::npos) environment.variables.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  // build/bin/r1_train: the source tree with recipes/ is two folders up.
  std::error_code no_link;
  const auto executable = std::filesystem::read_symlink("/proc/self/exe", no_link);
  if (!no_link) environment.search_folders.push_back(executable.parent_path().parent_path().parent_path().string());
  return environment;
}

SftConfig load_sft(std::span<const std::string> arguments, const Environment& environment) {
  return load<SftConfig>(arguments, environment, sft_fields);
}

GrpoConfig load_grpo(std::span<const std::string> arguments, const Environment& environment) {
  return load<GrpoConfig>(arguments, environment, grpo_fields);
}

GenerateConfig load_generate(std::span<const std::string> arguments, const Environment& environment) {
  return load<GenerateConfig>(arguments, environment, generate_fields);
}

BenchConfig load_bench(std::span<const std::string> arguments, const Environment& environment) {
  return load<BenchConfig>(arguments, environment, bench_fields);
}

std::string_view suite_version() { return R1_VERSION; }

std::string version_text(std::string_view program) { return fmt::format("{} {}\n", program, suite_version()); }

namespace {

constexpr std::string_view kLauncherNote =
    "Runs alone, under 'mpirun -n N' or under srun with the same flags. '-' and '_' are the same in flag names; later flags win.\n";

std::string train_help() {
  return fmt::format(
      "usage: r1_train sft|grpo [--config RECIPE] [--accelerate_config ddp|zero2|zero3] [flags]\n\n"
      "Trains a language model: sft on written answers, grpo by rewards for its own answers.\n{}\n"
      "  r1_train sft --help     all flags of supervised fine-tuning\n"
      "  r1_train grpo --help    all flags of GRPO\n"
      "  r1_train --version\n",
      kLauncherNote);
}

template <typename Config>
std::string help_of(FieldList (*fields_of)(Config&), std::string_view usage, std::string_view description) {
  Config config;
  return fields_of(config).help(usage, fmt::format("{}\n{}", description, kLauncherNote));
}

}  // namespace

std::optional<std::string> requested_information(Program program, std::span<const std::string> arguments) {
  const auto has = [&](std::string_view flag) { return std::find(arguments.begin(), arguments.end(), flag) != arguments.end(); };
  const bool wants_help = has("--help") || has("-h");
  if (!wants_help && !has("--version")) return std::nullopt;
  const bool is_train = program == Program::kTrain || program == Program::kTrainSft || program == Program::kTrainGrpo;
  if (!wants_help) return version_text(is_train ? "r1_train" : program == Program::kGenerate ? "r1_generate" : "r1_bench");
  switch (program) {
    case Program::kTrain:
      return train_help();
    case Program::kTrainSft:
      return help_of(sft_fields, "r1_train sft --config RECIPE [flags]", "Supervised fine-tuning. Recipes are YAML files with these keys.");
    case Program::kTrainGrpo:
      return help_of(grpo_fields, "r1_train grpo --config RECIPE [flags]",
                     "Group relative policy optimisation. Recipes are YAML files with these keys.");
    case Program::kGenerate:
      return help_of(generate_fields, "r1_generate --model M --hf-dataset D --hf-output-dataset OUT [flags]",
                     "Generates answers to the prompts of a data set. A killed run goes on where it stopped.");
    case Program::kBench:
      return help_of(bench_fields, "r1_bench --model M --tasks math_500,aime24 --output-dir OUT [flags]", "Benchmarks a model.");
  }
  return std::nullopt;
}

std::string print_effective_configuration(const CommonConfig& config) {
  std::size_t key_width = 0, value_width = 0;
  constexpr std::size_t kMaxValue = 60;
  // Names and places are never cut: the templates under slurm/ read them here.
  constexpr const char* kWhole[] = {"model_name_or_path", "dataset_name", "output_dir", "config", "benchmarks"};
  auto one_line = [&](const ConfigRow& row) {
    std::string line = replace_all(row.value.empty() ? "''" : row.value, "\n", "\\n");
    if (line.size() <= kMaxValue || std::ranges::count(kWhole, row.key) > 0) return line;
    std::size_t end = kMaxValue;
    while (end > 0 && (static_cast<unsigned char>(line[end]) & 0xC0) == 0x80) --end;
    return line.substr(0, end) + "…";
  };
  for (const ConfigRow& row : config.effective_configuration) {
    key_width = std::max(key_width, row.key.size());
    value_width = std::max(value_width, std::min(one_line(row).size(), kMaxValue));
  }
  std::string text;
  for (const bool is_default : {false, true}) {
    for (const ConfigRow& row : config.effective_configuration) {
      if ((row.origin == "default") != is_default) continue;
      text += fmt::format("  {:<{}}  {:<{}}  {}\n", row.key, key_width, one_line(row), value_width, row.origin);
    }
  }
  return text;
}

}  // namespace r1::config
