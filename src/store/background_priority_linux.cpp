#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "store/background_priority.h"

namespace exo::store {

void take_background_priority() {
  constexpr int kWhoProcess = 1, kClassBestEffort = 2, kClassShift = 13, kLowest = 7;    // linux/ioprio.h
  ::syscall(SYS_ioprio_set, kWhoProcess, 0, kClassBestEffort << kClassShift | kLowest);  // 0: this thread
  constexpr int kNicer = 5;
  ::setpriority(PRIO_PROCESS, 0, ::getpriority(PRIO_PROCESS, 0) + kNicer);  // of this thread too, on Linux
}

}  // namespace exo::store
