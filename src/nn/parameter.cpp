#include "nn/parameter.h"

#include "base/strings.h"

namespace r1::nn {

Shape Parameter::full_shape() const { return shape.rank() == 1 ? Shape{full_rows} : Shape{full_rows, shape[1]}; }

int ParameterSet::begin_unit(std::string name) {
  units_.push_back({std::move(name), size(), 0, 0});
  return static_cast<int>(units_.size()) - 1;
}

Parameter& ParameterSet::declare(std::string name, Shape shape, Init init, TpAxis tp_axis) {
  R1_ASSERT(!units_.empty(), "declare() before begin_unit()");
  R1_ASSERT(find(name) == nullptr, "parameter declared twice: " + name);
  Unit& unit = units_.back();
  Parameter parameter;
  parameter.weight_decay = has_weight_decay(name);
  parameter.name = std::move(name);
  parameter.shape = shape;
  parameter.full_rows = shape[0];
  parameter.unit = static_cast<int>(units_.size()) - 1;
  parameter.offset = unit.num_elements;
  parameter.init = init;
  parameter.tp_axis = tp_axis;
  unit.num_elements += shape.num_elements();
  ++unit.num_parameters;
  parameters_.push_back(std::move(parameter));
  return parameters_.back();
}

Parameter& ParameterSet::declare_rows(std::string name, Shape shape, std::int64_t first_row, std::int64_t full_rows, Init init,
                                      TpAxis tp_axis) {
  Parameter& parameter = declare(std::move(name), shape, init, tp_axis);
  R1_ASSERT(first_row >= 0 && first_row + shape[0] <= full_rows, parameter.name + ": rows outside of the parameter");
  parameter.first_row = first_row;
  parameter.full_rows = full_rows;
  return parameter;
}

Parameter* ParameterSet::find(std::string_view name) {
  for (Parameter& parameter : parameters_) {
    if (parameter.name == name) return &parameter;
  }
  return nullptr;
}

std::int64_t ParameterSet::num_elements() const {
  std::int64_t count = 0;
  for (const Unit& unit : units_) count += unit.num_elements;
  return count;
}

void ParameterSet::for_each(const std::function<void(Parameter&)>& visit) {
  for (Parameter& parameter : parameters_) visit(parameter);
}

void ParameterSet::for_each_of_unit(int unit, const std::function<void(Parameter&)>& visit) {
  const Unit& members = units_[static_cast<std::size_t>(unit)];
  for (int i = 0; i < members.num_parameters; ++i) visit(at(members.first_parameter + i));
}

void ParameterSet::bind_values(int unit, const Tensor& flat) {
  for_each_of_unit(
      unit, [&](Parameter& parameter) { parameter.value = flat.defined() ? flat.slice(parameter.offset, parameter.shape) : Tensor(); });
}

void ParameterSet::bind_gradients(int unit, const Tensor& flat) {
  for_each_of_unit(unit, [&](Parameter& parameter) {
    parameter.grad = flat.defined() ? flat.slice(parameter.offset, parameter.shape) : Tensor();
    parameter.grad_written = false;
  });
}

PackedParameter::PackedParameter(std::vector<Parameter*> members) : members_(std::move(members)) {
  for (std::size_t i = 1; i < members_.size(); ++i) {
    const Parameter &before = *members_[i - 1], &here = *members_[i];
    R1_ASSERT(before.unit == here.unit && before.offset + before.num_elements() == here.offset,
              "packed parameters must be declared one after another");
    R1_ASSERT(before.shape.rank() == here.shape.rank() && (here.shape.rank() == 1 || before.shape[1] == here.shape[1]),
              "packed parameters must have the same inner extent");
  }
}

Shape PackedParameter::shape() const {
  std::int64_t rows = 0;
  for (const Parameter* member : members_) rows += member->shape[0];
  return first().shape.rank() == 1 ? Shape{rows} : Shape{rows, first().shape[1]};
}

Tensor PackedParameter::packed(const Tensor& first_view, const Shape& whole) const {
  if (members_.size() == 1) return first_view;
  return first_view.extended(whole);
}

Tensor PackedParameter::value() const {
  R1_ASSERT(first().value.defined(), first().name + ": value used while its unit is not acquired");
  return packed(first().value, shape());
}

Tensor PackedParameter::scales() const {
  if (!first().scales.defined()) return {};
  return packed(first().scales, {shape()[0]});
}

Tensor PackedParameter::grad() const {
  R1_ASSERT(first().grad.defined(), first().name + ": gradient used outside its unit's backward pass");
  return packed(first().grad, shape());
}

ops::Accumulate PackedParameter::begin_gradient() const {
  const bool written = first().grad_written;
  for (Parameter* member : members_) member->grad_written = true;
  return written ? ops::Accumulate::kYes : ops::Accumulate::kNo;
}

bool has_weight_decay(std::string_view parameter_name) {
  const std::string lower = to_lower_ascii(parameter_name);
  if (lower.find("bias") != std::string::npos || lower.find("layernorm") != std::string::npos ||
      lower.find("rmsnorm") != std::string::npos) {
    return false;
  }
  for (const std::string& module : split(lower, '.')) {
    if (module == "norm" || module.ends_with("_norm")) return false;
  }
  return true;
}

}  // namespace r1::nn
