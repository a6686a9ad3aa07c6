#pragma once
// What real passes through this device's stages teach: measured times against predicted ones, exponentially
// weighted. One thread.
//
// A step's ratio is measured ÷ predicted time. Logarithms of ratios are averaged with weight kStepWeight for the
// newest; a single step counts as at most twice or half of what is expected, so that a hiccup does not spoil the
// average.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cluster/placement.h"

namespace exo::cluster {

inline constexpr double kStepWeight = 0.05;
// Smaller stages live in the processor's caches: their times say nothing about others.
inline constexpr uint64_t kLargeStageBytes = uint64_t{128} << 20;
inline constexpr int32_t kStepsToTrust = 16;  // before that nothing is said

// The average of what was observed; starts unknown.
class RatioAverage {
 public:
  void observe(double ratio);
  // 0 until kStepsToTrust ratios were observed. Within 1/64 … 64.
  double value() const;

 private:
  double log_ratio_ = 0;
  int32_t count_ = 0;
};

// A pass through a stage as it was computed.
struct MeasuredStep {
  int32_t rows = 0;
  int32_t sequences = 0;  // of one row each in a decode
  int32_t logit_rows = 0;
  double positions = 0;  // in the cache of a row's sequence, on average
  double ms = 0;         // of computing, without waiting
};

// Without time. A step may come from a peer and not have been checked: one of more rows than a frame holds has none
// here.
MeasuredStep shape_of(const wire::Step& step);

class StepTimes {
 public:
  StepTimes();
  ~StepTimes();

  // The device's rates; what was learned is forgotten when they change by more than a quarter (a new measurement).
  void set_device(const wire::DeviceProfile& profile);
  // A stage that was loaded; replaces an earlier one of the model.
  void add_stage(const wire::ModelFacts& model, LayerRange layers);
  void remove_stage(const std::string& fingerprint);
  // A step of a stage that was added; others are ignored, and so are steps that mix decodes and a prefill.
  void observe(const std::string& fingerprint, const MeasuredStep& step);

  // Measured ÷ predicted over stages of at least kLargeStageBytes; 0: unknown. As told to others: they follow only
  // changes of more than a tenth, so that facts are not gossiped for every step.
  double decode_correction();
  double prefill_correction();
  // Of stages with measurements, with kReferencePositions in the cache, likewise steady.
  std::vector<wire::StageTimes> stage_times();

 private:
  struct Stage;
  std::map<std::string, std::unique_ptr<Stage>> stages_;  // by fingerprint
  wire::DeviceProfile profile_;
  RatioAverage decode_, prefill_;
  double told_decode_ = 0, told_prefill_ = 0;
};

}  // namespace exo::cluster
