#include "tools/gpu/speed_model.h"

#include <filesystem>
#include <map>

#include "base/files.h"
#include "base/rng.h"
#include "io/safetensors_writer.h"

namespace r1::gpu {
namespace {

namespace fs = std::filesystem;

Json config_of(const SpeedModel& model) {
  return {{"architectures", {"Qwen2ForCausalLM"}},
          {"model_type", "qwen2"},
          {"vocab_size", model.vocab_size},
          {"hidden_size", model.hidden_size},
          {"intermediate_size", model.intermediate_size},
          {"num_hidden_layers", model.num_layers},
          {"num_attention_heads", model.num_heads},
          {"num_key_value_heads", model.num_key_value_heads},
          {"hidden_act", "silu"},
          {"max_position_embeddings", 2 * model.length},
          {"rms_norm_eps", 1e-6},
          {"rope_theta", 1e6},
          {"tie_word_embeddings", true},
          {"eos_token_id", 257},
          {"pad_token_id", 256},
          {"torch_dtype", "bfloat16"}};
}

std::vector<io::TensorDescription> tensors_of(const SpeedModel& m) {
  std::vector<io::TensorDescription> tensors;
  const auto add = [&](const std::string& name, std::vector<std::int64_t> shape) {
    tensors.push_back({name, DType::kBF16, std::move(shape)});
  };
  const std::int64_t H = m.hidden_size, I = m.intermediate_size, kv = m.num_key_value_heads * m.head_dim();
  add("model.embed_tokens.weight", {m.vocab_size, H});
  for (std::int64_t layer = 0; layer < m.num_layers; ++layer) {
    const std::string name = "model.layers." + std::to_string(layer) + ".";
    add(name + "input_layernorm.weight", {H});
    for (const auto& [projection, rows] : {std::pair<const char*, std::int64_t>{"q_proj", H}, {"k_proj", kv}, {"v_proj", kv}}) {
      add(name + "self_attn." + projection + ".weight", {rows, H});
      add(name + "self_attn." + projection + ".bias", {rows});
    }
    add(name + "self_attn.o_proj.weight", {H, H});
    add(name + "post_attention_layernorm.weight", {H});
    add(name + "mlp.gate_proj.weight", {I, H});
    add(name + "mlp.up_proj.weight", {I, H});
    add(name + "mlp.down_proj.weight", {H, I});
  }
  add("model.norm.weight", {H});
  return tensors;
}

/// Normal numbers of deviation 0.02 out of a table: a draw for each of 1.5 billion weights would take longer than all measurements.
class Weights {
 public:
  Weights() {
    RandomStream random(1, "gpu_check weights");
    for (std::uint16_t& value : table_) value = f32_to_bf16(static_cast<float>(0.02 * random.normal()));
  }
  std::span<const std::byte> of(const io::TensorDescription& tensor) {
    std::int64_t count = 1;
    for (const std::int64_t size : tensor.shape) count *= size;
    values_.resize(static_cast<std::size_t>(count));
    const bool is_norm = tensor.name.ends_with("norm.weight");
    for (std::uint16_t& value : values_) {
      state_ ^= state_ << 13U, state_ ^= state_ >> 7U, state_ ^= state_ << 17U;  // xorshift64: Marsaglia 2003
      value = is_norm ? f32_to_bf16(1) : table_[state_ >> 48U];
    }
    return std::as_bytes(std::span<const std::uint16_t>(values_));
  }

 private:
  std::vector<std::uint16_t> table_ = std::vector<std::uint16_t>(1 << 16), values_;
  std::uint64_t state_ = 88172645463325252U;
};

}  // namespace

std::int64_t SpeedModel::parameters() const {
  const std::int64_t kv = num_key_value_heads * head_dim();
  const std::int64_t layer =
      2 * hidden_size * hidden_size + 2 * hidden_size * kv + hidden_size + 2 * kv + 3 * hidden_size * intermediate_size + 2 * hidden_size;
  return vocab_size * hidden_size + num_layers * layer + hidden_size;
}

double SpeedModel::training_flops_per_token() const {
  return 6.0 * static_cast<double>(parameters()) + 6.0 * static_cast<double>(num_layers * hidden_size * length);
}

SpeedModel speed_model(bool quick) {
  if (quick) return {128, 384, 3, 4, 2, 264, 64};
  return {1536, 8960, 28, 12, 2, 151936, 4096};
}

std::string speed_model_folder(const Places& places) { return places.work + "/speed_model"; }

std::string speed_rows(const Places& places, std::int64_t batch) { return places.work + "/rows_" + std::to_string(batch) + ".jsonl"; }

void make_speed_inputs(const Places& places, bool quick) {
  const SpeedModel model = speed_model(quick);
  const std::string folder = speed_model_folder(places);
  if (fs::exists(folder + "/model.safetensors")) return;
  fs::create_directories(folder);
  for (const auto& file : fs::directory_iterator(places.root + "/assets/chain")) {
    fs::copy_file(file.path(), fs::path(folder) / file.path().filename(), fs::copy_options::overwrite_existing);
  }
  write_file_atomically(folder + "/config.json", config_of(model).dump(1));
  std::string rows;
  RandomStream random(1, "gpu_check rows");
  for (std::int64_t row = 1; row <= speed_batch(quick); ++row) {
    Json ids = Json::array();
    for (std::int64_t i = 0; i < model.length; ++i) ids.push_back(random.below(static_cast<std::uint64_t>(model.vocab_size)));
    rows += to_json_line({{"input_ids", ids}}) + "\n";
    write_file_atomically(speed_rows(places, row), rows);
  }
  Weights weights;
  io::write_safetensors(folder + "/model.safetensors", tensors_of(model),
                        [&](const io::TensorDescription& one) { return weights.of(one); });
}

}  // namespace r1::gpu
