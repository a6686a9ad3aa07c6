#pragma once
// GET /metrics: what this node did and sees, in Prometheus' text format (version 0.0.4).
// https://prometheus.io/docs/instrumenting/exposition_formats/

#include <string>

#include "api/services.h"

namespace exo::api {

std::string metrics_text(const Services& services);

// `text` as a label's value: printable, backslashes and quotes escaped.
std::string escape_label(std::string_view text);

}  // namespace exo::api
