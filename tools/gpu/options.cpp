#include "tools/gpu/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/strings.h"
#include "tools/gpu/parity.h"

namespace r1::gpu {
namespace {

std::vector<DType> dtypes_of(const std::string& value) {
  std::vector<DType> dtypes;
  for (const std::string& name : split(value, ',')) {
    const auto dtype = dtype_from_name(name);
    if (dtype != DType::kF32 && dtype != DType::kBF16) {
      fail(ErrorKind::kUsage, "--dtypes {}: expected float32, bfloat16 or both", value);
    }
    dtypes.push_back(*dtype);
  }
  return dtypes;
}

std::set<std::string> parts_of(const std::string& value) {
  std::set<std::string> parts;
  for (const std::string& name : split(value, ',')) {
    if (name == "speed") {
      parts.insert({"speed_ops", "speed_programs", "pytorch"});
    } else if (std::find(std::begin(kParts), std::end(kParts), name) != std::end(kParts)) {
      parts.insert(name);
    } else {
      fail(ErrorKind::kUsage, "--only {}: there is no part '{}'; expected some of {}, or speed for the three measurements", value, name,
           fmt::join(kParts, ", "));
    }
  }
  return parts;
}

void require_an_entry(const Options& options) {
  const std::vector<std::string> names = parity_names(options.dtypes);
  if (std::any_of(names.begin(), names.end(), [&](const std::string& name) { return name.find(options.ops) != std::string::npos; })) return;
  fail(ErrorKind::kUsage, "--ops {}: no entry's name contains it; there are {}", options.ops, fmt::join(names, ", "));
}

double number(const std::string& name, const std::string& value) {
  const auto parsed = parse_double(value);
  if (!parsed || !(*parsed >= 0)) fail(ErrorKind::kUsage, "{}: expected a number, found '{}'", name, value);
  return *parsed;
}

std::vector<std::string> non_empty(const std::string& value, char separator) {
  std::vector<std::string> parts = split(value, separator);
  std::erase(parts, "");
  return parts;
}

void set_value(Options& options, const std::string& name, const std::string& value) {
  const std::map<std::string, std::string*> texts = {{"--root", &options.root},
                                                     {"--output", &options.output},
                                                     {"--ops", &options.ops},
                                                     {"--fixtures", &options.fixtures},
                                                     {"--child", &options.child}};
  if (const auto text = texts.find(name); text != texts.end()) {
    *text->second = value;
  } else if (name == "--only") {
    options.only = parts_of(value);
  } else if (name == "--dtypes") {
    options.dtypes = dtypes_of(value);
  } else if (name == "--seconds") {
    options.seconds = number(name, value);
  } else if (name == "--skip") {
    const auto items = non_empty(value, kItemSeparator);
    options.skip = {items.begin(), items.end()};
  } else if (name == "--missing") {
    options.missing = non_empty(value, ',');
  } else if (name == "--copy_bytes_per_second") {
    options.ceilings.copy_bytes_per_second = number(name, value);
  } else if (name == "--matmul_flops") {
    options.ceilings.matmul_flops = number(name, value);
  } else {
    fail(ErrorKind::kUsage, "unknown option {}; see the top of tools/gpu/gpu_check.cpp", name);
  }
}

}  // namespace

std::vector<std::string> Options::for_child() const {
  std::vector<std::string> dtype_names;
  for (const DType dtype : dtypes) dtype_names.emplace_back(dtype_name(dtype));
  std::vector<std::string> arguments = {"--dtypes", join(dtype_names, ","), "--missing", join(missing, ",")};
  if (!ops.empty()) arguments.insert(arguments.end(), {"--ops", ops});
  if (quick) arguments.push_back("--quick");
  if (is_real) arguments.push_back("--real");
  return arguments;
}

Options parse_options(int argc, char** argv) {
  Options options;
  const std::map<std::string, bool*> flags = {{"--quick", &options.quick}, {"--own", &options.own_kernels}, {"--real", &options.is_real}};
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (const auto flag = flags.find(name); flag != flags.end()) {
      *flag->second = true;
      continue;
    }
    if (i + 1 == argc) fail(ErrorKind::kUsage, "{}: unknown, or its value is missing; see the top of tools/gpu/gpu_check.cpp", name);
    set_value(options, name, argv[++i]);
  }
  require_an_entry(options);
  return options;
}

}  // namespace r1::gpu
