// std::chrono::steady_clock goes on here while the machine sleeps.

#include "net/running_time.h"

namespace exo::net {

Duration time_with_sleep() { return std::chrono::steady_clock::now().time_since_epoch(); }

}  // namespace exo::net
