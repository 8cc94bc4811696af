// gpu_check: proves the CUDA module on the machine where it runs, then measures it. tools/gpu_check is its driver.
//
//   gpu_check [--root FOLDER] [--output FOLDER] [--dtypes float32,bfloat16] [--ops TEXT] [--only PART,…] [--fixtures FOLDER]
//             [--seconds N] [--quick]
//   parts, in this order: parity, programs, fixtures, speed_ops, speed_programs, pytorch, sanitizer; speed: the three measurements
//
// Whatever touches the device is in a child process: this one lives on when a kernel ends or holds the other, and the file is complete at
// any moment. Exit codes: 0 all that ran passed (without a device nothing ran: "no device: nothing proven"), 1 a failure, one of our own
// kernels did not run on a machine with a device, or a GPU that cannot be used, 2 usage.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "base/files.h"
#include "base/profile.h"
#include "base/strings.h"
#include "tools/gpu/goals.h"
#include "tools/gpu/on_device.h"
#include "tools/gpu/options.h"
#include "tools/gpu/parity.h"
#include "tools/gpu/programs.h"
#include "tools/gpu/speed.h"

namespace r1::gpu {
namespace {

namespace fs = std::filesystem;

/// Gone with everything in it at the end.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (fs::temp_directory_path() / "gpu_check.XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) fail(ErrorKind::kDisk, "{}: cannot be made", name);
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

Places places_of(const Options& options, const std::string& work, const Budget& budget) {
  const char* launched = std::getenv("R1_LAUNCHER");  // then /proc/self/exe is the loader
  const fs::path bin = launched != nullptr ? fs::path(options.root) / "bin" : fs::read_symlink("/proc/self/exe").parent_path();
  Places places{options.root, bin.string(), work, options.output + "/logs", options.fixtures, &budget};
  if (!places.fixtures.empty()) return places;
  places.fixtures = options.root + "/../shared/fixtures";
  const std::string packed = options.root + "/fixtures";  // of a package: one archive for each model
  if (!fs::exists(packed)) return places;
  places.fixtures = work + "/fixtures";
  fs::create_directories(places.fixtures);
  for (const auto& archive : fs::directory_iterator(packed)) {
    run_program(places, {"tar", {"-xzf", archive.path().string(), "-C", places.fixtures}, host_environment()});
  }
  return places;
}

/// What an earlier command with other parts found, so that several commands make one file.
Json earlier_report(const Options& options, const std::string& file) {
  if (options.only.empty() || !fs::exists(file)) return Json::object();
  Json earlier = Json::parse(read_file(file), nullptr, /*allow_exceptions=*/false);
  return earlier.is_object() ? earlier : Json::object();
}

class Run {
 public:
  Run(const Options& options, const std::string& work)
      : options_(options),
        budget_(options.seconds),
        file_(options.output + "/gpu_check.json"),
        report_(file_, earlier_report(options, file_)),
        places_(places_of(options, work, budget_)) {}

  int run() {
    const Json about = about_this_run(options_.root);
    for (const auto& [key, value] : about.items()) report_.set("about", key, value);  // PyTorch's versions stay
    report_.set("has_device", false);                                                 // until its child says otherwise
    report_.set("problem", "what looks for libraries and devices did not end");
    report_.set("missing", Json::array());
    report_.set("sign_of_a_gpu", "");
    part("libraries", "libraries", [&] {
      run_items(
          places_, report_, "machine", [] { return std::vector<std::string>{}; }, 60);
    });
    const bool has_device = report_.json().value("has_device", false);
    if (!has_device) return without_device();
    options_.missing = report_.json().value("missing", std::vector<std::string>{});
    options_.is_real = report_.json()["about"].value("can_record_steps", false);
    parts();
    part("goals", kGoalsSection, [&] { report_goals(report_); });
    finish();
    fmt::print("\n{} passed, {} failed, {} not run, {} measured\n{}\n", report_.count(Outcome::kPassed), report_.count(Outcome::kFailed),
               report_.count(Outcome::kNotRun), report_.count(Outcome::kMeasured), file_);
    return report_.count(Outcome::kFailed) > 0 ? 1 : 0;
  }

 private:
  /// What goes wrong in it is a line of its own; the parts behind it go on.
  void part(const std::string& name, const std::string& section, const std::function<void()>& work) {
    const double begin = now_seconds();
    report_.section(section, /*keep=*/budget_.is_up());
    try {
      work();
    } catch (const std::exception& error) {
      report_.line(name, Outcome::kFailed, error.what());
    }
    report_.set("seconds", name, now_seconds() - begin);
  }

