// Speed of the ops of one training step and of a decode step, op by op: time, GFLOP/s, GB/s, percent of the FMA peak measured beside
// each op, and the op's share of the training step. --shape cases: every case of the tests' tables instead.
//
//   bench_ops [--shape 25m|demo|cases] [--tokens N] [--isa avx512,avx2,portable] [--threads 1,2] [--ops TEXT] [--seconds S]
//
// With one thread the clock is the thread's CPU time, so that other programs on the machine disturb less; with more it is the
// wall clock. Each figure is the best of many calls. GB/s counts each operand once.
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <string>
#include <vector>

#include "base/profile.h"
#include "bench_ops_cases.h"
#include "ops/dispatch.h"
#include "ops/peak.h"

namespace {

using namespace r1;
using bench::Case;
using bench::ModelShape;

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

void print_table(const ExecContext& ctx, const std::vector<Case>& cases, std::int64_t tokens, const Options& options) {
  fmt::print("\n{}, {} thread(s), {} tokens\n{:<36} {:>10} {:>9} {:>7} {:>7} {:>9}\n", ops::cpu_isa_name(ops::cpu_isa()),
             ctx.threads().num_threads(), tokens, "op", "µs a call", "GFLOP/s", "% peak", "GB/s", "ms a step");
  double step_seconds = 0, step_flops = 0, peak = 0;
  for (const Case& c : cases) {
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
  fmt::print("{:<36} {:>10} {:9.1f} {:7.1f} {:>7} {:9.3f}   FMA peak {:.1f} GFLOP/s\n", "all, as often as a step has them", "",
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
  const bool are_tables = options.shape == "cases";
  if (shape == kShapes.end() && !are_tables) fail(ErrorKind::kUsage, "--shape {}: expected 25m, demo or cases", options.shape);
  if (are_tables && options.tokens > 0) fail(ErrorKind::kUsage, "--tokens: the cases have their own sizes");
  ModelShape model = are_tables ? ModelShape{} : shape->second;
  if (options.tokens > 0) model.tokens = options.tokens;
  for (const std::string& name : options.isa.empty() ? std::vector<std::string>{ops::cpu_isa_name(ops::cpu_isa())} : split(options.isa)) {
    bool known = false;
    for (const auto isa : {ops::CpuIsa::kPortable, ops::CpuIsa::kAvx2, ops::CpuIsa::kAvx512}) {
      if (name != ops::cpu_isa_name(isa)) continue;
      known = true;
      ops::set_cpu_isa(isa);
    }
    if (!known) fail(ErrorKind::kUsage, "--isa {}: expected portable, avx2 or avx512", name);
    for (const int num_threads : options.threads) {
      const auto ctx = make_cpu_context(num_threads);
      print_table(*ctx, are_tables ? bench::table_cases(*ctx) : bench::step_cases(*ctx, model), model.tokens, options);
    }
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
