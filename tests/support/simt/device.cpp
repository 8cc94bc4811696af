#include "tests/support/simt/device.h"

#include "tests/support/widened_ops.h"

#include <cstring>
#include <stdexcept>

#include "fmt/format.h"
#include "ops/copy.h"
#define R1_SIMT 1
#include "ops/cuda/fp8.h"
#include "ops/cuda/small_product.h"
#include "tests/support/simt/runtime.h"

namespace r1::test {
namespace {

class SimtWork : public RecordedWork {
 public:
  explicit SimtWork(simt::Recording launches) : launches_(std::move(launches)) {}
  void replay() override {
    for (const auto& launch : launches_) launch();
  }

 private:
  simt::Recording launches_;
};

class SimtRecorder : public WorkRecorder {
 public:
  std::unique_ptr<RecordedWork> record(const std::function<void()>& ops) override {
    simt::Recording launches;
    simt::record_into(&launches);
    try {
      ops();
    } catch (...) {
      simt::record_into(nullptr);
      throw;
    }
    simt::record_into(nullptr);
    return std::make_unique<SimtWork>(std::move(launches));
  }
};

const ops::OpTable& cpu_ops() {
  static const ops::OpTable table = widened_cpu_table();
  return table;
}

/// Few rows by our own kernel; cuBLASLt's place is taken by the CPU backend, which records nothing by itself.
void linear(const ExecContext& ctx, const Tensor& x, const Tensor& weight, const Tensor* bias, Tensor& out) {
  if (ops::simt_backend::small_product(ctx, x, weight, bias, out)) return;
  const auto call = [&ctx, x, weight, has_bias = bias != nullptr, bias = bias != nullptr ? *bias : Tensor(), out]() mutable {
    cpu_ops().linear(ctx, x, weight, has_bias ? &bias : nullptr, out);
  };
  if (!simt::keep(call)) cpu_ops().linear(ctx, x, weight, bias, out);
}

void linear_swiglu(const ExecContext& ctx, const Tensor& x, const Tensor& weight, Tensor& out) {
  if (ops::simt_backend::small_product_swiglu(ctx, x, weight, out)) return;
  Tensor gate_up = ctx.empty({x.dim(0), weight.dim(0)}, x.dtype());
  linear(ctx, x, weight, nullptr, gate_up);
  ops::simt_backend::swiglu(ctx, gate_up, out);
}

/// Our own kernels around the CPU's product.
void linear_fp8(const ExecContext& ctx, const Tensor& x, const Tensor& weight, const Tensor& scales, const Tensor* bias, Tensor& out) {
  const Tensor rounded = ctx.empty(x.shape(), DType::kF8E4M3), x_scales = ctx.empty({x.dim(0)});
  Tensor factor = ctx.empty(x.shape()), wide_weight = ctx.empty(weight.shape()), sums = ctx.empty(out.shape());
  ops::simt_backend::round_rows_to_f8(ctx, x, rounded, x_scales);
  if (ops::simt_backend::small_product_fp8(ctx, rounded, x_scales, weight, scales, bias, out)) return;
  auto multiply = [&ctx, rounded, factor, weight, wide_weight, sums]() mutable {
    cpu_ops().cast(ctx, rounded, factor);
    cpu_ops().cast(ctx, weight, wide_weight);
    cpu_ops().linear(ctx, factor, wide_weight, nullptr, sums);
  };
  if (!simt::keep(multiply)) multiply();
  ops::simt_backend::scale_sums(ctx, sums, x_scales, scales, bias, out);
}

/// Ordinary memory; the end of an op ends what its kernels may touch.
class SimtSource : public MemorySource {
 public:
  SimtSource() : pages_(make_page_source(kCpuDevice)) {}
  Device device() const override { return kCpuDevice; }
  void* allocate(std::size_t bytes) override {
    void* memory = pages_->allocate(bytes);
    std::memset(memory, 0xFF, bytes);  // NaN in every floating-point type: what was never written shows
    return memory;
  }
  void release(void* memory, std::size_t bytes) noexcept override { pages_->release(memory, bytes); }
  void begin_op() override { ++depth_; }
  void end_op() noexcept override {
    if (--depth_ == 0) simt::forget_global();
  }
  WorkRecorder* recorder() override { return &recorder_; }
  std::unique_ptr<MemorySource> sibling() const override { return std::make_unique<SimtSource>(); }