  void wanted_part(const std::string& name, const std::string& section, bool needs_products, const std::function<void()>& work) {
    if (!options_.wants(name)) return;
    part(name, section, [&] {
      const bool has_products = std::find(options_.missing.begin(), options_.missing.end(), "cuBLASLt") == options_.missing.end();
      if (budget_.is_up()) {
        report_.line("all of " + name, Outcome::kNotRun, kTimeIsUp);
      } else if (needs_products && !has_products) {  // no model runs without matrix products
        report_.line("all of " + name, Outcome::kNotRun, "no libcublasLt");
      } else {
        work();
      }
    });
  }

  void parts() {
    wanted_part("parity", kParitySection, false, [&] { parity(); });
    wanted_part("programs", "programs on the device beside the CPU", true, [&] { check_programs(places_, report_); });
    wanted_part("fixtures", "fixtures: forward and backward beside PyTorch", true, [&] { check_fixtures(places_, report_); });
    wanted_part("speed_ops", kCeilingsSection, false, [&] {
      run_items(
          places_, report_, "speed_ops", [&] { return with_ceilings(options_.for_child()); }, 120);
    });
    wanted_part("speed_programs", kStepsSection, true, [&] { measure_programs(places_, options_.quick, report_); });
    wanted_part("pytorch", kPytorchSection, true, [&] { measure_pytorch(places_, options_.quick, report_); });
    wanted_part("sanitizer", "compute-sanitizer over our own kernels", false, [&] { check_sanitizer(places_, report_); });
  }

  void parity() {
    run_items(
        places_, report_, "parity", [&] { return options_.for_child(); }, 120);
    // From the file: several children may have told their part.
    std::vector<std::string> without;
    for (const std::string& kernel : own_kernels(options_.dtypes)) {
      if (kernel.find(options_.ops) == std::string::npos) continue;
      bool is_passed = false;
      for (const Json& row : report_.json().value(kParitySection, Json::array())) {
        if (row.value("name", "") == kernel) is_passed |= row.value("outcome", "") == name_of(Outcome::kPassed);
      }
      if (!is_passed) without.push_back(kernel);
    }
    if (without.empty()) return;
    report_.line("our own kernels", Outcome::kFailed,
                 fmt::format("{} did not run or did not pass: {}", without.size(), fmt::join(without, ", ")));
  }

  std::vector<std::string> with_ceilings(std::vector<std::string> arguments) const {
    const Ceilings ceilings = ceilings_of(report_.json());
    arguments.insert(arguments.end(), {"--copy_bytes_per_second", fmt::format("{}", ceilings.copy_bytes_per_second), "--matmul_flops",
                                       fmt::format("{}", ceilings.matmul_flops)});
    return arguments;
  }

  /// No device is no failure where the machine has no GPU either.
  int without_device() {
    const std::string problem = report_.json().value("problem", ""), sign = report_.json().value("sign_of_a_gpu", "");
    const bool is_failure = !sign.empty() || report_.count(Outcome::kFailed) > 0 || report_.count(Outcome::kNotRun) > 0;
    if (!sign.empty())
      report_.line("the GPU of this machine", Outcome::kFailed, fmt::format("{}, but it cannot be used: {}", sign, problem));
    finish();
    if (is_failure) {
      fmt::print("\nthe GPU cannot be used: nothing proven ({})\n{}\n", problem, file_);
    } else {
      fmt::print("\nno device: nothing proven ({})\n{}\n", problem, file_);
    }
    return is_failure ? 1 : 0;
  }

  void finish() {
    Json totals = Json::object();
    for (const Outcome outcome :
         {Outcome::kPassed, Outcome::kFailed, Outcome::kNotRun, Outcome::kMeasured, Outcome::kMet, Outcome::kMissed}) {
      totals[name_of(outcome)] = report_.total(outcome);
    }
    report_.set("totals", totals);
    report_.set("failed", totals["failed"]);
  }

  Options options_;
  Budget budget_;
  std::string file_;
  Report report_;
  Places places_;
};

int run(const Options& options) {
  if (!options.child.empty()) return run_child(options);
  fs::create_directories(options.output);
  const TemporaryFolder work;
  return Run(options, work.path()).run();
}

}  // namespace
}  // namespace r1::gpu

int main(int argc, char** argv) {
  try {
    return r1::gpu::run(r1::gpu::parse_options(argc, argv));
  } catch (const r1::Error& error) {
    fmt::print(stderr, "gpu_check: {}\n", error.what());
    return r1::exit_code(error.kind());
  } catch (const std::exception& error) {
    fmt::print(stderr, "gpu_check: {}\n", error.what());
    return 1;
  }
}
