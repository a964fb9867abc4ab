#pragma once
// What every communicator does, from the point of view of one of its ranks. Numbers are small integers, so
// that sums are exact.

#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "demix/comm/communicator.hpp"
#include "demix/core/error.hpp"

namespace demix::testing {

/// Throws Error on every rank alike when something is wrong anywhere.
template <comm::Communicator Comm>
void communicator_conformance(Comm comm) {
  const int rank = comm.rank(), size = comm.size();
  std::string wrong;
  const auto check = [&](bool ok, const char* what) {
    if (!ok) wrong += std::string(what) + "; ";
  };
  const auto of_ranks = [&](auto f) {
    double sum = 0;
    for (int r = 0; r < size; ++r) sum += f(r);
    return sum;
  };
  check(rank >= 0 && rank < size, "rank");

  for (const std::size_t n : {0u, 1u, 1000u}) {
    std::vector<float> f(n, static_cast<float>(rank + 1));
    std::vector<double> d(n, 10.0 * (rank + 1));
    comm.all_reduce(std::span<float>(f));
    comm.all_reduce(std::span<double>(d));
    comm.wait();
    const double sum = of_ranks([](int r) { return r + 1; });
    for (const float x : f) check(x == static_cast<float>(sum), "all_reduce of float");
    for (const double x : d) check(x == 10 * sum, "all_reduce of double");
  }

  const auto parts = static_cast<std::size_t>(size);
  std::vector<float> all(3 * parts), part(3), gathered(3 * parts);
  for (std::size_t i = 0; i < all.size(); ++i)
    all[i] = static_cast<float>(i) + 100.0f * static_cast<float>(rank);
  comm.reduce_scatter(std::span<float>(all), std::span<float>(part));
  comm.wait();
  for (std::size_t i = 0; i < 3; ++i)
    check(part[i] == static_cast<float>(of_ranks([&](int r) {
            return static_cast<double>(3 * static_cast<std::size_t>(rank) + i) + 100.0 * r;
          })),
          "reduce_scatter");
  comm.all_gather(std::span<const float>(part), std::span<float>(gathered));
  comm.wait();
  for (std::size_t i = 0; i < gathered.size(); ++i)
    check(gathered[i] ==
              static_cast<float>(of_ranks([&](int r) { return static_cast<double>(i) + 100.0 * r; })),
          "all_gather");

  for (int root = 0; root < size; ++root) {
    std::vector<float> x{static_cast<float>(rank), static_cast<float>(2 * rank)};
    comm.broadcast(std::span<float>(x), root);
    comm.wait();
    check(x == std::vector<float>{static_cast<float>(root), static_cast<float>(2 * root)}, "broadcast");
  }

  // Even and odd ranks, in the order of ranks, and each half of them again.
  Comm half = comm.split(rank % 2);
  check(half.size() == (size + 1 - rank % 2) / 2 && half.rank() == rank / 2, "split");
  std::vector<double> members{static_cast<double>(rank)};
  half.all_reduce(std::span<double>(members));
  half.wait();
  check(members[0] == of_ranks([&](int r) { return r % 2 == rank % 2 ? r : 0; }), "all_reduce of a part");
  Comm quarter = half.split(half.rank() % 2);
  check(quarter.size() == (half.size() + 1 - half.rank() % 2) / 2, "split of a part");
  comm.barrier();

  std::vector<double> failures{wrong.empty() ? 0.0 : 1.0};
  comm.all_reduce(std::span<double>(failures));
  comm.wait();
  require(failures[0] == 0, "rank ", rank, " of ", size, ": wrong: ", wrong);
}

}  // namespace demix::testing
