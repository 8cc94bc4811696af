// The CPU backend's ops on bf16 tensors, as a GPU takes them: widened to f32 before the op, rounded after it.
#pragma once

#include <optional>
#include <tuple>

#include "ops/dispatch.h"
#include "tensor/raw_access.h"

namespace r1::test {

inline const ops::OpTable& cpu_table() {
  static const auto context = make_cpu_context(1);
  return ops::op_table(*context);
}

/// Between a tensor in host memory, rows with or without a stride, and its f32 copy.
inline Tensor widened_copy(const Tensor& x) {
  Tensor wide = Tensor::host(x.shape(), DType::kF32);
  const std::int64_t rows = x.dim(0), length = rows == 0 ? 0 : x.num_elements() / rows;
  const std::uint16_t* from = raw<std::uint16_t>(x);
  float* to = raw<float>(wide);
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t i = 0; i < length; ++i) to[row * length + i] = bf16_to_f32(from[row * x.row_stride() + i]);
  }
  return wide;
}
inline void store_rounded(const Tensor& wide, const Tensor& x) {
  const std::int64_t rows = x.dim(0), length = rows == 0 ? 0 : x.num_elements() / rows;
  const float* from = raw<float>(wide);
  std::uint16_t* to = raw<std::uint16_t>(x);
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t i = 0; i < length; ++i) to[row * x.row_stride() + i] = f32_to_bf16(from[row * length + i]);
  }
}

/// A tensor argument for the length of a call; what the op has written is rounded back at its end.
class WidenedTensor {
 public:
  WidenedTensor(const Tensor* original, bool is_written)
      : original_(original), is_widened_(original != nullptr && original->dtype() == DType::kBF16), is_written_(is_written) {
    if (is_widened_) wide_ = widened_copy(*original);
  }
  ~WidenedTensor() {
    if (is_widened_ && is_written_) store_rounded(wide_, *original_);
  }
  WidenedTensor(const WidenedTensor&) = delete;
  WidenedTensor& operator=(const WidenedTensor&) = delete;
  Tensor* get() { return is_widened_ ? &wide_ : const_cast<Tensor*>(original_); }

 private:
  const Tensor* original_;
  bool is_widened_, is_written_;
  Tensor wide_;
};

template <typename T>
struct OpArgument {
  explicit OpArgument(T given) : value(given) {}
  T get() { return value; }
  T value;
};
template <>
struct OpArgument<const Tensor&> {
  explicit OpArgument(const Tensor& given) : tensor(&given, false) {}
  const Tensor& get() { return *tensor.get(); }
  WidenedTensor tensor;
};
template <>
struct OpArgument<Tensor&> {
  explicit OpArgument(Tensor& given) : tensor(&given, true) {}
  Tensor& get() { return *tensor.get(); }
  WidenedTensor tensor;
};
template <>
struct OpArgument<const Tensor*> {
  explicit OpArgument(const Tensor* given) : tensor(given, false) {}
  const Tensor* get() { return tensor.get(); }
  WidenedTensor tensor;
};
template <>
struct OpArgument<Tensor*> {
  explicit OpArgument(Tensor* given) : tensor(given, true) {}
  Tensor* get() { return tensor.get(); }
  WidenedTensor tensor;
};
template <>
struct OpArgument<const std::optional<ops::CrossEntropyGradients>&> {
  explicit OpArgument(const std::optional<ops::CrossEntropyGradients>& given)
      : hidden(given ? given->hidden : nullptr, true), weight(given ? given->weight : nullptr, true), value(given) {
    if (value) value->hidden = hidden.get(), value->weight = weight.get();
  }
  const std::optional<ops::CrossEntropyGradients>& get() { return value; }
  WidenedTensor hidden, weight;
  std::optional<ops::CrossEntropyGradients> value;
};

/// The op behind a member of the table.
template <auto Member>
struct WidenedOp;
template <typename... Args, void (*ops::OpTable::*Member)(Args...)>
struct WidenedOp<Member> {
  static void call(Args... given) {
    std::tuple<OpArgument<Args>...> held(static_cast<Args>(given)...);
    std::apply([](auto&... argument) { (cpu_table().*Member)(argument.get()...); }, held);
  }
};

/// The CPU backend's table with every op that has activations among its arguments widened; the others know bf16 themselves.
inline ops::OpTable widened_cpu_table() {
  using ops::OpTable;
  OpTable table = cpu_table();
  table.linear = WidenedOp<&OpTable::linear>::call;
  table.linear_fp8 = WidenedOp<&OpTable::linear_fp8>::call;
  table.linear_backward_input = WidenedOp<&OpTable::linear_backward_input>::call;
  table.linear_backward_weight = WidenedOp<&OpTable::linear_backward_weight>::call;
  table.rms_norm = WidenedOp<&OpTable::rms_norm>::call;
  table.add_rms_norm = WidenedOp<&OpTable::add_rms_norm>::call;
  table.rms_norm_backward = WidenedOp<&OpTable::rms_norm_backward>::call;
  table.rope = WidenedOp<&OpTable::rope>::call;
  table.attention = WidenedOp<&OpTable::attention>::call;
  table.attention_backward = WidenedOp<&OpTable::attention_backward>::call;
  table.write_kv_cache = WidenedOp<&OpTable::write_kv_cache>::call;
  table.paged_attention = WidenedOp<&OpTable::paged_attention>::call;
  table.swiglu = WidenedOp<&OpTable::swiglu>::call;
  table.swiglu_backward = WidenedOp<&OpTable::swiglu_backward>::call;
  table.embedding = WidenedOp<&OpTable::embedding>::call;
  table.embedding_backward = WidenedOp<&OpTable::embedding_backward>::call;
  table.linear_cross_entropy = WidenedOp<&OpTable::linear_cross_entropy>::call;
  table.selected_log_probs = WidenedOp<&OpTable::selected_log_probs>::call;
  table.selected_log_probs_backward = WidenedOp<&OpTable::selected_log_probs_backward>::call;
  table.add = WidenedOp<&OpTable::add>::call;
  return table;
}

}  // namespace r1::test
