#pragma once
// For the outermost function of a thread, which an exception may not leave: that would end the process. What work
// throws, be it for want of memory, becomes its error.

#include <exception>
#include <new>
#include <type_traits>

#include "base/result.h"

namespace exo::net {

// work: () → Result<T>.
template <typename Work>
std::invoke_result_t<Work&> caught(Work&& work) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::kResourceExhausted, "there is not enough memory");
  } catch (const std::exception& error) {
    return fail(ErrorCode::kInternal, "{}", error.what());
  }
}

}  // namespace exo::net
