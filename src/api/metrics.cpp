#include "api/metrics.h"

#include <array>
#include <map>
#include <utility>

#include "base/format.h"
#include "base/printable.h"

namespace exo::api {
namespace {

using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

// Families one after the other: a family's samples follow its header.
class Writer {
 public:
  void family(std::string_view name, std::string_view type, std::string_view help) {
    name_ = name;
    text_ += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
  }
  template <typename Number>
  void sample(Number value, Labels labels = {}, std::string_view suffix = "") {
    text_ += name_;
    text_ += suffix;
    char before = '{';
    for (const auto& [key, label] : labels) {
      text_ += fmt::format("{}{}=\"{}\"", before, key, escape_label(label));
      before = ',';
    }
    text_ += fmt::format("{} {}\n", labels.size() > 0 ? "}" : "", value);
  }
  void histogram(std::string_view name, std::string_view help, const serve::Histogram& histogram) {
    family(name, "histogram", help);
    for (size_t i = 0; i < serve::Histogram::kBounds.size(); ++i) {
      sample(histogram.buckets()[i], {{"le", fmt::format("{}", serve::Histogram::kBounds[i])}}, "_bucket");
    }
    sample(histogram.count(), {{"le", "+Inf"}}, "_bucket");
    sample(histogram.sum_s(), {}, "_sum");
    sample(histogram.count(), {}, "_count");
  }
  std::string take() { return std::move(text_); }

