#pragma once
// Work that can wait stands back behind work that cannot, on one device: a draft model computes while no stage
// does. Nobody waits the other way round. Copies are the same gate. Any thread.

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>

namespace exo::ring {

class IdleGate {
 public:
  // The device is busy until the last copy of this is gone.
  using Busy = std::shared_ptr<const void>;

  Busy enter() {
    {
      const std::lock_guard lock(state_->mutex);
      ++state_->busy;
    }
    return {state_.get(), [state = state_](const void*) {
              {
                const std::lock_guard lock(state->mutex);
                --state->busy;
              }
              state->idle.notify_all();
            }};
  }

  // True as soon as nobody is busy; false when somebody still is after `at_most`.
  bool wait_idle(std::chrono::milliseconds at_most) const {
    std::unique_lock lock(state_->mutex);
    return state_->idle.wait_for(lock, at_most, [this] { return state_->busy == 0; });
  }

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable idle;
    int busy = 0;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace exo::ring
