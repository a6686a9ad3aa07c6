#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <fstream>
#include <iostream>

#include "api/topology.h"
#include "app/commands.h"
#include "app/model_argument.h"
#include "app/model_facts.h"
#include "app/topology_client.h"
#include "cluster/explain.h"
#include "cluster/placement.h"
#include "model/load.h"

namespace exo::app {
namespace json = boost::json;

namespace {

struct ImaginedCluster {
  std::vector<cluster::PlacementDevice> devices;
  std::vector<cluster::PlacementLink> links;
};

NodeId imagined_id(size_t index) {
  NodeId id;
  id.bytes[0] = static_cast<uint8_t>(index >> 8);
  id.bytes[1] = static_cast<uint8_t>(index);
  id.bytes[31] = 1;
  return id;
}

// {"devices": [{"name", "memory": "64GiB", "bandwidth_gb_s", "int8_tops", "f32_tflops"}], "round_trip_ms",
// "bandwidth_mb_s"}
Result<ImaginedCluster> read_devices(const std::string& path) {
  std::ifstream file(path);
  const std::string source((std::istreambuf_iterator<char>(file)), {});
  json::error_code error;
  const auto document = json::parse(source, error);
  if (error || !document.is_object() || !document.as_object().contains("devices") ||
      !document.at("devices").is_array()) {
    return fail(ErrorCode::kInvalidArgument, "{} must be a JSON object with a list 'devices'", path);
  }
  const auto& object = document.as_object();
  auto number = [](const json::object& from, std::string_view name, double otherwise) {
    const auto* value = from.if_contains(name);
    json::error_code ignored;
    return value != nullptr && value->is_number() ? value->to_number<double>(ignored) : otherwise;
  };
  ImaginedCluster cluster;
  for (const auto& entry : object.at("devices").as_array()) {
    const auto* fields = entry.if_object();
    const auto* name = fields != nullptr ? fields->if_contains("name") : nullptr;
    const auto* memory = fields != nullptr ? fields->if_contains("memory") : nullptr;
    if (name == nullptr || !name->is_string() || memory == nullptr || !memory->is_string()) {
      return fail(ErrorCode::kInvalidArgument, "{}: every device needs 'name' and 'memory', like \"64GiB\"", path);
    }
    cluster::PlacementDevice device;
    device.id = imagined_id(cluster.devices.size());
    device.name = name->as_string();
    EXO_TRY(device.profile.memory_budget_bytes, parse_bytes(std::string(memory->as_string())));
    device.profile.memory_total_bytes = device.profile.memory_budget_bytes;
    device.profile.memory_bandwidth_bytes_per_s = number(*fields, "bandwidth_gb_s", 50) * 1e9;
    device.profile.int8_ops_per_s = number(*fields, "int8_tops", 1) * 1e12;
    device.profile.f32_flops_per_s = number(*fields, "f32_tflops", 0.5) * 1e12;
    cluster.devices.push_back(std::move(device));
  }
  for (size_t a = 0; a < cluster.devices.size(); ++a) {
    for (size_t b = a + 1; b < cluster.devices.size(); ++b) {
      cluster.links.push_back({cluster.devices[a].id, cluster.devices[b].id,
                               number(object, "round_trip_ms", 0.5) / 1e3,
                               number(object, "bandwidth_mb_s", 118) * 1e6});
    }
  }
  return cluster;
}

Status plan_imagined(const NodeOptions& options, const PlanOptions& plan) {
  EXO_TRY(const auto file, open_model(plan.model, options.data_dir, options.quantise));
  EXO_TRY(const auto info, model::read_model_info(*file));
  EXO_TRY(const auto imagined, read_devices(plan.devices_file));
  EXO_TRY(const auto request, placement_request(options));
  const auto facts = facts_of(info, info.name, std::string(64, '0'), file->file_bytes());
  EXO_TRY(const auto result, cluster::place(facts, imagined.devices, imagined.links, request));
  if (plan.output == "json")
    std::cout << json::serialize(api::plan_json(result, facts)) << "\n";
  else
    std::cout << cluster::explain(result, facts);
  return {};
}

}  // namespace

Status run_plan(const NodeOptions& options, const PlanOptions& plan) {
  if (!plan.devices_file.empty()) return plan_imagined(options, plan);
  EXO_TRY(const auto url, parse_node_url(plan.url));
  json::array stages;
  EXO_TRY(const auto request, placement_request(options));
  for (const auto& stage : request.manual)
    stages.push_back(json::object{{"node", stage.node}, {"layers", stage.n_layers}});
  json::object body{{"model", plan.model},
                    {"strategy", options.strategy},
                    {"context", options.context_tokens},
                    {"min_stages", options.min_stages}};
  if (!stages.empty()) body["stages"] = std::move(stages);
  EXO_TRY(const auto answer, http_request(url, "POST", plan.output == "json" ? "/v1/plan" : "/v1/plan?format=text",
                                          json::serialize(body), options.api_key));
  if (answer.status != 200) {
    json::error_code error;
    const auto value = json::parse(answer.body, error);
    const bool has_message = !error && value.is_object() && value.as_object().contains("error");
    return fail(ErrorCode::kInvalidArgument, "{}",
                has_message ? std::string(value.at("error").at("message").as_string()) : answer.body);
  }
  std::cout << answer.body << (plan.output == "json" ? "\n" : "");
  return {};
}

}  // namespace exo::app
