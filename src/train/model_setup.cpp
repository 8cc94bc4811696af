#include "train/model_setup.h"

#include "hub/resolve.h"
#include "models/registry.h"
#include "plan/job_plan.h"
#include "preflight/checks.h"
#include "train/run_checkpoints.h"
#include "train/training_setup.h"

namespace r1::train {

ModelSetup open_model(const config::CommonConfig& common, const config::TrainerConfig& config, const config::ModelArgs& args) {
  ModelSetup setup;
  setup.device = plan::device_of_job(common);
  note_bf16(config, setup.device);
  if (!continues_run(config)) preflight::check_output_dir(config);
  setup.model_folder = hub::resolve(hub::Repository::kModel, args.model_name_or_path, args.model_revision);
  setup.model_config = models::load_model_config(setup.model_folder);
  models::make_model(setup.model_config);  // an unknown architecture is told before data is read
  setup.save_dtype = save_dtype_of(args, setup.model_config);
  if (common.planning() && plan::holds_dimensions_alone(setup.model_folder)) return setup;
  setup.tokenizer = text::Tokenizer::load(setup.model_folder);
  setup.chat_template =
      args.chat_template ? text::ChatTemplate::from_setting(*args.chat_template) : text::ChatTemplate::load(setup.model_folder);
  if (setup.chat_template) setup.chat = data::make_chat_renderer(*setup.chat_template, *setup.tokenizer);
  return setup;
}

}  // namespace r1::train
