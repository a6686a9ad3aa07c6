#pragma once
// Predicted times of passes through layers, from what was measured of devices and links.
//
// Every matrix product is bound by reading its weights or by arithmetic, whichever takes longer; attention by
// reading the cache or by arithmetic. For one device, a layer and a pass of r rows over q sequences, each row
// seeing p positions:
//
//   weights_ms   = bytes read / stream rate of the number format
//                  (of routed experts, the share that r rows touch on average: 1 - (1 - used/all)^r)
//   compute_ms   = r × 2 operations per active weight / arithmetic rate of the number format
//   product_ms   = max(weights_ms, compute_ms); where it is measured what few rows cost (FormatRate), up to 8 rows
//                  weights_ms + (r - 1) × 2 operations per active weight / that rate, and from there on a line to
//                  128 rows; of weights in several formats the sum of these (weight_formats.h)
//   attention_ms = max(q × (p × KV bytes per position + 2 × state bytes) / memory bandwidth, r × p × 4 × heads'
//                      width / f32 rate)
//   layer_ms     = product_ms × correction + attention_ms × correction
//   stage_ms     = sum of its layers + the output head for the rows that want logits + overhead of a pass
//                  + bytes beyond the memory budget / disk rate
//
// A team of n devices divides the rows of every weight by share; each layer costs its slowest member and four
// gathers, in which every member sends its part of an activation to every other: of the heads' results, of the
// feed-forward's hidden numbers, and of what both halves add to the residual stream. Numbers are 4 bytes; those of
// the first two gathers are 36 for 32 where weights are quantised. Of kManyRows rows and more, where model and
// formats allow (ModelFacts::exchanges_norms), the last two are of the norms that read the residual stream, packed,
// each after one of a sum of squares for 256 columns: six gathers. The stage then ends with one of the residual
// stream itself, or at the last stage of its rows that want logits. Over the team's slowest link, D bytes in all:
//
//   gather_ms    = round trip / 2 + (n-1) × largest share × D / bandwidth
//   logits_ms    = round trip / 2 + (1 - leader's share) × D / bandwidth: only the leader has them
//
//   hop_ms       = round trip / 2 + bytes / bandwidth; back from the last stage to the first only a token travels

#include <optional>
#include <span>
#include <vector>

#include "cluster/placement.h"
#include "cluster/stage_memory.h"
#include "cluster/weight_formats.h"

namespace exo::cluster {

struct TeamMember {
  const PlacementDevice* device = nullptr;
  double share = 1;  // of every layer; all together 1
};
using Team = std::vector<TeamMember>;  // the first talks to the ring

struct Pass {
  double rows = 1;
  double sequences = 1;  // whose caches are read
  double positions = 0;  // in the cache of a row's sequence, on average
  double logit_rows = 1;
  bool decode = true;  // which correction applies
};

// What is assumed of a device or link that was not measured yet.
inline constexpr double kAssumedBandwidth = 10e9, kAssumedOps = 100e9, kAssumedFlops = 50e9;
inline constexpr double kAssumedDiskRate = 500e6, kAssumedOverheadS = 100e-6;
inline constexpr double kAssumedRoundTripS = 1e-3, kAssumedLinkBandwidth = 100e6;
inline constexpr int32_t kPrefillChunkRows = 128;  // of a prompt in one micro-batch
inline constexpr double kTokenMessageBytes = 64;
inline constexpr double kManyRows = 32;  // as model/stage.cpp: from so many on groups exchange norms

class CostModel {
 public:
  CostModel(const wire::ModelFacts& model, std::span<const PlacementDevice> devices,
            std::span<const PlacementLink> links, const PlacementRequest& request, const StageMemory& memory);

  int32_t n_layers() const { return memory_.n_layers(); }
  // One token of one sequence with a full cache; `batch` of them share the cache.
  Pass decode_pass(double batch = 1) const;
  Pass prefill_pass(double rows, double first_position, bool last_chunk) const;

