// The cpu backend's functions, in the namespace of the instruction set that is being compiled.
#pragma once

#include "ops/dispatch.h"

namespace r1::ops::R1_CPU_NAMESPACE {
#include "ops/kernels.inc"
}  // namespace r1::ops::R1_CPU_NAMESPACE
