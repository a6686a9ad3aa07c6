#pragma once
// What this module measures: seconds, and averages in which newer values count more.

#include "net/clock.h"

namespace exo::serve {

inline double seconds(net::Duration duration) { return std::chrono::duration<double>(duration).count(); }

// `average` 0: nothing has been measured yet.
inline void smooth(double& average, double value) { average = average == 0 ? value : 0.7 * average + 0.3 * value; }

}  // namespace exo::serve
