#include "cluster/cost_model.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

namespace exo::cluster {
namespace {

// What members say of themselves may be any number. Beyond what there is, it counts as the nearest that there is:
// sums of times stay numbers, and searches that halve an interval come to an end.
struct Span {
  double least, most;
};
constexpr Span kRates{1e3, 1e18}, kOverheadsS{1e-9, 60}, kCorrections{1.0 / 1024, 1024};
constexpr Span kRoundTripsS{1e-9, 60}, kLinkRates{1, 1e15};

double or_assumed(double measured, double assumed, Span possible) {
  return measured > 0 ? std::clamp(measured, possible.least, possible.most) : assumed;
}

// Numbers for layers, the same for those that take the same time on every device.
std::vector<int32_t> kinds_of_layers(const wire::ModelFacts& model) {
  const auto of = [](const std::vector<uint64_t>& values, size_t layer) {
    return values.empty() ? uint64_t{0} : values[layer];
  };
  std::map<std::array<uint64_t, 4>, int32_t> known;
  std::vector<int32_t> kinds;
  for (size_t i = 0; i < model.layer_bytes.size(); ++i) {
    const std::array facts{model.layer_bytes[i], model.kv_bytes_per_position[i], of(model.state_bytes, i),
                           of(model.expert_bytes, i)};
    kinds.push_back(known.try_emplace(facts, static_cast<int32_t>(known.size())).first->second);
  }
  return kinds;
}

}  // namespace

CostModel::CostModel(const wire::ModelFacts& model, std::span<const PlacementDevice> devices,
                     std::span<const PlacementLink> links, const PlacementRequest& request,
                     const StageMemory& memory)
    : model_(model),
      devices_(devices),
      request_(request),
      memory_(memory),
      formats_(weight_formats(model)),
      kinds_(kinds_of_layers(model)) {
  const auto plain = [](const WeightFormat& format) { return format.type == nullptr || format.is_float(); };
  const auto most = std::ranges::max_element(formats_, {}, &WeightFormat::dense);
  packed_bytes_ = plain(*most) ? 4.0 : 36.0 / 32;
  attention_width_ = model.attention_width > 0 ? model.attention_width : model.d_model;
  feed_forward_width_ = model.feed_forward_width > 0 ? model.feed_forward_width : 4.0 * model.d_model;
  for (const auto& device : devices) rates_.push_back(rates_of(device.profile, formats_));
  measure_links(links);
  const Pass decode = decode_pass();
  for (const auto& device : devices) {
    const Team alone{{&device, 1.0}};
    double sum = head_ms(alone, decode);
    for_each_layer(alone, 0, n_layers(), decode, [&](double ms) { sum += ms; });
    whole_model_ms_.push_back(sum);
  }
}

CostModel::DeviceRates CostModel::rates_of(const wire::DeviceProfile& profile,
                                           std::span<const WeightFormat> formats) {
  DeviceRates rates;
  for (const auto& format : formats) {
    const auto measured = rate_of(profile, format);
    rates.products.push_back({or_assumed(measured.stream_bytes_per_s, kAssumedBandwidth, kRates) / 1e3,
                              or_assumed(measured.ops_per_s, kAssumedOps, kRates) / 1e3,
                              or_assumed(measured.few_rows_ops_per_s, 0, kRates) / 1e3});
  }
  rates.memory = or_assumed(profile.memory_bandwidth_bytes_per_s, kAssumedBandwidth, kRates) / 1e3;
  rates.flops = or_assumed(profile.f32_flops_per_s, kAssumedFlops, kRates) / 1e3;
  rates.disk = or_assumed(profile.disk_bytes_per_s, kAssumedDiskRate, kRates) / 1e3;
  rates.overhead_ms = or_assumed(profile.step_overhead_s, kAssumedOverheadS, kOverheadsS) * 1e3;
  rates.decode_correction = or_assumed(profile.decode_correction, 1, kCorrections);
  rates.prefill_correction = or_assumed(profile.prefill_correction, 1, kCorrections);
  return rates;
}

void CostModel::measure_links(std::span<const PlacementLink> links) {
  std::map<NodeId, size_t> index;
  for (size_t i = 0; i < devices_.size(); ++i) index[devices_[i].id] = i;
  const size_t n = devices_.size();
  std::vector<std::pair<double, double>> measured(n *
                                                  n);  // round trip, bandwidth: the worst that is said of a pair
  for (const auto& link : links) {
    const auto a = index.find(link.a), b = index.find(link.b);
    if (a == index.end() || b == index.end()) continue;
    for (auto* pair : {&measured[a->second * n + b->second], &measured[b->second * n + a->second]}) {
      pair->first = std::max(pair->first, link.round_trip_s);
      const double bandwidth = link.bandwidth_bytes_per_s;
      if (bandwidth > 0 && (pair->second == 0 || bandwidth < pair->second)) pair->second = bandwidth;
    }
  }
  for (const auto& [round_trip, bandwidth] : measured) {
    links_.push_back({or_assumed(round_trip, kAssumedRoundTripS, kRoundTripsS) * 1e3 / 2,
                      1e3 / or_assumed(bandwidth, kAssumedLinkBandwidth, kLinkRates)});
  }
}

// ---- passes

Pass CostModel::decode_pass(double batch) const {
  return {batch, batch, request_.context_tokens / std::max(batch, 1.0), batch, true};
}

Pass CostModel::prefill_pass(double rows, double first_position, bool last_chunk) const {
  return {rows, 1, first_position + (rows + 1) / 2, last_chunk ? 1.0 : 0.0, false};
}

// ---- times

double CostModel::product_ms(const ProductRates& rates, double bytes, double ops_per_row, double rows) {
  constexpr double kFew = wire::FormatRate::kFewRows, kMany = kPrefillChunkRows;
  const double reading = bytes / rates.stream;
  const auto computing = [&](double n) { return n * ops_per_row / rates.ops; };
  if (rates.few_rows_ops <= 0) return std::max(reading, computing(rows));
  const double few = reading + (std::clamp(rows, 1.0, kFew) - 1) * ops_per_row / rates.few_rows_ops;
  if (rows <= kFew) return few;
  const double many = std::max(few, computing(std::max(rows, kMany)));
  return rows >= kMany ? many : few + (many - few) * (rows - kFew) / (kMany - kFew);
}

double CostModel::layer_products_ms(const TeamMember& member, size_t layer, double rows) const {
  double experts = 0, touched = 0, used = 0;  // bytes
  if (!model_.expert_bytes.empty() && model_.n_experts > 0) {
    const double share = static_cast<double>(model_.n_experts_used) / model_.n_experts;
    experts = static_cast<double>(model_.expert_bytes[layer]);
    touched = experts * (1 - std::pow(1 - share, rows));
    used = experts * share;
  }
  const double dense = static_cast<double>(model_.layer_bytes[layer]) - experts;
  const auto& rates = rates_[index_of(*member.device)].products;
  double ms = 0;
  for (size_t i = 0; i < formats_.size(); ++i) {
    const WeightFormat& format = formats_[i];
    const double ops_per_row = format.ops_per_byte() * (format.dense * dense + format.experts * used);
    ms += product_ms(rates[i], format.dense * dense + format.experts * touched, ops_per_row, rows);
  }
  return member.share * ms;
}

double CostModel::head_product_ms(const TeamMember& member, double rows) const {
  const auto& rates = rates_[index_of(*member.device)].products;
  double ms = 0;
  for (size_t i = 0; i < formats_.size(); ++i) {
    const double bytes = formats_[i].head * static_cast<double>(model_.head_bytes);
    ms += product_ms(rates[i], bytes, formats_[i].ops_per_byte() * bytes, rows);
  }
  return member.share * ms;
}

double CostModel::layer_ms(const Team& team, int32_t layer, const Pass& pass) const {
  const auto at = static_cast<size_t>(layer);
  const double state = model_.state_bytes.empty() ? 0 : static_cast<double>(model_.state_bytes[at]);
  const double cache_bytes =
      pass.sequences * (pass.positions * static_cast<double>(model_.kv_bytes_per_position[at]) + 2 * state);
  const double attention_ops = pass.rows * pass.positions * 4 * attention_width_;
  double slowest = 0;
  for (const auto& member : team) {
    const DeviceRates& rates = rates_[index_of(*member.device)];
    const double product = layer_products_ms(member, at, pass.rows);
    const double attention =
        std::max(kv_share(member) * cache_bytes / rates.memory, member.share * attention_ops / rates.flops);
    const double correction = pass.decode ? rates.decode_correction : rates.prefill_correction;
    slowest = std::max(slowest, (product + attention) * correction);
  }
  return team.size() == 1 ? slowest : slowest + layer_gathers_ms(team, pass);
}

double CostModel::head_ms(const Team& team, const Pass& pass) const {
  if (pass.logit_rows <= 0) return 0;
  double slowest = 0;
  for (const auto& member : team) {
    const DeviceRates& rates = rates_[index_of(*member.device)];
    const double correction = pass.decode ? rates.decode_correction : rates.prefill_correction;
    slowest = std::max(slowest, head_product_ms(member, pass.logit_rows) * correction);
  }
  return team.size() == 1 ? slowest : slowest + logits_ms(team, pass.logit_rows) + end_gather_ms(team, true, pass);
}

double CostModel::overhead_ms(const Team& team, const Pass& pass) const {
  double most = 0;
  for (const auto& member : team) {
    const DeviceRates& rates = rates_[index_of(*member.device)];
    most = std::max(most, rates.overhead_ms * (pass.decode ? rates.decode_correction : rates.prefill_correction));
  }
  return most;
}

// each(ms) for the layers in turn; the arithmetic is done once for each kind of layer.
template <typename Each>
void CostModel::for_each_layer(const Team& team, int32_t begin, int32_t end, const Pass& pass, Each each) const {
  constexpr int32_t kMostRemembered = 16;
  std::array<double, kMostRemembered> known;
  known.fill(-1);
  for (int32_t layer = begin; layer < end; ++layer) {
    const int32_t kind = kinds_[static_cast<size_t>(layer)];
    if (kind >= kMostRemembered) {
      each(layer_ms(team, layer, pass));
      continue;
    }
    double& ms = known[static_cast<size_t>(kind)];
    if (ms < 0) ms = layer_ms(team, layer, pass);
    each(ms);
  }
}

std::vector<double> CostModel::layers_ms(const Team& team, const Pass& pass) const {
  std::vector<double> times;
  times.reserve(kinds_.size());
  for_each_layer(team, 0, n_layers(), pass, [&](double ms) { times.push_back(ms); });
  return times;
}

double CostModel::stage_ms(const Team& team, int32_t begin, int32_t end, const Pass& pass) const {
  double sum = overhead_ms(team, pass);
  for_each_layer(team, begin, end, pass, [&](double ms) { sum += ms; });
  sum += end == n_layers() ? head_ms(team, pass) : end_gather_ms(team, false, pass);
  return sum + disk_ms(team, begin, end);
}

double CostModel::exchange_ms(const Team& team, int32_t begin, int32_t end, const Pass& pass) const {
  if (team.size() == 1) return 0;
  const bool last = end == n_layers();
  const double sum = (end - begin) * layer_gathers_ms(team, pass) + end_gather_ms(team, last, pass);
  return last ? sum + logits_ms(team, pass.logit_rows) : sum;
}

bool CostModel::exchanges_norms(const Pass& pass) const {
  return model_.exchanges_norms && packed_bytes_ < 4 && pass.rows >= kManyRows;
}

double CostModel::layer_gathers_ms(const Team& team, const Pass& pass) const {
  constexpr double kNormColumns = 256;
  const double made = packed_bytes_ * (attention_width_ + feed_forward_width_), stream = 2.0 * model_.d_model;
  if (!exchanges_norms(pass)) return gather_ms(team, 4, (made + 4 * stream) * pass.rows);
  return gather_ms(team, 6, (made + packed_bytes_ * stream + 4 * stream / kNormColumns) * pass.rows);
}

// Of a residual stream of which every member has its own columns.
double CostModel::end_gather_ms(const Team& team, bool last, const Pass& pass) const {
  const double rows = last ? pass.logit_rows : pass.rows;
  return team.size() > 1 && rows > 0 && exchanges_norms(pass) ? gather_ms(team, 1, 4.0 * model_.d_model * rows) : 0;
}

CostModel::LinkCost CostModel::slowest_link(const Team& team) const {
  LinkCost worst;
  for (size_t a = 0; a < team.size(); ++a) {
    for (size_t b = a + 1; b < team.size(); ++b) {
      const LinkCost cost = link(*team[a].device, *team[b].device);
      worst.latency_ms = std::max(worst.latency_ms, cost.latency_ms);
      worst.ms_per_byte = std::max(worst.ms_per_byte, cost.ms_per_byte);
    }
  }
  return worst;
}

double CostModel::gather_ms(const Team& team, double n_gathers, double bytes) const {
  const LinkCost worst = slowest_link(team);
  const double largest = std::ranges::max(team, {}, &TeamMember::share).share;
  return n_gathers * worst.latency_ms + static_cast<double>(team.size() - 1) * largest * bytes * worst.ms_per_byte;
}

double CostModel::logits_ms(const Team& team, double rows) const {
  if (rows <= 0) return 0;
  const LinkCost worst = slowest_link(team);
  return worst.latency_ms + (1 - team.front().share) * 4.0 * model_.n_vocab * rows * worst.ms_per_byte;
}

// ---- memory

uint64_t CostModel::need(const TeamMember& member, int32_t begin, int32_t end) const {
  if (member.share >= 1) return memory_.need(begin, end);
  const uint64_t shared = memory_.shared_weight_bytes(begin);
  const double weights = member.share * static_cast<double>(memory_.weight_bytes(begin, end) - shared);
  const double cache = kv_share(member) * static_cast<double>(memory_.kv_bytes(begin, end));
  return shared + static_cast<uint64_t>(std::ceil(weights + cache)) + memory_.activation_bytes(begin, end);
}

bool CostModel::fits(const Team& team, int32_t begin, int32_t end) const {
  return disk_bytes(team, begin, end).has_value();
}

std::optional<uint64_t> CostModel::disk_bytes(const Team& team, int32_t begin, int32_t end) const {
  for (const auto& member : team) {
    const uint64_t usable = StageMemory::usable(member.device->profile.memory_budget_bytes);
    const uint64_t need_bytes = need(member, begin, end);
    if (need_bytes <= usable) continue;
    const uint64_t missing = need_bytes - usable;
    if (!request_.larger_than_memory || team.size() > 1 || missing > memory_.weight_bytes(begin, end)) {
      return std::nullopt;
    }
    return missing;
  }
  return 0;
}

double CostModel::disk_ms(const Team& team, int32_t begin, int32_t end) const {
  const uint64_t bytes = disk_bytes(team, begin, end).value_or(0);
  return bytes == 0 ? 0 : static_cast<double>(bytes) / rates_[index_of(*team.front().device)].disk;
}

// ---- links

CostModel::LinkCost CostModel::link(const PlacementDevice& a, const PlacementDevice& b) const {
  return links_[index_of(a) * devices_.size() + index_of(b)];
}

double CostModel::transfer_ms(const Team& from, const Team& to, double rows) const {
  double sum = 0;
  for (const auto& member : to) sum += link(*from.front().device, *member.device).ms_per_byte;
  return sum * 4.0 * model_.d_model * rows;
}

double CostModel::hop_ms(const Team& from, const Team& to, double rows) const {
  double latency = 0;
  for (const auto& member : to) latency = std::max(latency, link(*from.front().device, *member.device).latency_ms);
  return latency + transfer_ms(from, to, rows);
}

double CostModel::return_ms(const Team& last, const Team& first) const {
  const LinkCost cost = link(*last.front().device, *first.front().device);
  return cost.latency_ms + kTokenMessageBytes * cost.ms_per_byte;
}

}  // namespace exo::cluster
