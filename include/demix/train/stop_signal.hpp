#pragma once
// SIGINT and SIGTERM as a question that the training loop asks between updates.

#include <csignal>
#include <ctime>

namespace demix::train {

/// While it lives, SIGINT and SIGTERM do not interrupt; `received` reports them. Create it before the first
/// parallel region, so that the threads of the pool leave the signals alone too.
class StopSignal {
 public:
  StopSignal() {
    sigemptyset(&signals_);
    sigaddset(&signals_, SIGINT);
    sigaddset(&signals_, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals_, &previous_);
  }
  ~StopSignal() { pthread_sigmask(SIG_SETMASK, &previous_, nullptr); }
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  /// The signal that arrived, 0 while there was none.
  int received() {
    const timespec no_wait{0, 0};
    if (const int signal = sigtimedwait(&signals_, nullptr, &no_wait); signal > 0) received_ = signal;
    return received_;
  }

 private:
  sigset_t signals_, previous_;
  int received_ = 0;
};

}  // namespace demix::train
