// Weights for generation alone: no gradients, no optimizer, matrices in the storage that is wanted.
#pragma once

#include "nn/hooks.h"
#include "nn/parameter.h"
#include "tensor/exec_context.h"

namespace r1::parallel {

/// How matrices are kept. On the CPU vectors (norms, biases) are f32, and so is arithmetic with every storage; on CUDA vectors and
/// activations are bf16 beside matrices that are not f32, and sums are f32.
enum class WeightStorage : std::uint8_t {
  kStored,  // as on disk: bf16 stays bf16, everything else becomes f32
  kF32,
  kBF16,
  kInt8,  // projections: int8 with one f32 scale per output row (symmetric, scale = max |w| / 127); embedding and head bf16
  kFp8,   // projections: e4m3 with one f32 scale per output row (max |w| / 448), multiplied in e4m3; embedding and head bf16
};

/// What matrices and vectors of a model are kept in, and what a parameter takes so.
DType inference_dtype(const nn::Parameter& parameter, WeightStorage storage, DType stored_dtype);
/// Whether a matrix in this dtype has an f32 scale for each of its rows.
bool has_row_scales(DType dtype);
std::int64_t inference_bytes(const nn::Parameter& parameter, WeightStorage storage, DType stored_dtype);

class InferenceStore : public nn::UnitHooks {
 public:
  /// stored_dtype: what kStored means. Room for all values is taken at once.
  InferenceStore(const ExecContext& ctx, nn::ParameterSet& parameters, WeightStorage storage, DType stored_dtype);

  /// host_f32 [parameter's shape] on the host; converted here.
  void set_value(const nn::Parameter& parameter, const Tensor& host_f32);

  /// Of all values and scales.
  std::int64_t num_bytes() const { return num_bytes_; }
  WeightStorage storage() const { return storage_; }

  void acquire(int) override {}
  void prefetch(int) override {}
  void release(int) override {}
  void begin_gradients(int unit) override;  // an internal error: nothing is trained here
  void gradients_ready(int unit) override;
  DType activation_dtype() const override { return vector_dtype_; }
  bool values_stay() const override { return true; }
  bool values_never_move() const override { return true; }

 private:
  DType dtype_of(const nn::Parameter& parameter) const {
    return parameter.shape.rank() == 2 ? inference_dtype(parameter, storage_, stored_dtype_) : vector_dtype_;
  }

  const ExecContext& ctx_;
  nn::ParameterSet& parameters_;
  WeightStorage storage_;
  DType stored_dtype_;
  DType vector_dtype_ = DType::kF32;  // of norms and biases, and of activations
  std::int64_t num_bytes_ = 0;
};

}  // namespace r1::parallel
