// A single NaN or infinity in one gradient on one rank: every rank sees it in the same step, and nothing of the step is applied.
#include <gmock/gmock.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <set>

#include "base/files.h"
#include "base/json.h"
#include "base/rng.h"
#include "tests/checkpoint/small_training.h"
#include "tests/support/on_ranks.h"
#include "tests/support/paths.h"
#include "train/trainer.h"

namespace r1::test {
namespace {

using ::testing::HasSubstr;

const bool is_full = std::getenv("R1_TEST_FULL") != nullptr;
const std::int64_t kSteps = is_full ? 150 : 24, kPoisonedSteps = is_full ? 100 : 12;

/// Passes everything on to the store, and spoils one element of the step's first gradient of a unit.
class PoisonedGradients : public nn::UnitHooks {
 public:
  PoisonedGradients(const ExecContext& ctx, SmallTraining& training) : ctx_(ctx), training_(training) {}

  void acquire(int unit) override { training_.store->acquire(unit); }
  void prefetch(int unit) override { training_.store->prefetch(unit); }
  void release(int unit) override { training_.store->release(unit); }
  void begin_gradients(int unit) override { training_.store->begin_gradients(unit); }
  void gradients_ready(int unit) override {
    if (unit == unit_) {
      unit_ = -1;
      nn::Parameter& parameter = training_.model->parameters().at(
          training_.model->parameters().units()[static_cast<std::size_t>(unit)].first_parameter + parameter_);
      Tensor host = ops::to_host(ctx_, parameter.grad);
      const auto values = host.host_span<float>();
      values[element_ % values.size()] = value_;
      ops::from_host(ctx_, host, parameter.grad);
    }
    training_.store->gradients_ready(unit);
  }

  void poison(RandomStream& random) {
    const auto& units = training_.model->parameters().units();
    unit_ = static_cast<int>(random.below(units.size()));
    const nn::Unit& unit = units[static_cast<std::size_t>(unit_)];
    parameter_ = static_cast<int>(random.below(static_cast<std::uint64_t>(unit.num_parameters)));
    element_ = random.below(1U << 20);
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    constexpr float kValues[] = {std::numeric_limits<float>::quiet_NaN(), kInfinity, -kInfinity};
    value_ = kValues[random.below(3)];
  }

 private:
  const ExecContext& ctx_;
  SmallTraining& training_;
  int unit_ = -1, parameter_ = 0;
  std::size_t element_ = 0;
  float value_ = 0;
};

/// SFT that has its gradients spoilt in some steps, on one rank each, and looks at the optimizer's state between the steps.
class Watched : public train::SftObjective {
 public:
  Watched(const ExecContext& ctx, SmallTraining& training, PoisonedGradients& gradients, train::SftOptions options,
          std::set<std::int64_t> poisoned)
      : SftObjective(ctx, *training.model, options, std::make_shared<SmallRows>(), nullptr),
        ctx_(ctx),
        training_(training),
        gradients_(gradients),
        communicator_(*options.communicator),
        poisoned_(std::move(poisoned)) {}

  std::int64_t prepare(std::int64_t step) override {
    compare();
    last_step_ = step;
    digest_ = training_.digest(ctx_);
    const bool is_this_rank =
        random_.below(static_cast<std::uint64_t>(communicator_.world_size())) == static_cast<std::uint64_t>(communicator_.rank());
    if (poisoned_.contains(step) && is_this_rank) gradients_.poison(places_);
    return SftObjective::prepare(step);
  }
  /// After the last step, too.
  void compare() {
    if (last_step_ < 0) return;
    const bool is_unchanged = training_.digest(ctx_) == digest_;
    (is_unchanged ? unchanged_ : changed_).insert(last_step_);
    last_step_ = -1;
  }
  const std::set<std::int64_t>& unchanged() const { return unchanged_; }
  std::size_t num_changed() const { return changed_.size(); }

