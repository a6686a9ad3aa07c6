#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <iostream>

#include "api/topology.h"
#include "app/cluster_file.h"
#include "app/commands.h"
#include "app/model_argument.h"
#include "app/model_facts.h"
#include "app/topology_client.h"
#include "cluster/explain.h"
#include "cluster/known_models.h"
#include "cluster/placement.h"
#include "model/load.h"

namespace exo::app {
namespace json = boost::json;

namespace {

Result<cluster::PlacementRequest> request_of(const NodeOptions& options, const PlanOptions& plan) {
  EXO_TRY(auto request, placement_request(options));
  request.prompt_tokens = plan.prompt_tokens;
  request.concurrency = plan.concurrency;
  request.larger_than_memory = plan.larger_than_memory;
  request.compare = plan.compare;
  return request;
}

Result<wire::ModelFacts> model_of(const NodeOptions& options, const PlanOptions& plan) {
  if (!plan.like.empty()) return cluster::known_model(plan.like);
  EXO_TRY(const auto file, open_model(plan.model, options.data_dir, options.quantise));
  EXO_TRY(const auto info, model::read_model_info(*file));
  return facts_of(info, info.name, std::string(64, '0'), file->file_bytes());
}

Status plan_imagined(const NodeOptions& options, const PlanOptions& plan) {
  EXO_TRY(const auto facts, model_of(options, plan));
  EXO_TRY(const auto imagined, read_cluster_file(plan.devices_file));
  EXO_TRY(const auto request, request_of(options, plan));
  EXO_TRY(const auto result, cluster::place(facts, imagined.devices, imagined.links, request));
  if (plan.output == "json")
    std::cout << json::serialize(api::plan_json(result, facts)) << "\n";
  else
    std::cout << cluster::explain(result, facts);
  return {};
}

}  // namespace

Status run_plan(const NodeOptions& options, const PlanOptions& plan) {
  if (plan.model.empty() == plan.like.empty()) {
    return fail(ErrorCode::kInvalidArgument, "give either a MODEL or --like SHAPE");
  }
  if (!plan.devices_file.empty()) return plan_imagined(options, plan);
  if (!plan.like.empty()) {
    return fail(ErrorCode::kInvalidArgument,
                "--like needs --devices: running devices plan for models that they have");
  }
  EXO_TRY(const auto url, parse_node_url(plan.url));
  json::array stages;
  EXO_TRY(const auto request, request_of(options, plan));
  for (const auto& stage : request.manual)
    stages.push_back(json::object{{"node", stage.node}, {"layers", stage.n_layers}});
  json::object body{{"model", plan.model},
                    {"strategy", options.strategy},
                    {"objective", options.objective},
                    {"context", options.context_tokens},
                    {"prompt", plan.prompt_tokens},
                    {"concurrency", plan.concurrency},
                    {"compare", plan.compare},
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
