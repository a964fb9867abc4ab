#pragma once
// Random numbers by row, which are the same whichever ranks share the work.

#include <cstdint>

#include "demix/core/host_device.hpp"
#include "demix/core/matrix.hpp"
#include "demix/core/philox.hpp"
#include "demix/core/precision.hpp"
#include "demix/device/concepts.hpp"

namespace demix::ops {

/// Four random words per (row, index): a pure function of the seed, the step, the stream, the site and the
/// number of the row among those of all ranks. Kernels take it along by value.
struct RowRandom {
  Seed seed;
  std::uint32_t step;
  RandomStream stream;
  std::uint32_t site;               // the place in the model; its lowest 24 bits count
  const std::int32_t* row_numbers;  // device memory: of each row; null: the rows number themselves

  DEMIX_HOST_DEVICE PhiloxWords operator()(std::size_t row, std::size_t index) const {
    return of_number(number_of(row), index);
  }

  DEMIX_HOST_DEVICE std::uint32_t number_of(std::size_t row) const {
    return row_numbers ? static_cast<std::uint32_t>(row_numbers[row]) : static_cast<std::uint32_t>(row);
  }
  DEMIX_HOST_DEVICE PhiloxWords of_number(std::uint32_t number, std::size_t index) const {
    return philox(seed, static_cast<std::uint32_t>(index), number, step,
                  static_cast<std::uint32_t>(stream) + (site << 8));
  }
};

/// x += deviation times the sum of four uniform numbers, brought to mean 0 and deviation 1.
template <class T>
struct AddNoise {
  T* x;
  std::size_t cols;
  RowRandom random;
  float deviation;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t r) const {
    using A = accumulate_t<T>;
    T* xr = x + r * cols;
    const RowRandom draw = random;
    const std::uint32_t number = random.number_of(r);
    const float scale = 1.7320508f * deviation;  // the sum has a variance of 4 / 12
    team.for_each(cols, [=](std::size_t c) {
      const PhiloxWords words = draw.of_number(number, c);
      float sum = -2;
      for (const std::uint32_t word : words.word) sum += uniform_unit(word);
      xr[c] = T(A(xr[c]) + A(scale * sum));
    });
  }
};

/// x [N, C] += noise of mean 0 and that standard deviation, which is nearly normal: a sum of four uniform
/// numbers, within 3.5 deviations.
template <device::Device D, class T>
void add_noise(D& device, const RowRandom& random, double deviation, Matrix<T> x) {
  require(x.contiguous(), "add_noise: x must be contiguous");
  device.rows(x.rows, AddNoise<T>{x.data, x.cols, random, static_cast<float>(deviation)});
}

}  // namespace demix::ops
