// Speed of the ops of one training step, op by op: time, GFLOP/s, GB/s, percent of the FMA peak measured beside each op, and
// the op's share of the step.
//
//   bench_ops [--shape 25m|demo] [--tokens N] [--isa avx512,avx2,portable] [--threads 1,2] [--ops TEXT] [--seconds S]
//
// With one thread the clock is the thread's CPU time, so that other programs on the machine disturb less; with more it is the
// wall clock. Each figure is the best of many calls. GB/s counts each operand once.
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/profile.h"
#include "ops/copy.h"
#include "ops/dispatch.h"
#include "ops/peak.h"

namespace {

using namespace r1;

struct ModelShape {
  std::int64_t tokens, hidden_size, intermediate_size, num_layers, num_heads, num_key_value_heads, head_dim, vocab_size, parameters;
};

const std::map<std::string, ModelShape> kShapes = {
    {"25m", {1024, 512, 1408, 6, 8, 2, 64, 16384, 25'300'000}},
    {"demo", {1000, 128, 384, 3, 4, 2, 32, 264, 625'280}},
};

struct Options {
  std::string shape = "25m", isa, ops;
  std::vector<int> threads = {1};
  std::int64_t tokens = 0;
  double seconds = 0.2;
};

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// What one line of the table measures; work of one call.
struct Case {
  std::string name;
  double calls_per_step, flops, bytes;
  std::function<void()> run;
};

/// Tensors of one training step and the calls of its ops.
class Step {
 public:
  Step(const ExecContext& ctx, const ModelShape& m) : ctx_(ctx), m_(m) {
    heads_ = {static_cast<int>(m.num_heads), static_cast<int>(m.num_key_value_heads), static_cast<int>(m.head_dim), 0.125F};
    add_linears();
    add_rowwise();
    add_attention();
    add_head();
    add_optimizer();
  }
  const std::vector<Case>& cases() const { return cases_; }

 private:
  Tensor filled(Shape shape) {
    Tensor host = Tensor::host(shape, DType::kF32);
    auto values = host.host_span<float>();
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i * 7919 % 1000) * 1e-3F - 0.5F;
    return ops::to_device(ctx_, host);
  }
  Tensor integers(std::int64_t count, std::int64_t modulus) {
    Tensor host = Tensor::host({count}, DType::kI32);
    auto values = host.host_span<std::int32_t>();
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::int32_t>(static_cast<std::int64_t>(i) * 7919 % modulus);
    return ops::to_device(ctx_, host);
  }
  static double bytes_of(std::initializer_list<Tensor> tensors) {
    double bytes = 0;
    for (const Tensor& tensor : tensors) bytes += static_cast<double>(tensor.num_bytes());
    return bytes;
  }

  void add_linears() {
    const std::int64_t qkv = (m_.num_heads + 2 * m_.num_key_value_heads) * m_.head_dim;
    add_linear("qkv_proj", qkv, m_.hidden_size);
    add_linear("o_proj", m_.hidden_size, m_.num_heads * m_.head_dim);
    add_linear("gate_up_proj", 2 * m_.intermediate_size, m_.hidden_size);
    add_linear("down_proj", m_.hidden_size, m_.intermediate_size);
  }

  void add_linear(const std::string& name, std::int64_t N, std::int64_t K) {
    Tensor x = filled({m_.tokens, K}), weight = filled({N, K}), out = filled({m_.tokens, N}), grad_x = filled({m_.tokens, K});
    Tensor grad_weight = filled({N, K});
    const double flops = 2.0 * static_cast<double>(m_.tokens * N * K), bytes = bytes_of({x, weight, out});
    const auto calls = static_cast<double>(m_.num_layers);
    cases_.push_back({"linear " + name, calls, flops, bytes, [=, this]() mutable { ops::linear(ctx_, x, weight, nullptr, out); }});
    cases_.push_back({"linear_backward_input " + name, calls, flops, bytes,
                      [=, this]() mutable { ops::linear_backward_input(ctx_, out, weight, grad_x, ops::Accumulate::kNo); }});
    cases_.push_back({"linear_backward_weight " + name, calls, flops, bytes,
                      [=, this]() mutable { ops::linear_backward_weight(ctx_, out, x, grad_weight, nullptr, ops::Accumulate::kNo); }});
  }

  void add_rowwise() {
    const std::int64_t T = m_.tokens, H = m_.hidden_size, I = m_.intermediate_size;
    Tensor x = filled({T, H}), residual = filled({T, H}), sum = filled({T, H}), out = filled({T, H}), weight = filled({H}),
           rstd = filled({T});
    Tensor grad_weight = filled({H}), gate_up = filled({T, 2 * I}), gated = filled({T, I}), grad_gate_up = filled({T, 2 * I});
    const auto layers = static_cast<double>(m_.num_layers);
    cases_.push_back({"add_rms_norm", 2 * layers, 0, bytes_of({x, residual, sum, out}),
                      [=, this]() mutable { ops::add_rms_norm(ctx_, x, residual, weight, 1e-6F, sum, out, &rstd); }});
    cases_.push_back({"rms_norm_backward", 2 * layers, 0, bytes_of({x, residual, out, out}), [=, this]() mutable {
                        ops::rms_norm_backward(ctx_, x, residual, weight, rstd, out, ops::Accumulate::kYes, grad_weight,
                                               ops::Accumulate::kNo);
                      }});
    cases_.push_back({"swiglu", layers, 0, bytes_of({gate_up, gated}), [=, this]() mutable { ops::swiglu(ctx_, gate_up, gated); }});
    cases_.push_back({"swiglu_backward", layers, 0, bytes_of({gate_up, gated, grad_gate_up}),
                      [=, this]() mutable { ops::swiglu_backward(ctx_, gated, gate_up, grad_gate_up); }});
    Tensor q = filled({T, m_.num_heads * m_.head_dim}), angles = filled({T, m_.head_dim / 2}), positions = integers(T, T);
    cases_.push_back({"rope (queries)", 4 * layers, 0, 2 * bytes_of({q}), [=, this]() mutable {
                        ops::rope(ctx_, q, positions, angles, angles, heads_.num_attention_heads, heads_.head_dim, ops::RopeStyle::kHalf,
                                  ops::RopeDirection::kForward);
                      }});
  }

  // Two packed sequences.
  void add_attention() {
    const std::int64_t T = m_.tokens, Q = m_.num_heads * m_.head_dim, KV = m_.num_key_value_heads * m_.head_dim;
    Tensor q = filled({T, Q}), k = filled({T, KV}), v = filled({T, KV}), out = filled({T, Q}), lse = filled({T, m_.num_heads});
    Tensor grad_q = filled({T, Q}), grad_k = filled({T, KV}), grad_v = filled({T, KV}), grad_out = filled({T, Q});
    const std::vector<std::int32_t> borders = {0, static_cast<std::int32_t>(T / 2), static_cast<std::int32_t>(T)};
    Tensor cu_seqlens = ops::to_device(ctx_, Tensor::host_from(std::span<const std::int32_t>(borders), Shape{3}, DType::kI32));
    // 2 products forward and 5 backward over the pairs below the diagonal.
    const double pairs = 2 * 0.5 * static_cast<double>(T / 2) * static_cast<double>(T / 2), flops = 2.0 * pairs * static_cast<double>(Q);
    const auto layers = static_cast<double>(m_.num_layers);
    cases_.push_back({"attention", layers, 2 * flops, bytes_of({q, k, v, out}),
                      [=, this]() mutable { ops::attention(ctx_, q, k, v, cu_seqlens, heads_, out, &lse); }});
    cases_.push_back({"attention_backward", layers, 5 * flops, 2 * bytes_of({q, k, v, out}), [=, this]() mutable {
                        ops::attention_backward(ctx_, grad_out, q, k, v, out, lse, cu_seqlens, heads_, grad_q, grad_k, grad_v);
                      }});
  }

  void add_head() {
    const std::int64_t T = m_.tokens, H = m_.hidden_size, V = m_.vocab_size;
    Tensor hidden = filled({T, H}), weight = filled({V, H}), grad_hidden = filled({T, H}), grad_weight = filled({V, H});
    Tensor ids = integers(T, V), loss = filled({T}), correct = filled({T});
    const double flops = 2.0 * static_cast<double>(T * H * V);
    cases_.push_back({"linear_cross_entropy", 1, 3 * flops, bytes_of({hidden, weight, grad_hidden, grad_weight}), [=, this]() mutable {
                        ops::linear_cross_entropy(ctx_, hidden, weight, ids, loss, correct,
                                                  ops::CrossEntropyGradients{1.0F, &grad_hidden, &grad_weight, ops::Accumulate::kNo});
                      }});
    cases_.push_back({"selected_log_probs", 0, flops, bytes_of({hidden, weight}),
                      [=, this]() mutable { ops::selected_log_probs(ctx_, hidden, weight, ids, 0.7F, loss, &correct, nullptr); }});
    cases_.push_back({"embedding", 1, 0, 2 * bytes_of({hidden}), [=, this]() mutable { ops::embedding(ctx_, ids, weight, hidden); }});
    cases_.push_back({"embedding_backward", 1, 0, 3 * bytes_of({hidden}),
                      [=, this]() mutable { ops::embedding_backward(ctx_, ids, hidden, grad_weight, ops::Accumulate::kYes); }});
  }

  void add_optimizer() {
    Tensor parameter = filled({m_.parameters}), gradient = filled({m_.parameters}), exp_avg = filled({m_.parameters});
    Tensor exp_avg_sq = filled({m_.parameters});
    Tensor sums = ctx_.empty({(m_.parameters + ops::kReduceBlock - 1) / ops::kReduceBlock}, DType::kF64);
    ops::fill(ctx_, exp_avg_sq, 0.01F);
    cases_.push_back({"adamw", 1, 0, 7 * bytes_of({parameter}), [=, this]() mutable {
                        ops::adamw(ctx_, parameter, gradient, exp_avg, exp_avg_sq, {.learning_rate = 1e-4, .step = 10});
                      }});
    cases_.push_back(
        {"sum_squares_blocks", 1, 0, bytes_of({parameter}), [=, this]() mutable { ops::sum_squares_blocks(ctx_, gradient, sums); }});
  }

  const ExecContext& ctx_;
  ModelShape m_;
  ops::AttentionHeads heads_;
  std::vector<Case> cases_;
};

struct Timing {
  double seconds = 1e30, peak = 0;  // best call; the machine's FMA peak in the same moments
};

Timing measure(const ExecContext& ctx, const Case& c, double seconds) {
  const bool alone = ctx.threads().num_threads() == 1;
  Timing timing;
  c.run();  // fills the allocator's cache
  const double start = now_seconds();
  for (int i = 0; i < 3 || now_seconds() - start < seconds; ++i) {
    const double begin = alone ? cpu_seconds() : now_seconds();
    c.run();
    timing.seconds = std::min(timing.seconds, (alone ? cpu_seconds() : now_seconds()) - begin);
    if (i % 8 == 0) timing.peak = std::max(timing.peak, ops::measure_peak_flops(ctx));
  }
  return timing;
}

void bench(const ExecContext& ctx, const ModelShape& shape, const Options& options) {
  fmt::print("\n{}, {} thread(s), {} tokens\n{:<36} {:>10} {:>9} {:>7} {:>7} {:>9}\n", ops::cpu_isa_name(ops::cpu_isa()),
             ctx.threads().num_threads(), shape.tokens, "op", "µs a call", "GFLOP/s", "% peak", "GB/s", "ms a step");
  const Step step(ctx, shape);
  double step_seconds = 0, step_flops = 0, peak = 0;
  for (const Case& c : step.cases()) {
    if (c.name.find(options.ops) == std::string::npos) continue;
    const Timing timing = measure(ctx, c, options.seconds);
    peak = std::max(peak, timing.peak);
    step_seconds += timing.seconds * c.calls_per_step;
    step_flops += c.flops * c.calls_per_step;
    const std::string rate =
        c.flops > 0 ? fmt::format("{:9.1f} {:7.1f}", c.flops / timing.seconds * 1e-9, 100 * c.flops / timing.seconds / timing.peak)
                    : fmt::format("{:>9} {:>7}", "-", "-");
    fmt::print("{:<36} {:10.1f} {} {:7.1f} {:9.3f}\n", c.name, timing.seconds * 1e6, rate, c.bytes / timing.seconds * 1e-9,
               timing.seconds * c.calls_per_step * 1e3);
  }
  fmt::print("{:<36} {:>10} {:9.1f} {:7.1f} {:>7} {:9.3f}   FMA peak {:.1f} GFLOP/s\n", "all of a step", "",
             step_flops / step_seconds * 1e-9, 100 * step_flops / step_seconds / peak, "", step_seconds * 1e3, peak * 1e-9);
}

template <typename T>
T number(std::string_view option, std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value <= T{0}) {
    fail(ErrorKind::kUsage, "{}: expected a positive number, found '{}'", option, text);
  }
  return value;
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string option = argv[i];
    if (i + 1 == argc) fail(ErrorKind::kUsage, "{}: a value is missing; see the top of tools/bench_ops.cpp for the options", option);
    const std::string value = argv[i + 1];
    if (option == "--shape") {
      options.shape = value;
    } else if (option == "--isa") {
      options.isa = value;
    } else if (option == "--ops") {
      options.ops = value;
    } else if (option == "--tokens") {
      options.tokens = number<std::int64_t>(option, value);
    } else if (option == "--seconds") {
      options.seconds = number<double>(option, value);
    } else if (option == "--threads") {
      options.threads.clear();
      for (const std::string& part : split(value)) options.threads.push_back(number<int>(option, part));
    } else {
      fail(ErrorKind::kUsage, "unknown option {}; expected --shape, --tokens, --isa, --threads, --ops or --seconds", option);
    }
  }
  return options;
}

void run(const Options& options) {
  const auto shape = kShapes.find(options.shape);
  if (shape == kShapes.end()) fail(ErrorKind::kUsage, "--shape {}: expected 25m or demo", options.shape);
  ModelShape model = shape->second;
  if (options.tokens > 0) model.tokens = options.tokens;
  for (const std::string& name : options.isa.empty() ? std::vector<std::string>{ops::cpu_isa_name(ops::cpu_isa())} : split(options.isa)) {
    bool known = false;
    for (const auto isa : {ops::CpuIsa::kPortable, ops::CpuIsa::kAvx2, ops::CpuIsa::kAvx512}) {
      if (name != ops::cpu_isa_name(isa)) continue;
      known = true;
      ops::set_cpu_isa(isa);
    }
    if (!known) fail(ErrorKind::kUsage, "--isa {}: expected portable, avx2 or avx512", name);
    for (const int num_threads : options.threads) bench(*make_cpu_context(num_threads), model, options);
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run(parse(argc, argv));
    return 0;
  } catch (const r1::Error& error) {
    fmt::print(stderr, "bench_ops: {}\n", error.what());
    return r1::exit_code(error.kind());
  }
}
