#pragma once
// Communicators add up over ranks. The model does not know about ranks; the training loop asks here.

#include <concepts>
#include <span>
#include <string>

#include "demix/core/error.hpp"

namespace demix::comm {

/// What the ranks that one waits for may be busy with: an update, or files of a whole model.
enum class Patience { update, files };

/// The other ranks cannot be reached: one did not come to a collective operation in time, or the operation
/// failed. No further one can be called.
class RankLost : public Error {
 public:
  using Error::Error;
};

/// A group of ranks, numbered from 0. Collective operations are called by all ranks of the group, in one
/// order.
///
/// - `all_reduce(x)`: x becomes its sum over the ranks. The order of additions depends on the number of ranks
/// and of elements alone.
/// - `reduce_scatter(x, part)`: part, the rank-th of size() equal parts of x, becomes the sum of that part.
/// - `all_gather(part, x)`: x becomes the parts of all ranks, in the order of ranks.
/// - `broadcast(x, root)`: x becomes that of rank `root`.
///
/// These take device memory and are asynchronous: the spans must stay as they are until `wait`, which makes
/// them ready for what is submitted to the device after it; it need not wait for the device itself. What a
/// communicator of several processes waits for has a deadline, after which it throws RankLost.
///
/// - `progress()`: lets what was submitted go on, where that needs the processor; for computations that go on
/// meanwhile.
/// - `split(color)`: collective; the group of the ranks that gave the same color, in the order of ranks.
/// - `barrier()`: collective; returns when all ranks have called it.
/// - `abort(message)`: ends all ranks, with the message on stderr.
template <class C>
concept Communicator = std::movable<C> &&
    requires(C comm, std::span<float> f, std::span<double> d, std::span<const float> cf, int root,
             const std::string& message) {
  { comm.rank() } -> std::same_as<int>;
  { comm.size() } -> std::same_as<int>;
  comm.all_reduce(f);
  comm.all_reduce(d);
  comm.reduce_scatter(f, f);
  comm.all_gather(cf, f);
  comm.broadcast(f, root);
  comm.progress();
  comm.wait();
  comm.wait(Patience::files);
  { comm.split(root) } -> std::same_as<C>;
  comm.barrier();
  comm.abort(message);
};

}  // namespace demix::comm
