// A language model: embedding, decoder layers, final norm and head. Knows nothing of ranks or optimizers.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "models/model_config.h"
#include "models/model_part.h"
#include "nn/functions.h"

namespace r1::models {

/// Packed tokens of one forward pass, on the device. Without padding: sequence s is the tokens
/// [cu_seqlens[s], cu_seqlens[s + 1]).
struct TokenBatch {
  Tensor input_ids;     // [num_tokens] i32, each in [0, vocab_size)
  Tensor position_ids;  // [num_tokens] i32, each in [0, num_positions)
  nn::AttentionContext attention;
  std::int64_t num_positions = 0;  // highest position + 1
};

/// Builds a batch on the device from host values. Throws Error(kData) when an id is outside [0, vocab_size) or a position is
/// negative; sequence_lengths must add up to the number of ids.
TokenBatch make_token_batch(const ExecContext& ctx, std::span<const std::int32_t> input_ids, std::span<const std::int32_t> position_ids,
                            std::span<const std::int64_t> sequence_lengths, std::int64_t vocab_size);

/// Use: begin a Pass, decode() once, then one of the heads once.
class CausalLM {
 public:
  virtual ~CausalLM() = default;
  CausalLM(const CausalLM&) = delete;
  CausalLM& operator=(const CausalLM&) = delete;

  /// Of the whole model, whatever part of it is here.
  const ModelConfig& config() const { return config_; }
  nn::ParameterSet& parameters() { return parameters_; }

  /// The part that is declared here; end_layer is set.
  const ModelPart& part() const { return part_; }
  int num_layers() const { return part_.end_layer - part_.first_layer; }
  bool has_embedding() const { return part_.first_layer == 0; }
  bool has_head() const { return part_.end_layer == config_.num_hidden_layers; }

  /// Embedding and all layers: the state before the final norm. Of a part: the first layers take the embedding, later ones the state
  /// that the layers before them left.
  nn::Activations decode(nn::Pass& pass, const TokenBatch& batch, const nn::Activations& from_earlier_layers = {});

  /// Makes positions [0, num_positions) available: the rotary table of passes that stay below does not move.
  const nn::Rotary& reserve_positions(const ExecContext& ctx, std::int64_t num_positions) {
    rotary_.reserve(ctx, num_positions);
    return rotary_;
  }
  /// Final norm and head. labels and ids [num_tokens] i32 say what each position predicts (already shifted).
  nn::TokenLoss cross_entropy(nn::Pass& pass, const nn::Activations& state, const Tensor& labels, float scale);
  nn::SelectedLogProbs log_probs(nn::Pass& pass, const nn::Activations& state, const Tensor& ids, float temperature);
  /// [num_tokens, vocab_size] f32; without a tape only. Tensor-parallel: on the first rank alone, undefined on the others.
  Tensor logits(nn::Pass& pass, const nn::Activations& state);
  /// Into out [num_tokens, vocab_size] f32. Not tensor-parallel.
  void logits_into(nn::Pass& pass, const nn::Activations& state, Tensor& out);
  /// Of some tokens alone: rows [num_rows] i32, repeats allowed. [num_rows, vocab_size] f32.
  Tensor logits(nn::Pass& pass, const nn::Activations& state, const Tensor& rows);

  /// The heads that are here.
  ops::AttentionHeads heads() const;

 protected:
  CausalLM(ModelConfig config, ModelPart part);

  /// One decoder layer; its unit's values are acquired. layer_index counts the layers that are here.
  virtual nn::Activations layer(nn::Pass& pass, int layer_index, const nn::Activations& in, const TokenBatch& batch) = 0;

  void declare_embedding();
  /// Call before each layer's declarations.
  void begin_layer(int layer_index);
  void declare_head();
  /// "model.layers.<i>.<suffix>", i counting the whole model's layers.
  nn::Parameter& declare_in_layer(int layer_index, const char* suffix, Shape shape, nn::Init init);
  /// The given rows of it; shape is the whole parameter's.
  nn::Parameter& declare_in_layer(int layer_index, const char* suffix, Shape shape, IndexRange rows, nn::Init init, nn::TpAxis tp_axis);
  nn::Init projection_init(std::int64_t fan_in, bool is_residual_output = false) const;

  nn::Rotary& rotary() { return rotary_; }
  const GatherWidths& widths() const { return widths_; }

 private:
  /// Runs body on the normalised state with the head's values acquired.
  /// Into out, which is made when it is undefined.
  Tensor head_logits(nn::Pass& pass, const nn::Activations& state, Tensor& out);
  nn::Var with_head(nn::Pass& pass, const nn::Activations& state, const std::function<nn::Var(nn::Pass&, const nn::Var&)>& body);

  std::string layer_name(int layer_index) const;
  nn::PackedParameter declare_vocabulary(const char* name, nn::Init init);

  ModelConfig config_;
  ModelPart part_;
  GatherWidths widths_;
  nn::ParameterSet parameters_;
  nn::Rotary rotary_;
  nn::PackedParameter embedding_, final_norm_, head_;
  int embedding_unit_ = 0, head_unit_ = 0;
  std::vector<int> layer_units_;
};

}  // namespace r1::models
