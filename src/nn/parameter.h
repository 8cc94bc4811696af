// Parameters: declared once by a model; the declaration drives init, safetensors, sharding, optimizer and checkpoint.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "ops/types.h"
#include "tensor/tensor.h"

namespace r1::nn {

/// How a fresh parameter is filled (r1_inspect init-model).
struct Init {
  enum class Kind { kNormal, kOnes, kZeros };
  Kind kind = Kind::kNormal;
  /// What `--init scaled` needs to know: std = 0.7 / sqrt(fan_in), times 1 / sqrt(2 L) for outputs of the residual branch.
  std::int64_t fan_in = 0;
  bool is_residual_output = false;
  bool is_embedding = false;
};

/// Axis that tensor parallelism cuts.
enum class TpAxis : std::uint8_t { kReplicated, kOutput, kInput, kVocabulary };

struct Parameter {
  std::string name;  // Hugging Face's name
  Shape shape;       // of the rows that are here
  /// Of a tensor-parallel rank: `shape` is rows [first_row, first_row + shape[0]) of the whole parameter's full_rows. Else all of them.
  std::int64_t first_row = 0, full_rows = 0;
  int unit = 0;             // index of the unit that is gathered, reduced and freed as one
  std::int64_t offset = 0;  // first element in the unit's flat buffer
  Init init;
  TpAxis tp_axis = TpAxis::kReplicated;
  bool weight_decay = true;   // false for biases and norm weights, by name, as the reference trainer does
  Tensor value;               // view into the unit's gathered values; valid between acquire and release
  Tensor scales;              // [rows] f32 when value is i8 or f8_e4m3 (generation only), else undefined
  Tensor grad;                // view into the unit's gradient scratch; valid during the unit's backward pass
  bool grad_written = false;  // whether this micro-batch has already written grad

  std::int64_t num_elements() const { return shape.num_elements(); }
  /// As in the model's files.
  Shape full_shape() const;
};

/// One group of parameters that travels together: an embedding, a decoder layer, the head.
struct Unit {
  std::string name;
  int first_parameter = 0, num_parameters = 0;
  std::int64_t num_elements = 0;
};

/// All parameters of a model in order of declaration. References to parameters stay valid while the set lives.
class ParameterSet {
 public:
  /// Starts the next unit; declarations that follow belong to it.
  int begin_unit(std::string name);
  Parameter& declare(std::string name, Shape shape, Init init, TpAxis tp_axis = TpAxis::kReplicated);
  /// Some rows of a parameter: `shape` is theirs.
  Parameter& declare_rows(std::string name, Shape shape, std::int64_t first_row, std::int64_t full_rows, Init init, TpAxis tp_axis);

  const std::vector<Unit>& units() const { return units_; }
  Parameter& at(int index) { return parameters_[static_cast<std::size_t>(index)]; }
  const Parameter& at(int index) const { return parameters_[static_cast<std::size_t>(index)]; }
  int size() const { return static_cast<int>(parameters_.size()); }
  Parameter* find(std::string_view name);
  std::int64_t num_elements() const;
  void for_each(const std::function<void(Parameter&)>& visit);
  void for_each_of_unit(int unit, const std::function<void(Parameter&)>& visit);

  /// Points the members' value (or grad) into the unit's flat buffer; an undefined tensor unbinds.
  void bind_values(int unit, const Tensor& flat);
  void bind_gradients(int unit, const Tensor& flat);

 private:
  std::deque<Parameter> parameters_;
  std::vector<Unit> units_;
};

/// One parameter, or several that were declared one after another and form one matrix (q_proj, k_proj, v_proj): one GEMM,
/// while each keeps its name for load, save and checkpoint. All have the same inner extent (or are vectors).
class PackedParameter {
 public:
  PackedParameter() = default;
  explicit PackedParameter(Parameter& only) : members_{&only} {}
  /// Asserts that the members are adjacent in the flat buffer.
  explicit PackedParameter(std::vector<Parameter*> members);

  bool defined() const { return !members_.empty(); }
  Shape shape() const;
  Tensor value() const;
  /// The rows' scales of a matrix in 8 bits; undefined otherwise.
  Tensor scales() const;
  Tensor grad() const;
  /// kNo for the first gradient of this micro-batch, kYes afterwards; marks it as written.
  ops::Accumulate begin_gradient() const;
  const Parameter& first() const { return *members_.front(); }

 private:
  Tensor packed(const Tensor& first, const Shape& whole) const;
  std::vector<Parameter*> members_;
};

/// The reference trainer's rule: no decay for names that contain bias, layernorm or rmsnorm, or whose module is norm or
/// ends in _norm (q_norm, k_norm). Embeddings, head and router are decayed.
bool has_weight_decay(std::string_view parameter_name);

}  // namespace r1::nn
