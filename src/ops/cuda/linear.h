// Modes of the matrix products.
#pragma once

#include "tensor/cuda_abi.h"

namespace r1::ops::cuda {

/// On: a row of linear() and linear_backward_input() has the same bits in a batch of any size. One algorithm, the best for 256 rows, and no
/// split of sums; slower for batches that are much smaller or larger. Calls of cuBLASLt that have no such algorithm throw Error(kInternal).
/// For all devices and threads, from the next call on.
void set_batch_invariant(bool on);

/// Who multiplies up to four rows with a weight. For checks and measurements; for all devices and threads, from the next call on.
void choose_small_products(R1CudaSmallProducts choice);

}  // namespace r1::ops::cuda