 private:
  std::unique_ptr<MemorySource> pages_;
  SimtRecorder recorder_;
  int depth_ = 0;
};

}  // namespace

const ops::OpTable& simt_table() {
  static const ops::OpTable table = [] {
    ops::OpTable own = cpu_ops();
    own.linear = &linear;
    own.linear_fp8 = &linear_fp8;
    own.linear_swiglu = &linear_swiglu;
    own.rms_norm = &ops::simt_backend::rms_norm;
    own.add_rms_norm = &ops::simt_backend::add_rms_norm;
    own.rms_norm_backward = &ops::simt_backend::rms_norm_backward;
    own.rope = &ops::simt_backend::rope;
    own.attention = &ops::simt_backend::attention;
    own.attention_backward = &ops::simt_backend::attention_backward;
    own.write_kv_cache = &ops::simt_backend::write_kv_cache;
    own.paged_attention = &ops::simt_backend::paged_attention;
    own.swiglu = &ops::simt_backend::swiglu;
    own.swiglu_backward = &ops::simt_backend::swiglu_backward;
    own.embedding = &ops::simt_backend::embedding;
    own.embedding_backward = &ops::simt_backend::embedding_backward;
    own.linear_cross_entropy = &ops::simt_backend::linear_cross_entropy;
    own.selected_log_probs = &ops::simt_backend::selected_log_probs;
    own.selected_log_probs_backward = &ops::simt_backend::selected_log_probs_backward;
    own.log_probs_of_logits = &ops::simt_backend::log_probs_of_logits;
    own.fill = &ops::simt_backend::fill;
    own.add = &ops::simt_backend::add;
    own.scale = &ops::simt_backend::scale;
    own.copy = &ops::simt_backend::copy;
    own.cast = &ops::simt_backend::cast;
    own.sum_squares_blocks = &ops::simt_backend::sum_squares_blocks;
    own.sum_blocks = &ops::simt_backend::sum_blocks;
    own.adamw = &ops::simt_backend::adamw;
    own.sample = &ops::simt_backend::sample;
    own.sampling_probabilities = &ops::simt_backend::sampling_probabilities;
    return own;
  }();
  return table;
}

std::unique_ptr<ExecContext> make_simt_context() {
  ops::set_cuda_table(&simt_table());
  return std::make_unique<ExecContext>(Backend::kCuda, std::make_unique<SimtSource>(), 1);
}

std::vector<float> rounded(const std::vector<float>& values, DType dtype) {
  std::vector<float> result = values;
  if (dtype == DType::kBF16) {
    for (float& value : result) value = bf16_to_f32(f32_to_bf16(value));
  }
  return result;
}

Tensor stored_tensor(const ExecContext& ctx, Shape shape, const std::vector<float>& values, DType dtype) {
  if (dtype == DType::kF32) return ops::to_device(ctx, Tensor::host_from(std::span<const float>(values), shape, dtype));
  std::vector<std::uint16_t> bits;
  for (const float value : values) bits.push_back(f32_to_bf16(value));
  return ops::to_device(ctx, Tensor::host_from(std::span<const std::uint16_t>(bits), shape, DType::kBF16));
}

std::vector<float> floats_of(const ExecContext& ctx, const Tensor& tensor) {
  const Tensor host = ops::to_host(ctx, tensor);
  std::vector<float> values;
  if (tensor.dtype() == DType::kF32) {
    for (const float value : host.host_span<float>()) values.push_back(value);
  } else if (tensor.dtype() == DType::kBF16) {
    for (const std::uint16_t bits : host.host_span<std::uint16_t>()) values.push_back(bf16_to_f32(bits));
  } else if (tensor.dtype() == DType::kI32) {
    for (const std::int32_t value : host.host_span<std::int32_t>()) values.push_back(static_cast<float>(value));
  } else {
    throw std::runtime_error("floats_of: a dtype that no kernel result has");
  }
  return values;
}

Results on_all_schedules(const std::function<Results(const ExecContext&)>& run) {
  Results first;
  for (const std::uint64_t seed : {0, 1, 7}) {
    simt::set_schedule({seed});
    const auto ctx = make_simt_context();
    Results results = run(*ctx);
    if (seed == 0) {
      first = std::move(results);
      continue;
    }
    for (std::size_t i = 0; i < first.size(); ++i) {
      if (std::memcmp(first[i].data(), results[i].data(), first[i].size() * sizeof(float)) == 0) continue;
      throw std::runtime_error(fmt::format("result {} depends on the order of the threads (schedule {})", i, seed));
    }
  }
  simt::set_schedule({0});
  return first;
}

}  // namespace r1::test
