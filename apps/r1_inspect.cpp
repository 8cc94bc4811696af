// r1_inspect: look inside models, tokenizers, data, rewards.
#include <fmt/format.h>

#include "apps/app_main.h"
#include "apps/inspect/checkpoint_command.h"
#include "apps/inspect/data_commands.h"
#include "apps/inspect/model_commands.h"
#include "apps/inspect/text_commands.h"
#include "apps/inspect/verify_commands.h"
#include "base/error.h"
#include "base/strings.h"
#include "config/loader.h"

namespace r1::apps {
namespace {

struct Command {
  const char* name;
  int (*run)(std::span<const std::string>);
  const char* summary;
};

constexpr Command kCommands[] = {
    {"tokenize", run_tokenize, "texts to token ids, JSONL in and out"},
    {"detokenize", run_detokenize, "token ids to text, or to streamed pieces"},
    {"chat", run_chat, "messages through a chat template"},
    {"verify", run_verify, "grades answers against gold answers, or extracts them"},
    {"reward", run_reward, "scores completions with a reward function"},
    {"forward", run_forward, "logits, loss, log-probabilities and gradients of a batch"},
    {"ask", run_ask, "asks a model and streams the answer"},
    {"model", run_model, "architecture, parameters, bytes by dtype, what is missing or extra"},
    {"checkpoint", run_checkpoint, "step, tensors and checksums of a checkpoint; verifies it, compares two"},
    {"init-model", run_init_model, "a randomly initialised model folder"},
    {"dataset", run_dataset, "columns, rows, types and first rows of a data set"},
    {"download", run_download, "fetches a model or a data set into the Hugging Face cache"},
};

void print_help() {
  fmt::print("usage: r1_inspect COMMAND [flags]; r1_inspect COMMAND --help lists a command's flags\n\n");
  for (const Command& command : kCommands) fmt::print("  {:<12} {}\n", command.name, command.summary);
}

int run(std::span<const std::string> arguments) {
  if (arguments.empty() || arguments[0] == "--help" || arguments[0] == "-h") {
    print_help();
    return arguments.empty() ? exit_code(ErrorKind::kUsage) : 0;
  }
  if (arguments[0] == "--version") {
    fmt::print("{}", config::version_text("r1_inspect"));
    return 0;
  }
  std::vector<std::string> names;
  for (const Command& command : kCommands) {
    if (arguments[0] == command.name) return command.run(arguments.subspan(1));
    names.emplace_back(command.name);
  }
  const auto nearest = nearest_name(arguments[0], names);
  fail(ErrorKind::kUsage, "unknown command '{}'{}; commands are {}", arguments[0],
       nearest ? fmt::format(" — did you mean '{}'?", *nearest) : "", join(names, ", "));
}

}  // namespace
}  // namespace r1::apps

int main(int argc, char** argv) { return r1::apps::run_app("r1_inspect", argc, argv, r1::apps::run); }
