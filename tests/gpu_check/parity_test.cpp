// gpu_check's cases on the emulated kernels: what it will ask of a GPU, they can do; and a kernel with a fault is found.
#include "tools/gpu/parity.h"

#include <gmock/gmock.h>

#include <cstdlib>

#include "tests/support/simt/device.h"

namespace r1::gpu {
namespace {

using ::testing::HasSubstr;

const OpReport& report_of(const std::vector<OpReport>& reports, const std::string& op) {
  for (const OpReport& report : reports) {
    if (report.op == op) return report;
  }
  throw std::runtime_error("no report of " + op);
}

TEST(GpuParity, HasCasesOfEveryOpThatTheEmulatedKernelsPass) {
  const auto emulated = test::make_simt_context();
  static ops::OpTable own = test::simt_table();  // with the attention that serves where cuDNN does not
  own.attention = &ops::simt_backend::attention;
  own.attention_backward = &ops::simt_backend::attention_backward;
  ops::set_cuda_table(&own);
  std::vector<std::string> names = {"rope", "swiglu", "cast", "scale", "linear_fp8"};
  if (std::getenv("R1_TEST_FULL") != nullptr) names = {""};  // all of them: minutes
  for (const std::string& op : names) {
    for (const OpReport& report : check_parity(*emulated, {.ops = op})) {
      if (report.op == "linear_int8") continue;
      EXPECT_EQ(report.verdict, Verdict::kPassed) << report.op << " " << dtype_name(report.dtype) << ": " << report.reason;
      EXPECT_GT(report.num_cases, 0);
    }
  }
}

TEST(GpuParity, NamesEveryEntryOfTheTableWithCasesInBothStorageTypes) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    const std::vector<ParityCase> cases = parity_cases(dtype);
    for (const TableEntry& entry : table_entries()) {
      if (std::string(entry.library) == "CPU") continue;
      EXPECT_TRUE(std::any_of(cases.begin(), cases.end(), [&](const ParityCase& c) {
        return std::find(c.ops.begin(), c.ops.end(), entry.name) != c.ops.end();
      })) << entry.name;
    }
  }
}

TEST(GpuParity, FindsAWrongKernelAndOneThatIsNotDeterministic) {
  static const ops::OpTable& right = test::simt_table();
  static int calls = 0;
  const auto emulated = test::make_simt_context();
  ops::OpTable wrong = right;
  wrong.swiglu = [](const ExecContext& ctx, const Tensor& gate_up, Tensor& out) {
    right.swiglu(ctx, gate_up, out);
    Tensor first = out.slice(0, {1});
    right.fill(ctx, first, 3);
  };
  wrong.scale = [](const ExecContext& ctx, Tensor& x, float factor) { right.scale(ctx, x, ++calls % 2 == 0 ? factor : factor * 1.00001F); };
  wrong.rope = [](const ExecContext&, Tensor&, const Tensor&, const Tensor&, const Tensor&, int, int, ops::RopeStyle, ops::RopeDirection) {
    fail(ErrorKind::kInternal, "rope: unspecified launch failure");
  };
  ops::set_cuda_table(&wrong);
  const auto swiglu = check_parity(*emulated, {.ops = "swiglu"}),
             scale = check_parity(*emulated, {.dtypes = {DType::kF32}, .ops = "scale"}), rope = check_parity(*emulated, {.ops = "rope"});
  ops::set_cuda_table(&right);
  EXPECT_EQ(report_of(swiglu, "swiglu").verdict, Verdict::kFailed);
  EXPECT_THAT(report_of(swiglu, "swiglu").reason, HasSubstr("differs from the CPU's"));
  EXPECT_EQ(report_of(scale, "scale").verdict, Verdict::kFailed);
  EXPECT_EQ(report_of(rope, "rope").verdict, Verdict::kFailed);
  EXPECT_THAT(report_of(rope, "rope").reason, HasSubstr("unspecified launch failure"));
}

TEST(GpuParity, LeavesOutWhatItIsToldToAndNamesWhatItBegins) {
  const auto emulated = test::make_simt_context();
  std::vector<std::string> begun;
  const auto begin = [&](const std::string& name) {
    begun.push_back(name);
    return name != "swiglu float32";
  };
  const auto reports = check_parity(*emulated, {.dtypes = {DType::kF32}, .ops = "swiglu", .begin = begin});
  EXPECT_THAT(begun, ::testing::ElementsAre("linear_swiglu float32", "swiglu float32", "swiglu_backward float32"));
  ASSERT_EQ(reports.size(), 2U);
  EXPECT_EQ(reports[1].op, "swiglu_backward");
}

TEST(GpuParity, HasLargeCasesWhereTheyAreWorthTheirTime) {
  const std::size_t small = parity_cases(DType::kF32).size(), flat = parity_cases(DType::kF32, CaseSize::kFlat).size(),
                    measured = parity_cases(DType::kF32, CaseSize::kMeasured).size();
  EXPECT_LT(small, flat);
  EXPECT_LT(flat, measured);
  for (const ParityCase& one : parity_cases(DType::kF32, CaseSize::kFlat)) {
    if (one.shape.find("in one row") != std::string::npos) return;
  }
  FAIL() << "no case of one long row";
}

TEST(GpuParity, SaysThatAnOpWasNotRunWithoutItsLibrary) {
  const auto emulated = test::make_simt_context();
  const auto reports = check_parity(*emulated, {.ops = "linear_b", .missing = {"cuBLASLt"}});
  ASSERT_EQ(reports.size(), 4U);
  for (const OpReport& report : reports) {
    EXPECT_EQ(report.verdict, Verdict::kNotRun);
    EXPECT_EQ(report.reason, "no libcublasLt");
    EXPECT_EQ(report.num_cases, 0);
  }
}

}  // namespace
}  // namespace r1::gpu
