// Metric rows as JSON objects; for the .cpp files of this folder (it includes nlohmann-json).
#pragma once

#include "base/json.h"
#include "report/metrics.h"

namespace r1::report {

/// NaN and infinities become null: they are not JSON.
Json json_of(const MetricValue& value);
/// Adds each value to object, in order; a key that is there is replaced.
void add_values(Json& object, const MetricRow& values);

}  // namespace r1::report
