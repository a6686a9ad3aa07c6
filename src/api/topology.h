#pragma once
// GET /v1/topology: everything this node knows about the cluster, for the chat page, the terminal view and scripts.

#include <boost/json/value.hpp>

#include "api/services.h"

namespace exo::api {

// {"self", "version", "nodes": […], "links": […], "models": […], "instances": […], "refusals": […],
//  "active_requests", "draft"}; docs/api.md shows it whole.
boost::json::object topology_json(const Services& services);
// Its part about the draft model of this node; null where there is none.
boost::json::value draft_json(const Services& services);

// A plan as JSON, for POST /v1/plan and `exo plan -o json`.
boost::json::object plan_json(const cluster::Plan& plan, const wire::ModelFacts& model);

}  // namespace exo::api
