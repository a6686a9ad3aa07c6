#include "store/work_threads.h"

#include "net/caught.h"

namespace exo::store {

WorkThreads::~WorkThreads() { join(); }

void WorkThreads::start(std::function<void()> work, std::function<void(const Error&)> on_error) {
  threads_.emplace_back([work = std::move(work), on_error = std::move(on_error)] {
    const Status done = net::caught([&]() -> Status {
      work();
      return {};
    });
    if (!done) on_error(done.error());
  });
}

void WorkThreads::join() {
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

}  // namespace exo::store
