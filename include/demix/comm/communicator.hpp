#pragma once
// Communicators add up over ranks. The model does not know about ranks; the trainer and the evaluator ask
// here.

#include <concepts>
#include <span>

namespace demix::comm {

/// Both are collective and wait. `all_reduce_sum` adds over all ranks; `all_reduce_region` adds device
/// memory: for the region of an expert (`region` > 0) over the ranks that hold it, for the shared region 0
/// over all of them.
template <class C>
concept Communicator = requires(C comm, std::size_t region, std::span<float> f, std::span<double> d) {
  { comm.rank() } -> std::same_as<int>;
  { comm.size() } -> std::same_as<int>;
  comm.all_reduce_region(region, f);
  comm.all_reduce_sum(d);
};

/// One rank: sums over one term.
class Self {
 public:
  int rank() const { return 0; }
  int size() const { return 1; }
  template <class T>
  void all_reduce_region(std::size_t, std::span<T>) {}
  void all_reduce_sum(std::span<double>) {}
};

static_assert(Communicator<Self>);

}  // namespace demix::comm
