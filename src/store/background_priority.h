#pragma once

namespace exo::store {

// The calling thread from now on gives way to others, at the processor and at the disk. Not the lowest class of
// all: a thread that gets no time while it holds a lock of the kernel or of malloc holds up the whole process.
void take_background_priority();

}  // namespace exo::store
