#include "ops/embedding.h"

#include <vector>

#include "ops/reference/float_types.h"
#include "ops/reference/kernels.h"

namespace r1::ops::reference {

void embedding(const ExecContext&, const Tensor& ids, const Tensor& weight, Tensor& out) {
  with_float_type(out, [&]<typename T>(T) {
    for (std::int64_t t = 0; t < ids.dim(0); ++t) {
      const std::int64_t id = raw<std::int32_t>(ids)[t];
      for (std::int64_t i = 0; i < out.dim(1); ++i) {
        row<T>(out, t)[i] = weight.dtype() == DType::kBF16 ? T{bf16_to_f32(row<std::uint16_t>(weight, id)[i])} : row<T>(weight, id)[i];
      }
    }
  });
}

void embedding_backward(const ExecContext&, const Tensor& ids, const Tensor& grad_out, Tensor& grad_weight, Accumulate accumulate) {
  with_float_type(grad_out, [&]<typename T>(T) {
    T* total = raw<T>(grad_weight);
    std::vector<double> sums(static_cast<std::size_t>(grad_weight.num_elements()), 0.0);
    for (std::size_t i = 0; i < sums.size() && accumulate == Accumulate::kYes; ++i) sums[i] = static_cast<double>(total[i]);
    for (std::int64_t t = 0; t < ids.dim(0); ++t) {
      double* sum = sums.data() + raw<std::int32_t>(ids)[t] * grad_weight.dim(1);
      for (std::int64_t i = 0; i < grad_out.dim(1); ++i) sum[i] += static_cast<double>(row<T>(grad_out, t)[i]);
    }
    for (std::size_t i = 0; i < sums.size(); ++i) total[i] = static_cast<T>(sums[i]);
  });
}

}  // namespace r1::ops::reference
