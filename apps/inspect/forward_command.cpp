// r1_inspect forward: logits, loss, log-probabilities and gradients of a batch, for comparison with other implementations.
#include <fmt/format.h>

#include <optional>

#include "apps/inspect/loaded_model.h"
#include "apps/inspect/model_commands.h"
#include "config/fields.h"
#include "io/element_convert.h"
#include "io/safetensors.h"
#include "io/safetensors_writer.h"
#include "ops/copy.h"
#include "tensor/device_choice.h"

namespace r1::apps {
namespace {

struct ForwardOptions {
  std::string model, input, output;
  bool grads = false;
  std::string dtype = "float32", device = "cpu";
  int num_threads = 0;
};

config::FieldList forward_fields(ForwardOptions& options) {
  config::FieldList fields;
  fields.add("model", options.model, "Model folder in Hugging Face layout.").required();
  fields
      .add("input", options.input,
           "safetensors file with input_ids [B, T] and, optionally, attention_mask, position_ids, cu_seqlens, labels.")
      .required();
  fields.add("output", options.output, "safetensors file to write.").required();
  fields.add("grads", options.grads, "Also grad.<parameter> and grad_norm of the loss.");
  fields.add("dtype", options.dtype, "Storage of the weights; arithmetic is float32.").choices({"float32", "bfloat16"});
  fields.add("device", options.device, "Where to compute.").choices({"auto", "cpu", "cuda"});
  fields.add("num_threads", options.num_threads, "Threads; 0 = all processors.").at_least(0);
  return fields;
}

/// The input file, [B, T] matrices flattened.
struct InputRows {
  std::int64_t num_rows = 0, row_length = 0;
  std::vector<std::int64_t> input_ids, attention_mask, position_ids, labels;  // the last three may be empty
  std::vector<std::int64_t> cu_seqlens;
};

std::vector<std::int64_t> read_integers(const io::Safetensors& file, const char* name, std::int64_t expected) {
  const io::StoredTensor* stored = file.find(name);
  if (stored == nullptr) return {};
  if (expected >= 0 && stored->num_elements() != expected) {
    fail(ErrorKind::kData, "{}: '{}' holds {} values, expected {}: one for each input id", file.path(), name, stored->num_elements(),
         expected);
  }
  std::vector<std::int64_t> values(static_cast<std::size_t>(stored->num_elements()));
  io::convert_to_i64(stored->dtype, stored->bytes, values, name);
  return values;
}

InputRows read_input(const std::string& path) {
  const io::Safetensors file = io::Safetensors::open_file(path);
  const io::StoredTensor* ids = file.find("input_ids");
  if (ids == nullptr || ids->shape.empty() || ids->shape.size() > 2)
    fail(ErrorKind::kData, "{}: expected a tensor 'input_ids' of shape [B, T]", path);
  InputRows rows;
  rows.num_rows = ids->shape.size() == 2 ? ids->shape[0] : 1;
  rows.row_length = ids->shape.back();
  const std::int64_t count = rows.num_rows * rows.row_length;
  if (count == 0) fail(ErrorKind::kData, "{}: input_ids is empty", path);
  rows.input_ids = read_integers(file, "input_ids", count);
  rows.attention_mask = read_integers(file, "attention_mask", count);
  rows.position_ids = read_integers(file, "position_ids", count);
  rows.labels = read_integers(file, "labels", count);
  rows.cu_seqlens = read_integers(file, "cu_seqlens", -1);
  if (!rows.cu_seqlens.empty()) {
    bool ascending = rows.cu_seqlens.front() == 0 && rows.cu_seqlens.back() == count;
    for (std::size_t i = 1; i < rows.cu_seqlens.size(); ++i) ascending = ascending && rows.cu_seqlens[i] > rows.cu_seqlens[i - 1];
    if (!ascending || rows.num_rows != 1)
      fail(ErrorKind::kData, "{}: cu_seqlens must ascend from 0 to the {} tokens of a single row", path, count);
  }
  return rows;
}

/// The rows without their pads, and where each kept token stood.
struct PackedRows {
  std::vector<std::int32_t> input_ids, position_ids, labels, next_ids;
  std::vector<std::int64_t> source;  // flat index in [B, T]
  std::vector<std::int64_t> sequence_lengths;
  std::int64_t num_targets = 0;
};

PackedRows pack(const InputRows& rows) {
  PackedRows packed;
  const auto is_token = [&](std::int64_t flat) {
    return rows.attention_mask.empty() || rows.attention_mask[static_cast<std::size_t>(flat)] != 0;
  };
  std::size_t next_border = 1;
  for (std::int64_t row = 0; row < rows.num_rows; ++row) {
    bool fresh = true;
    std::int64_t previous_position = 0;
    for (std::int64_t t = 0; t < rows.row_length; ++t) {
      const std::int64_t flat = row * rows.row_length + t;
      if (!is_token(flat)) continue;
      const auto at = static_cast<std::size_t>(flat);
      bool border = fresh;
      if (!rows.cu_seqlens.empty()) {
        border = border || flat == rows.cu_seqlens[next_border];
        if (flat == rows.cu_seqlens[next_border]) ++next_border;
      } else if (!rows.position_ids.empty() && rows.attention_mask.empty()) {
        border = border || rows.position_ids[at] != previous_position + 1;  // as transformers finds packed documents
      }
      if (border) packed.sequence_lengths.push_back(0);
      const std::int64_t position = rows.position_ids.empty() ? packed.sequence_lengths.back() : rows.position_ids[at];
      fresh = false;
      previous_position = position;
      ++packed.sequence_lengths.back();
      const bool has_next = t + 1 < rows.row_length && is_token(flat + 1);
      const std::int64_t label = has_next && !rows.labels.empty() ? rows.labels[at + 1] : ops::kIgnoreIndex;
      packed.num_targets += label != ops::kIgnoreIndex;
      packed.input_ids.push_back(static_cast<std::int32_t>(rows.input_ids[at]));
      packed.position_ids.push_back(static_cast<std::int32_t>(position));
      packed.labels.push_back(static_cast<std::int32_t>(label));
      packed.next_ids.push_back(has_next ? static_cast<std::int32_t>(rows.input_ids[at + 1]) : ops::kIgnoreIndex);
      packed.source.push_back(flat);
    }
  }
  if (packed.input_ids.empty()) fail(ErrorKind::kData, "attention_mask leaves no token");
  return packed;
}

/// Named f32 tensors for the output file.
class OutputFile {
 public:
  std::vector<float>& add(const std::string& name, std::vector<std::int64_t> shape) {
    std::int64_t count = 1;
    for (const std::int64_t extent : shape) count *= extent;
    descriptions_.push_back({name, DType::kF32, std::move(shape)});
    return values_.emplace_back(static_cast<std::size_t>(count), 0.0F);
  }
  void write(const std::string& path) const {
    io::write_safetensors(path, descriptions_, [this](const io::TensorDescription& description) {
      for (std::size_t i = 0; i < descriptions_.size(); ++i) {
        if (descriptions_[i].name == description.name) return std::as_bytes(std::span<const float>(values_[i]));
      }
      return std::span<const std::byte>();
    });
  }

