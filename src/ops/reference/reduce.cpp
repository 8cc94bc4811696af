#include "ops/reduce.h"

#include <algorithm>

#include "ops/reference/float_types.h"
#include "ops/reference/kernels.h"

namespace r1::ops::reference {
namespace {

template <typename Term>
void sum_each_block(const Tensor& x, Tensor& sums, Term&& term) {
  with_float_type(x, [&]<typename T>(T) {
    for (std::int64_t block = 0; block < sums.dim(0); ++block) {
      double sum = 0;
      const std::int64_t end = std::min(x.num_elements(), (block + 1) * kReduceBlock);
      for (std::int64_t i = block * kReduceBlock; i < end; ++i) sum += term(static_cast<double>(raw<T>(x)[i]));
      raw<double>(sums)[block] = sum;
    }
  });
}

}  // namespace

void sum_squares_blocks(const ExecContext&, const Tensor& x, Tensor& sums) {
  sum_each_block(x, sums, [](double value) { return value * value; });
}

void sum_blocks(const ExecContext&, const Tensor& x, Tensor& sums) {
  sum_each_block(x, sums, [](double value) { return value; });
}

}  // namespace r1::ops::reference
