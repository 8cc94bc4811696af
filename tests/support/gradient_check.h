// Compares an op's backward function with central differences of its forward function, both in double on `reference`.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tensor/exec_context.h"

namespace r1::test {

/// A differentiable argument: name, shape, values (any size; at most max_elements of it are probed).
struct GradientInput {
  std::string name;
  Shape shape;
  std::vector<double> values;
};

struct GradientCheck {
  /// inputs → outputs, all f64 tensors on the reference context.
  std::function<std::vector<Tensor>(const ExecContext&, const std::vector<Tensor>& inputs)> forward;
  /// (inputs, d loss / d outputs) → d loss / d inputs, in the order of the inputs.
  std::function<std::vector<Tensor>(const ExecContext&, const std::vector<Tensor>& inputs, const std::vector<Tensor>& grad_outputs)>
      backward;
  std::vector<GradientInput> inputs;
  int max_elements = 200;  // probed per input, evenly spread
  // Step 1e-5: the truncation error is about 1e-10 f''' and rounding about 1e-11 of the loss, far under 1e-7.
  double step = 1e-5;
  double tolerance = 1e-7;  // on |difference| / (1 + |gradient|)
};

/// Loss = sum over outputs of fixed random weights · output. Fails the running test with the input's name, the element,
/// both gradients; a check in which every gradient is zero fails too.
void expect_gradients_match(const GradientCheck& check);

}  // namespace r1::test