 private:
  std::vector<io::TensorDescription> descriptions_;
  std::deque<std::vector<float>> values_;
};

Tensor int_tensor(const ExecContext& ctx, const std::vector<std::int32_t>& values) {
  return ops::to_device(ctx, Tensor::host_from<std::int32_t>(values, {static_cast<std::int64_t>(values.size())}, DType::kI32));
}

double mean_loss(const ExecContext& ctx, const Tensor& token_loss, std::int64_t num_targets) {
  double sum = 0;
  const Tensor on_host = ops::to_host(ctx, token_loss);
  for (const float loss : on_host.host_span<float>()) sum += static_cast<double>(loss);
  return num_targets > 0 ? sum / static_cast<double>(num_targets) : 0;
}

void add_gradients(LoadedModel& loaded, const models::TokenBatch& batch, const PackedRows& packed, OutputFile& output) {
  const ExecContext& ctx = *loaded.ctx;
  nn::Tape tape(ctx);
  nn::Pass pass{ctx, *loaded.runner, &tape};
  loaded.store->begin_step();
  loaded.store->begin_micro_batch(0);
  const float scale = packed.num_targets > 0 ? 1.0F / static_cast<float>(packed.num_targets) : 0.0F;
  loaded.model->cross_entropy(pass, loaded.model->decode(pass, batch), int_tensor(ctx, packed.labels), scale);
  tape.backward();
  loaded.store->for_each_shard([&](parallel::Shard& shard) {
    const Shape& shape = shard.parameter->shape;
    std::vector<float>& values = output.add("grad." + shard.parameter->name, {shape.dims().begin(), shape.dims().end()});
    const Tensor on_host = ops::to_host(ctx, shard.gradient);
    const auto gradient = on_host.host_span<float>();
    values.assign(gradient.begin(), gradient.end());
  });
  output.add("grad_norm", {1})[0] = static_cast<float>(loaded.store->gradient_norm());
}

void round_weights_to_bf16(LoadedModel& loaded) {
  loaded.model->parameters().for_each([&](nn::Parameter& parameter) {
    const Tensor value = loaded.store->gather_value(parameter);
    for (float& x : value.host_span<float>()) x = bf16_to_f32(f32_to_bf16(x));
    loaded.store->set_value(parameter, value);
  });
}

}  // namespace

int run_forward(std::span<const std::string> arguments) {
  ForwardOptions options;
  config::FieldList fields = forward_fields(options);
  if (config::parse_arguments(arguments, fields).help_requested) {
    fmt::print("{}", fields.help("r1_inspect forward --model DIR --input IN.safetensors --output OUT.safetensors [--grads]",
                                 "One forward pass (and backward, with --grads): logits, loss, logprobs, entropy."));
    return 0;
  }
  const InputRows rows = read_input(options.input);
  const PackedRows packed = pack(rows);
  LoadedModel loaded = load_model(options.model, options.num_threads, choose_device(options.device));
  if (options.dtype == "bfloat16") round_weights_to_bf16(loaded);
  const ExecContext& ctx = *loaded.ctx;
  const std::int64_t vocab_size = loaded.model->config().vocab_size;
  const models::TokenBatch batch =
      models::make_token_batch(ctx, packed.input_ids, packed.position_ids, packed.sequence_lengths, vocab_size);

  OutputFile output;
  std::vector<float>& logits = output.add("logits", {rows.num_rows, rows.row_length, vocab_size});
  std::vector<float>& log_probs = output.add("logprobs", {rows.num_rows, rows.row_length - 1});
  std::vector<float>& entropy = output.add("entropy", {rows.num_rows, rows.row_length - 1});

  nn::Pass pass{ctx, *loaded.runner, nullptr};
  const nn::Activations state = loaded.model->decode(pass, batch);
  const Tensor packed_logits = ops::to_host(ctx, loaded.model->logits(pass, state));
  const nn::SelectedLogProbs selected = loaded.model->log_probs(pass, state, int_tensor(ctx, packed.next_ids), 1.0F);
  const Tensor packed_log_probs = ops::to_host(ctx, selected.log_probs.value);
  const Tensor packed_entropy = ops::to_host(ctx, selected.entropy);
  for (std::size_t i = 0; i < packed.source.size(); ++i) {
    const std::int64_t flat = packed.source[i];
    const auto from =
        packed_logits.host_span<float>().subspan(i * static_cast<std::size_t>(vocab_size), static_cast<std::size_t>(vocab_size));
    std::copy(from.begin(), from.end(), logits.begin() + flat * vocab_size);
    if (packed.next_ids[i] == ops::kIgnoreIndex) continue;
    const auto at = static_cast<std::size_t>(flat / rows.row_length * (rows.row_length - 1) + flat % rows.row_length);
    log_probs[at] = packed_log_probs.host_span<float>()[i];
    entropy[at] = packed_entropy.host_span<float>()[i];
  }
  if (!rows.labels.empty()) {
    const nn::TokenLoss loss = loaded.model->cross_entropy(pass, state, int_tensor(ctx, packed.labels), 1.0F);
    output.add("loss", {1})[0] = static_cast<float>(mean_loss(ctx, loss.token_loss, packed.num_targets));
  }
  if (options.grads) {
    if (rows.labels.empty()) fail(ErrorKind::kUsage, "--grads needs labels in {}", options.input);
    add_gradients(loaded, batch, packed, output);
  }
  output.write(options.output);
  return 0;
}

}  // namespace r1::apps
