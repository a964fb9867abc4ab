// Run by mpirun: what comm::Mpi does on each of its ranks. Boost.Test would print once for every rank, so
// this is a program of its own; its exit code says whether all is right.

#include "demix/comm/mpi.hpp"

#include <cstdio>
#include <cstring>

#include "comm/conformance.hpp"
#include "demix/comm/any.hpp"

using namespace demix;

namespace {

/// The same sums, twice, have the same bits, on all ranks.
void sums_repeat(comm::Mpi comm) {
  const auto sum = [&] {
    std::vector<float> x(100001);
    for (std::size_t i = 0; i < x.size(); ++i)
      x[i] = 1.0f / static_cast<float>(3 + i % 1000 + 7 * static_cast<std::size_t>(comm.rank()));
    comm.all_reduce(std::span<float>(x));
    comm.wait();
    return x;
  };
  const auto first = sum(), again = sum();
  require(std::memcmp(first.data(), again.data(), first.size() * sizeof(float)) == 0, "rank ", comm.rank(),
          ": sums do not repeat");
  // Bits are compared as sums of exact halves.
  std::vector<double> halves;
  for (const float x : first) {
    std::uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    halves.push_back(bits & 0xffff);
    halves.push_back(bits >> 16);
  }
  const auto mine = halves;
  comm.all_reduce(std::span<double>(halves));
  comm.wait();
  for (std::size_t i = 0; i < mine.size(); ++i)
    require(halves[i] == mine[i] * comm.size(), "rank ", comm.rank(), ": ranks have different sums");
}

/// What was submitted goes on while the rank polls.
void progresses(comm::Mpi comm) {
  std::vector<float> x(1 << 20, 1.0f);
  comm.all_reduce(std::span<float>(x));
  for (int i = 0; i < 1000; ++i) comm.progress();
  comm.wait();
  for (const float value : x) require(value == static_cast<float>(comm.size()), "progress");
}

void refuses_unequal_parts(comm::Mpi comm) {
  std::vector<float> x(4 * static_cast<std::size_t>(comm.size()) + 1), part(4);
  bool refused = false;
  try {
    comm.reduce_scatter(std::span<float>(x), std::span<float>(part));
  } catch (const Error&) {
    refused = true;
  }
  require(refused, "parts that do not make up the whole were accepted");
}

void codes_come_together(comm::Mpi comm) {
  const auto codes = comm.gather_within(30, 10 + comm.rank());
  require(codes.has_value(), "not all came");
  for (int r = 0; r < comm.size(); ++r) require((*codes)[static_cast<std::size_t>(r)] == 10 + r, "codes");
}

/// The others say who is missing.
void miss(comm::Mpi comm, int missing) {
  if (comm.rank() == missing) {
    // Stays away for longer than all deadlines; the others end it.
    std::this_thread::sleep_for(std::chrono::seconds(60));
    std::_Exit(0);
  }
  std::vector<float> x(3);
  comm.all_reduce(std::span<float>(x));
  try {
    comm.wait();
  } catch (const comm::RankLost& lost) {
    comm.abort(lost.what());
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const std::string what = argc > 1 ? argv[1] : "conformance";
    const double allowed = what == "conformance" ? 60 : 1;
    comm::MpiEnvironment environment(60);
    comm::Mpi world(allowed);
    try {
      if (what != "conformance") {
        miss(world, std::stoi(what));
      } else {
        demix::testing::communicator_conformance(comm::Mpi(world));
        demix::testing::communicator_conformance(comm::Any(comm::Mpi(world)));
        sums_repeat(world);
        progresses(world);
        refuses_unequal_parts(world);
        codes_come_together(world);
        if (world.rank() == 0) std::printf("%d ranks: all is right\n", world.size());
      }
    } catch (const std::exception& error) {
      world.abort(error.what());
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