 private:
  std::string_view name_;
  std::string text_;
};

void write_node(Writer& out, const Services& services) {
  out.family("exo_build_info", "gauge", "The running version.");
  out.sample(1, {{"version", services.version}, {"node", services.cluster.self().name}});
  out.family("exo_nodes", "gauge", "Devices of the cluster that this node sees, itself included.");
  out.sample(services.cluster.members().size());
  out.family("exo_link_round_trip_seconds", "gauge", "Application to application, per linked device.");
  for (const auto& link : services.cluster.self().links) {
    const auto* member = services.cluster.find_member(link.peer);
    if (member != nullptr && link.round_trip_us > 0)
      out.sample(link.round_trip_us * 1e-6, {{"peer", member->name}});
  }
  const auto each_link = [&](std::string_view name, std::string_view help, auto bytes) {
    out.family(name, "counter", help);
    for (const auto& link : services.transport.links()) {
      const auto* member = services.cluster.find_member(link.peer);
      out.sample(
          bytes(services.transport.traffic(link.peer)),
          {{"peer", member != nullptr ? member->name : link.peer.short_hex()}, {"interface", link.interface}});
    }
  };
  each_link("exo_link_sent_bytes_total", "Bytes of messages sent to a linked device.",
            [](const net::LinkTraffic& t) { return t.sent_bytes; });
  each_link("exo_link_received_bytes_total", "Bytes of messages that came from a linked device.",
            [](const net::LinkTraffic& t) { return t.received_bytes; });
  out.family("exo_instance_epoch", "gauge",
             "The present epoch of a placed model; rises with every change of its ring.");
  for (const auto& view : services.cluster.instances())
    out.sample(view.record.epoch.counter, {{"model", view.record.model_name}});
  out.family("exo_instance_ready", "gauge", "1 when all stages of the model are loaded and alive.");
  for (const auto& view : services.cluster.instances())
    out.sample(view.ready ? 1 : 0, {{"model", view.record.model_name}});
  out.family("exo_memory_budget_bytes", "gauge", "Memory that this node may use for models.");
  out.sample(services.cluster.self().device.memory_budget_bytes);
}

void write_requests(Writer& out, const Services& services) {
  const serve::FrontStatistics statistics = services.front.statistics();
  out.family("exo_requests_active", "gauge", "Requests taken by this node that have not ended.");
  out.sample(services.front.active_requests());
  out.family("exo_requests_total", "counter", "Requests taken by this node that ended, by how.");
  constexpr std::array<std::string_view, 5> kReasons = {"none", "stop", "length", "cancelled", "error"};
  for (size_t i = 1; i < kReasons.size(); ++i) out.sample(statistics.finished[i], {{"reason", kReasons[i]}});
  out.family("exo_requests_resumed_total", "counter", "How often a ring died under a request and it went on.");
  out.sample(statistics.resumed);
  out.family("exo_requests_moved_total", "counter",
             "How often a request went on without a pause on the ring's successor.");
  out.sample(statistics.moved);
  out.family("exo_prompt_tokens_total", "counter", "Tokens of the prompts of ended requests.");
  out.sample(statistics.prompt_tokens);
  out.family("exo_cached_tokens_total", "counter", "Of those, taken from the prefix cache.");
  out.sample(statistics.cached_tokens);
  out.family("exo_completion_tokens_total", "counter", "Tokens of the answers of ended requests.");
  out.sample(statistics.completion_tokens);
  out.histogram("exo_queue_seconds", "From the request to the start of its prefill.", statistics.queue);
  out.histogram("exo_time_to_first_token_seconds", "From the request to its first token.", statistics.first_token);
  out.histogram("exo_time_per_output_token_seconds", "Between tokens, the mean of a request.",
                statistics.per_token);
}

constexpr std::array<std::string_view, serve::kGuessSources> kGuessSourceNames = {"lookup", "draft"};

void write_guesses(Writer& out, const std::vector<serve::RingStageView>& stages, const auto& model_of) {
  using Guessed = serve::SchedulerStatistics::Guessed;
  std::map<std::string, std::array<Guessed, serve::kGuessSources>> sums;
  for (const auto& stage : stages) {
    if (!stage.scheduler) continue;
    auto& sum = sums[model_of(stage)];
    for (size_t i = 0; i < sum.size(); ++i) {
      sum[i].drafted += stage.scheduler->guesses[i].drafted;
      sum[i].accepted += stage.scheduler->guesses[i].accepted;
    }
  }
  const auto each_source = [&](std::string_view name, std::string_view help, auto value) {
    out.family(name, "counter", help);
    for (const auto& [model, sum] : sums)
      for (size_t i = 0; i < sum.size(); ++i)
        out.sample(value(sum[i]), {{"model", model}, {"source", kGuessSourceNames[i]}});
  };
  each_source("exo_drafted_tokens_total",
              "Tokens guessed by speculative decoding: looked up in the text, or by the draft model.",
              [](const Guessed& g) { return g.drafted; });
  each_source("exo_accepted_tokens_total", "Of those, right.", [](const Guessed& g) { return g.accepted; });
}

// One sample per stage of this node, or per scheduler where the first stage is here.
void write_stages(Writer& out, const Services& services) {
  const auto stages = services.ring.stages();
  const auto model_of = [&](const serve::RingStageView& stage) {
    const auto view = services.cluster.find_instance(stage.fingerprint);
    return view ? view->record.model_name : stage.fingerprint.substr(0, 8);
  };
  const auto each_stage = [&](std::string_view name, std::string_view type, std::string_view help, auto value) {
    out.family(name, type, help);
    // While a ring is replaced two epochs of it may be here.
    std::map<std::pair<std::string, int32_t>, decltype(value(stages.front()))> sums;
    for (const auto& stage : stages) sums[{model_of(stage), stage.stage_index}] += value(stage);
    for (const auto& [key, sum] : sums)
      out.sample(sum, {{"model", key.first}, {"stage", std::to_string(key.second)}});
  };
  each_stage("exo_stage_steps_total", "counter", "Steps computed.", [](auto& s) { return s.counters.steps; });
  each_stage("exo_stage_rows_total", "counter", "Rows of those steps.", [](auto& s) { return s.counters.rows; });
  each_stage("exo_stage_failures_total", "counter", "Steps failed.", [](auto& s) { return s.counters.failures; });
  each_stage("exo_stage_compute_seconds_total", "counter", "Time computing.",
             [](auto& s) { return s.counters.compute_s; });

  const auto each_scheduler = [&](std::string_view name, std::string_view type, std::string_view help, auto value) {
    out.family(name, type, help);
    std::map<std::string, decltype(value(*stages.front().scheduler))> sums;
    for (const auto& stage : stages) {
      if (stage.scheduler) sums[model_of(stage)] += value(*stage.scheduler);
    }
    for (const auto& [model, sum] : sums) out.sample(sum, {{"model", model}});
  };
  each_scheduler("exo_sequences_waiting", "gauge", "Requests in the queue.", [](auto& s) { return s.waiting; });
  each_scheduler("exo_sequences_running", "gauge", "Requests being computed.", [](auto& s) { return s.running; });
  each_scheduler("exo_steps_in_flight", "gauge", "Micro-batches on their way.",
                 [](auto& s) { return s.in_flight; });
  each_scheduler("exo_kv_blocks", "gauge", "Blocks of the KV cache.", [](auto& s) { return s.n_blocks; });
  each_scheduler("exo_kv_blocks_available", "gauge", "Of those, free or holding prefixes that nobody uses.",
                 [](auto& s) { return s.available_blocks; });
  each_scheduler("exo_preemptions_total", "counter", "Requests put back for want of blocks.",
                 [](auto& s) { return s.preemptions; });
  each_scheduler("exo_replays_total", "counter", "Requests computed again after a lost step.",
                 [](auto& s) { return s.replays; });
  each_scheduler("exo_kv_blocks_carried_total", "counter", "Blocks taken over from the ring before.",
                 [](auto& s) { return s.carried_blocks; });
  each_scheduler("exo_kv_carried_bytes_total", "counter", "Bytes of those blocks, on all stages.",
                 [](auto& s) { return s.carried_bytes; });
  each_scheduler("exo_generated_tokens_total", "counter", "Tokens sampled.",
                 [](auto& s) { return s.generated_tokens; });
  write_guesses(out, stages, model_of);
}

}  // namespace

std::string escape_label(std::string_view text) {
  std::string out;
  for (const char c : printable(text)) {
    if (c == '\\' || c == '"') out += '\\';
    out += c;
  }
  return out;
}

std::string metrics_text(const Services& services) {
  Writer out;
  write_node(out, services);
  write_requests(out, services);
  write_stages(out, services);
  return out.take();
}

}  // namespace exo::api
