#include "ops/sampling.h"

#include "ops/checks.h"
#include "ops/dispatch.h"
#include "ops/op_scope.h"

namespace r1::ops {
namespace {

void check_sampling(const char* op, const Tensor& logits, std::span<const SamplingSettings> settings, const Tensor& seen_ids,
                    const Tensor& seen_offsets) {
  require_dtype(op, "logits", logits, DType::kF32);
  require_rank(op, "logits", logits, 2);
  if (logits.dim(1) < 1) fail(ErrorKind::kShape, "{}: logits must have a vocabulary, found {}", op, logits.shape().to_string());
  if (static_cast<std::int64_t>(settings.size()) != logits.dim(0)) {
    fail(ErrorKind::kShape, "{}: settings must hold one entry per row, {} for logits {}", op, settings.size(), logits.shape().to_string());
  }
  for (std::size_t r = 0; r < settings.size(); ++r) {
    const SamplingSettings& s = settings[r];
    if (s.temperature >= 0 && s.top_k >= 0 && s.top_p > 0 && s.min_p >= 0 && s.min_p <= 1 && s.repetition_penalty > 0) continue;
    fail(ErrorKind::kInternal,
         "{}: row {}: temperature {} and top_k {} must be at least 0, top_p {} and repetition_penalty {} positive, min_p {} in [0, 1]", op,
         r, s.temperature, s.top_k, s.top_p, s.repetition_penalty, s.min_p);
  }
  require_dtype(op, "seen_ids", seen_ids, DType::kI32);
  require_rank(op, "seen_ids", seen_ids, 1);
  require_dtype(op, "seen_offsets", seen_offsets, DType::kI32);
  require_shape(op, "seen_offsets", seen_offsets, Shape{logits.dim(0) + 1});
}

}  // namespace

void sample(const ExecContext& ctx, const Tensor& logits, std::span<const SamplingSettings> settings, const Tensor& seen_ids,
            const Tensor& seen_offsets, const Tensor& uniforms, Tensor& ids, Tensor* log_probs) {
  check_sampling("sample", logits, settings, seen_ids, seen_offsets);
  const Shape rows{logits.dim(0)};
  require_dtype("sample", "uniforms", uniforms, DType::kF32);
  require_shape("sample", "uniforms", uniforms, rows);
  require_dtype("sample", "ids", ids, DType::kI32);
  require_shape("sample", "ids", ids, rows);
  if (log_probs != nullptr) {
    require_dtype("sample", "log_probs", *log_probs, DType::kF32);
    require_shape("sample", "log_probs", *log_probs, rows);
  }
  OpScope scope(ctx, "sample");
  op_table(ctx).sample(ctx, logits, settings, seen_ids, seen_offsets, uniforms, ids, log_probs);
}

void sampling_probabilities(const ExecContext& ctx, const Tensor& logits, std::span<const SamplingSettings> settings,
                            const Tensor& seen_ids, const Tensor& seen_offsets, Tensor& probabilities) {
  const char* op = "sampling_probabilities";
  check_sampling(op, logits, settings, seen_ids, seen_offsets);
  require_dtype(op, "probabilities", probabilities, DType::kF32);
  require_shape(op, "probabilities", probabilities, logits.shape());
  OpScope scope(ctx, op);
  op_table(ctx).sampling_probabilities(ctx, logits, settings, seen_ids, seen_offsets, probabilities);
}

}  // namespace r1::ops
