#include <pthread.h>

#include "store/background_priority.h"

namespace exo::store {

void take_background_priority() { ::pthread_set_qos_class_self_np(QOS_CLASS_UTILITY, 0); }

}  // namespace exo::store
