#include "ops/sampling.h"

#include <vector>

#include "ops/cuda/kernels.h"
#include "ops/cuda/log_softmax.h"
#include "ops/cuda/movement.h"
#include "ops/cuda/sampling_kernels.cuh"

namespace r1::ops::R1_CUDA_NAMESPACE {

using namespace kernels;

namespace {

static_assert(sizeof(RowSettings) == sizeof(SamplingSettings));

/// Chooses ids, or with probabilities writes the distributions.
void run_rows(const ExecContext& ctx, const char* op, const Tensor& logits, std::span<const SamplingSettings> settings,
              const Tensor& seen_ids, const Tensor& seen_offsets, const Tensor* uniforms, Tensor* ids, Tensor* probabilities) {
  const std::int64_t num_rows = logits.dim(0), V = logits.dim(1);
  const Tensor device_settings = ctx.empty({num_rows, 5}, DType::kI32);
  copy_to_device(ctx, RawAccess::data(device_settings), settings.data(), settings.size_bytes());
  device_pointer<int>(device_settings);
  const Tensor scores = ctx.empty({num_rows, V}), seen_bits = ctx.empty({num_rows, (V + 31) / 32}, DType::kI32);
  with_storage(op, logits, [&]<typename L>(L) {
    const Rows<L> rows(logits);
    with_width<L>(rows.is_vectorisable(), [&](auto width) {
      launch(ctx, op, sample_kernel<L, width>, {static_cast<unsigned>(num_rows)}, kSamplingThreads, 0, rows.data, rows.stride, V,
             reinterpret_cast<const RowSettings*>(RawAccess::data(device_settings)), device_pointer<int>(seen_ids),
             device_pointer<int>(seen_offsets), uniforms ? device_pointer<float>(*uniforms) : nullptr, device_pointer<float>(scores),
             device_pointer<unsigned>(seen_bits), ids ? device_pointer<int>(*ids) : nullptr,
             probabilities ? device_pointer<float>(*probabilities) : nullptr);
    });
  });
}

}  // namespace

void sample(const ExecContext& ctx, const Tensor& logits, std::span<const SamplingSettings> settings, const Tensor& seen_ids,
            const Tensor& seen_offsets, const Tensor& uniforms, Tensor& ids, Tensor* log_probs) {
  const std::int64_t num_rows = logits.dim(0);
  if (num_rows == 0) return;
  run_rows(ctx, "sample", logits, settings, seen_ids, seen_offsets, &uniforms, &ids, nullptr);
  if (log_probs == nullptr) return;
  std::vector<float> values;
  for (const SamplingSettings& row : settings) values.push_back(row.temperature == 0 ? 1.0F : row.temperature);
  const Tensor temperatures = ctx.empty({num_rows});
  copy_to_device(ctx, RawAccess::data(temperatures), values.data(), values.size() * sizeof(float));
  const Tensor states = make_row_states(ctx, num_rows);
  take_logits(ctx, logits, ids, 0, 1.0F, &temperatures, states);
  write_results(ctx, states, ids, {1.0F, log_probs, nullptr, nullptr, nullptr});
}

void sampling_probabilities(const ExecContext& ctx, const Tensor& logits, std::span<const SamplingSettings> settings,
                            const Tensor& seen_ids, const Tensor& seen_offsets, Tensor& probabilities) {
  if (logits.dim(0) == 0) return;
  run_rows(ctx, "sampling_probabilities", logits, settings, seen_ids, seen_offsets, nullptr, nullptr, &probabilities);
}

void token_uniforms(const ExecContext& ctx, std::uint64_t seed, const Tensor& row_ids, const Tensor& samples, const Tensor& positions,
                    Tensor& uniforms) {
  const index_t count = uniforms.dim(0);
  if (count == 0) return;
  launch(ctx, "token_uniforms", token_uniforms_kernel, {blocks_for(count, 256)}, 256, 0, seed, device_pointer<index_t>(row_ids),
         device_pointer<int>(samples), device_pointer<int>(positions), device_pointer<float>(uniforms), count);
}

}  // namespace r1::ops::R1_CUDA_NAMESPACE
