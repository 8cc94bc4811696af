// The fixtures' forward and backward passes (made with PyTorch, see fixtures/README.md) on the device.
#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <map>

#include "io/element_convert.h"
#include "io/safetensors.h"
#include "io/safetensors_writer.h"
#include "tools/gpu/programs.h"

namespace r1::gpu {
namespace {

std::vector<float> floats(const io::Safetensors& file, const std::string& name) {
  const io::StoredTensor& stored = file.at(name);
  std::vector<float> values(static_cast<std::size_t>(stored.num_elements()));
  io::convert_to_f32(stored.dtype, stored.bytes, values);
  return values;
}

void write_inputs(const io::Safetensors& reference, const std::string& path) {
  std::vector<io::TensorDescription> descriptions;
  std::map<std::string, std::span<const std::byte>> bytes;
  for (const char* name : {"input_ids", "attention_mask", "labels"}) {
    const io::StoredTensor& stored = reference.at(std::string("batch.") + name);
    descriptions.push_back({name, stored.dtype, stored.shape});
    bytes[name] = stored.bytes;
  }
  io::write_safetensors(path, descriptions, [&](const io::TensorDescription& d) { return bytes.at(d.name); });
}

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return HUGE_VAL;
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double one = std::abs(double{a[i]} - double{b[i]});
    largest = std::isnan(one) ? HUGE_VAL : std::max(largest, one);
  }
  return largest;
}

/// "" when all is within the fixtures' tolerances for float32.
std::string compare(const std::string& output, const io::Safetensors& reference, const io::Safetensors& gradients) {
  const io::Safetensors found = io::Safetensors::open_file(output);
  const std::tuple<const char*, const char*, double> results[] = {{"logits", "batch.logits", 2e-4},
                                                                  {"logprobs", "batch.logp_t1", 2e-4},
                                                                  {"entropy", "batch.entropy_t1", 2e-4},
                                                                  {"loss", "batch.loss", 2e-5}};
  for (const auto& [name, expected, tolerance] : results) {
    const double difference = largest_difference(floats(found, name), floats(reference, expected));
    if (!(difference <= tolerance)) return fmt::format("{} differ by {:.2e}, tolerance {:.0e}", name, difference, tolerance);
  }
  for (const io::StoredTensor& stored : gradients.tensors()) {
    if (!stored.name.starts_with("batch.grad.")) continue;
    const auto expected = floats(gradients, stored.name), values = floats(found, stored.name.substr(6));
    if (values.size() != expected.size()) return fmt::format("{}: {} values, not {}", stored.name, values.size(), expected.size());
    double difference = 0, norm = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      difference += std::pow(double{values[i]} - double{expected[i]}, 2);
      norm += std::pow(double{expected[i]}, 2);
    }
    if (!(std::sqrt(difference) <= 3e-5 * std::sqrt(norm) + 1e-7))
      return fmt::format("{}: relative difference {:.2e}, tolerance 3e-5", stored.name, std::sqrt(difference / norm));
  }
  return {};
}

}  // namespace

void check_fixtures(const Places& places, Report& report) {
  if (!std::filesystem::exists(places.fixtures + "/forward")) {
    return report.line("fixtures", Outcome::kNotRun,
                       std::filesystem::exists(places.root + "/glibc") ? "no fixtures in the package"
                                                                       : fmt::format("no {}/forward (--fixtures FOLDER)", places.fixtures));
  }
  for (const char* model : {"qwen2", "qwen2_untied", "llama3", "qwen3", "qwen2_bf16"}) {
    if (!std::filesystem::exists(places.fixtures + "/forward/" + model + ".safetensors")) {
      report.line(model, Outcome::kNotRun, "not among the fixtures of the package");
      continue;
    }
    try {
      const std::string base = places.fixtures + "/forward/" + model, in = places.work + "/in.safetensors",
                        out = places.work + "/out.safetensors";
      const io::Safetensors reference = io::Safetensors::open_file(base + ".safetensors"),
                            gradients = io::Safetensors::open_file(base + ".grads.safetensors");
      write_inputs(reference, in);
      const Child done = run_program(places, {"r1_inspect",
                                              {"forward", "--model", places.fixtures + "/checkpoints/" + model, "--input", in, "--output",
                                               out, "--grads", "--device", "cuda"}});
      if (!done.succeeded()) {
        report_failed_child(report, model, done);
        continue;
      }
      const std::string problem = compare(out, reference, gradients);
      report.line(model, problem.empty() ? Outcome::kPassed : Outcome::kFailed, problem);
    } catch (const std::exception& error) {  // a file of one model that cannot be read is no reason to leave out the others
      report.line(model, Outcome::kFailed, error.what());
    }
  }
}

}  // namespace r1::gpu