 private:
  const ExecContext& ctx_;
  SmallTraining& training_;
  PoisonedGradients& gradients_;
  comm::Communicator& communicator_;
  std::set<std::int64_t> poisoned_, unchanged_, changed_;
  RandomStream random_{11, "ranks"}, places_{12, "places"};  // the first is drawn from by all ranks alike
  std::int64_t last_step_ = -1;
  std::string digest_;
};

// Distinct random steps, the same on every rank.
std::set<std::int64_t> random_steps(std::int64_t count) {
  RandomStream random(5, "steps");
  std::set<std::int64_t> steps;
  while (static_cast<std::int64_t>(steps.size()) < count) steps.insert(static_cast<std::int64_t>(random.below(kSteps)));
  return steps;
}

struct PoisonedRun {
  PoisonedRun(const ExecContext& ctx, comm::Communicator& communicator, parallel::Sharding sharding, const std::set<std::int64_t>& poisoned,
              const std::string& folder, std::int64_t max_nonfinite_steps)
      : training(ctx, communicator, sharding),
        gradients(ctx, training),
        runner(training.model->parameters(), gradients),
        objective(ctx, training, gradients, sft_options(communicator), poisoned),
        trainer({ctx, *training.model, *training.store, runner}, trainer_options(folder, max_nonfinite_steps), schedule, objective,
                [](const std::string&) {}) {}

  static train::SftOptions sft_options(comm::Communicator& communicator) {
    train::SftOptions options;
    options.per_device_train_batch_size = 1;
    options.gradient_accumulation_steps = 2;
    options.communicator = &communicator;
    return options;
  }
  static train::TrainerOptions trainer_options(const std::string& folder, std::int64_t max_nonfinite_steps) {
    train::TrainerOptions options;
    options.output_dir = folder;
    options.max_steps = kSteps;
    options.logging_steps = 1;
    options.max_nonfinite_steps = max_nonfinite_steps;
    options.tensorboard = false;
    options.progress = false;
    return options;
  }

  SmallTraining training;
  PoisonedGradients gradients;
  nn::UnitRunner runner;
  Watched objective;
  train::LrSchedule schedule{"constant", 1e-3, 0, kSteps};
  train::Trainer trainer;
};

TEST(NonFinite, InOneElementOnOneRankIsCaughtInItsStepByAllRanks) {
  on_ranks(2, [](comm::World& world) {
    const CommonFolder folder(world.communicator());
    const auto ctx = make_cpu_context(1);
    const std::set<std::int64_t> poisoned = random_steps(kPoisonedSteps);
    for (const parallel::Sharding sharding : {parallel::Sharding::kReplicated, parallel::Sharding::kZero2, parallel::Sharding::kZero3}) {
      PoisonedRun run(*ctx, world.communicator(), sharding, poisoned, folder.path(), kPoisonedSteps);
      run.trainer.run();
      run.objective.compare();
      EXPECT_EQ(run.objective.unchanged(), poisoned);
      EXPECT_EQ(run.objective.num_changed(), kSteps - kPoisonedSteps);
      if (world.rank() != 0) continue;
      // The audit log has every step's samples, and says which steps were left out; the metrics have no loss that a skip spoilt.
      std::ifstream lines(folder.path() + "/samples.jsonl");
      std::set<std::int64_t> skipped;
      std::int64_t num_lines = 0;
      for (std::string line; std::getline(lines, line); ++num_lines) {
        const Json row = Json::parse(line);
        EXPECT_EQ(row.at("samples").size(), 4);
        if (row.value("skipped", false)) skipped.insert(row.at("step").get<std::int64_t>() - 1);
      }
      EXPECT_EQ(num_lines, kSteps);
      EXPECT_EQ(skipped, poisoned);
    }
  });
}

TEST(NonFinite, MoreStepsInARowThanAllowedEndTheRunOnEveryRankWithTheSamples) {
  on_ranks(2, [](comm::World& world) {
    const CommonFolder folder(world.communicator());
    const auto ctx = make_cpu_context(1);
    // Two in a row, a good step, then three.
    PoisonedRun run(*ctx, world.communicator(), parallel::Sharding::kReplicated, {3, 4, 6, 7, 8}, folder.path(), 2);
    try {
      run.trainer.run();
      ADD_FAILURE() << "expected an error";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kNumeric);
      EXPECT_THAT(error.what(), HasSubstr("step 9: "));
      EXPECT_THAT(error.what(), HasSubstr("samples of the step: "));
    }
  });
}

}  // namespace
}  // namespace r1::test
