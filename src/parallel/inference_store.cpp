#include "parallel/inference_store.h"

#include <algorithm>
#include <cmath>

#include "ops/copy.h"
#include "parallel/host_bf16.h"

namespace r1::parallel {
namespace {

std::int64_t rows_of(const nn::Parameter& parameter) { return parameter.shape[0]; }

struct Quantised {
  Tensor values, scales;
};

/// One scale per row, so that the row's largest weight becomes `largest_code`; round(weight / scale) gives the code.
template <typename Code, typename Round>
Quantised quantise_rows(const nn::Parameter& parameter, const Tensor& host_f32, float largest_code, Round round) {
  const std::int64_t rows = host_f32.dim(0), columns = host_f32.dim(1);
  Quantised result{Tensor::host(host_f32.shape(), parameter.value.dtype()), Tensor::host({rows}, DType::kF32)};
  for (std::int64_t r = 0; r < rows; ++r) {
    const auto from = host_f32.host_span<float>().subspan(static_cast<std::size_t>(r * columns), static_cast<std::size_t>(columns));
    const auto to = result.values.host_span<Code>().subspan(static_cast<std::size_t>(r * columns), static_cast<std::size_t>(columns));
    float largest = 0;
    for (const float value : from) {
      if (!std::isfinite(value)) {
        fail(ErrorKind::kData, "{}: row {} holds {}: 8 bits have no room for it; the training that made these weights diverged",
             parameter.name, r, value);
      }
      largest = std::max(largest, std::fabs(value));
    }
    const float scale = largest > 0 ? largest / largest_code : 1.0F;
    result.scales.host_span<float>()[static_cast<std::size_t>(r)] = scale;
    std::ranges::transform(from, to.begin(), [&](float value) { return round(value / scale); });
  }
  return result;
}

Quantised quantised(const nn::Parameter& parameter, const Tensor& host_f32) {
  if (parameter.value.dtype() == DType::kF8E4M3) return quantise_rows<std::uint8_t>(parameter, host_f32, kF8E4M3Max, f32_to_f8e4m3);
  // What is lost is at most half a scale per weight.
  return quantise_rows<std::int8_t>(parameter, host_f32, 127.0F, [](float value) { return static_cast<std::int8_t>(std::lround(value)); });
}

}  // namespace

DType inference_dtype(const nn::Parameter& parameter, WeightStorage storage, DType stored_dtype) {
  if (parameter.shape.rank() != 2) return DType::kF32;
  switch (storage) {
    case WeightStorage::kStored:
      return stored_dtype == DType::kBF16 ? DType::kBF16 : DType::kF32;
    case WeightStorage::kF32:
      return DType::kF32;
    case WeightStorage::kBF16:
      return DType::kBF16;
    case WeightStorage::kInt8:
      return parameter.tp_axis == nn::TpAxis::kVocabulary ? DType::kBF16 : DType::kI8;
    case WeightStorage::kFp8:
      return parameter.tp_axis == nn::TpAxis::kVocabulary ? DType::kBF16 : DType::kF8E4M3;
  }
  return DType::kF32;
}

bool has_row_scales(DType dtype) { return dtype == DType::kI8 || dtype == DType::kF8E4M3; }

std::int64_t inference_bytes(const nn::Parameter& parameter, WeightStorage storage, DType stored_dtype) {
  const DType dtype = inference_dtype(parameter, storage, stored_dtype);
  const std::int64_t scales = has_row_scales(dtype) ? rows_of(parameter) * static_cast<std::int64_t>(sizeof(float)) : 0;
  return parameter.num_elements() * static_cast<std::int64_t>(size_of(dtype)) + scales;
}

InferenceStore::InferenceStore(const ExecContext& ctx, nn::ParameterSet& parameters, WeightStorage storage, DType stored_dtype)
    : ctx_(ctx), parameters_(parameters), storage_(storage), stored_dtype_(stored_dtype) {
  if (ctx.backend() == Backend::kCuda) {  // which computes in bf16: vectors and activations too where the embedding is
    const bool is_f32 = storage == WeightStorage::kF32 || (storage == WeightStorage::kStored && stored_dtype != DType::kBF16);
    vector_dtype_ = is_f32 ? DType::kF32 : DType::kBF16;
  }
  for (int unit = 0; unit < static_cast<int>(parameters.units().size()); ++unit) {
    // Members of one dtype lie one after another: packed parameters stay one matrix.
    std::int64_t elements[4] = {}, num_scales = 0;
    constexpr DType kKinds[4] = {DType::kF32, DType::kBF16, DType::kI8, DType::kF8E4M3};
    const auto kind_of = [&](const nn::Parameter& parameter) {
      return static_cast<std::size_t>(std::ranges::find(kKinds, dtype_of(parameter)) - std::begin(kKinds));
    };
    parameters.for_each_of_unit(unit, [&](nn::Parameter& parameter) {
      elements[kind_of(parameter)] += parameter.num_elements();
      if (has_row_scales(dtype_of(parameter))) num_scales += rows_of(parameter);
    });
    Tensor flat[4];
    for (std::size_t kind = 0; kind < 4; ++kind) {
      if (elements[kind] > 0) flat[kind] = ctx.empty({elements[kind]}, kKinds[kind]);
      num_bytes_ += elements[kind] * static_cast<std::int64_t>(size_of(kKinds[kind]));
    }
    const Tensor scales = num_scales > 0 ? ctx.empty({num_scales}) : Tensor();
    num_bytes_ += num_scales * static_cast<std::int64_t>(sizeof(float));
    std::int64_t offsets[4] = {}, scale_offset = 0;
    parameters.for_each_of_unit(unit, [&](nn::Parameter& parameter) {
      const std::size_t kind = kind_of(parameter);
      parameter.value = flat[kind].slice(offsets[kind], parameter.shape);
      offsets[kind] += parameter.num_elements();
      if (!has_row_scales(kKinds[kind])) return;
      parameter.scales = scales.slice(scale_offset, {rows_of(parameter)});
      scale_offset += rows_of(parameter);
    });
  }
}

void InferenceStore::set_value(const nn::Parameter& parameter, const Tensor& host_f32) {
  Tensor value = parameter.value;
  if (value.dtype() == DType::kF32) return ops::from_host(ctx_, host_f32, value);
  if (value.dtype() == DType::kBF16) return ops::from_host(ctx_, host_bf16(host_f32), value);
  const Quantised in_8_bits = quantised(parameter, host_f32);
  ops::from_host(ctx_, in_8_bits.values, value);
  Tensor scales = parameter.scales;
  ops::from_host(ctx_, in_8_bits.scales, scales);
}

void InferenceStore::begin_gradients(int) { fail(ErrorKind::kInternal, "a backward pass through weights that are for generation alone"); }

void InferenceStore::gradients_ready(int) { fail(ErrorKind::kInternal, "a backward pass through weights that are for generation alone"); }

}  // namespace r1::parallel