  // ---- parts of a stage; the team's gathers included
  double layer_ms(const Team& team, int32_t layer, const Pass& pass) const;
  double head_ms(const Team& team, const Pass& pass) const;
  double overhead_ms(const Team& team, const Pass& pass) const;
  double stage_ms(const Team& team, int32_t begin, int32_t end, const Pass& pass) const;
  std::vector<double> layers_ms(const Team& team, const Pass& pass) const;  // layer_ms of each
  // Of one decode pass of the whole model on the device alone, without overhead and whatever its memory.
  double whole_model_ms(const PlacementDevice& device) const { return whole_model_ms_[index_of(device)]; }
  double exchange_ms(const Team& team, int32_t begin, int32_t end, const Pass& pass) const;  // part of stage_ms

  // ---- memory
  uint64_t need(const TeamMember& member, int32_t begin, int32_t end) const;
  bool fits(const Team& team, int32_t begin, int32_t end) const;
  // Bytes beyond the budget, which a larger-than-memory stage reads from disk; nullopt: not even so.
  std::optional<uint64_t> disk_bytes(const Team& team, int32_t begin, int32_t end) const;

  double disk_ms(const Team& team, int32_t begin,
                 int32_t end) const;  // of reading disk_bytes; 0 when it does not fit

  // ---- links
  struct LinkCost {
    double latency_ms = 0, ms_per_byte = 0;
  };
  LinkCost link(const PlacementDevice& a, const PlacementDevice& b) const;
  // `rows` rows of activations from one stage to the next: from its first member to every member.
  double transfer_ms(const Team& from, const Team& to, double rows) const;  // how long the link is busy
  double hop_ms(const Team& from, const Team& to, double rows) const;       // with the latency
  double return_ms(const Team& last, const Team& first) const;              // a sampled token

 private:
  struct ProductRates {
    double stream = 0, ops = 0, few_rows_ops = 0;  // per ms
  };
  struct DeviceRates {
    std::vector<ProductRates> products;      // by format
    double memory = 0, flops = 0, disk = 0;  // per ms
    double overhead_ms = 0, decode_correction = 1, prefill_correction = 1;
  };
  size_t index_of(const PlacementDevice& device) const { return static_cast<size_t>(&device - devices_.data()); }
  double kv_share(const TeamMember& member) const { return model_.kv_whole_in_groups ? 1 : member.share; }
  static DeviceRates rates_of(const wire::DeviceProfile& profile, std::span<const WeightFormat> formats);
  void measure_links(std::span<const PlacementLink> links);
  static double product_ms(const ProductRates& rates, double bytes, double ops_per_row, double rows);
  double layer_products_ms(const TeamMember& member, size_t layer, double rows) const;
  double head_product_ms(const TeamMember& member, double rows) const;
  template <typename Each>
  void for_each_layer(const Team& team, int32_t begin, int32_t end, const Pass& pass, Each each) const;
  LinkCost slowest_link(const Team& team) const;
  double gather_ms(const Team& team, double n_gathers, double bytes) const;
  double logits_ms(const Team& team, double rows) const;
  bool exchanges_norms(const Pass& pass) const;
  double layer_gathers_ms(const Team& team, const Pass& pass) const;
  double end_gather_ms(const Team& team, bool last, const Pass& pass) const;

  const wire::ModelFacts& model_;
  const std::span<const PlacementDevice> devices_;
  const PlacementRequest& request_;
  const StageMemory& memory_;
  const std::vector<WeightFormat> formats_;
  double attention_width_ = 0, feed_forward_width_ = 0;
  double packed_bytes_ = 0;             // of a number that only a weight reads
  std::vector<DeviceRates> rates_;      // by device
  std::vector<LinkCost> links_;         // [devices × devices]
  std::vector<int32_t> kinds_;          // by layer: layers of a kind differ in nothing that takes time
  std::vector<double> whole_model_ms_;  // by device
};

}  // namespace exo::cluster
