#pragma once
// Sizes that follow from numbers of users and files: products and sums that cannot wrap.

#include <concepts>
#include <cstddef>
#include <string>

#include "demix/core/error.hpp"

namespace demix {

namespace checked_size_detail {

template <class E, class... Sizes>
[[noreturn, gnu::noinline, gnu::cold]] void fail(const char* what, const char* sign, std::size_t first,
                                                 Sizes... rest) {
  std::string text = concat(first);
  ((text += concat(sign, rest)), ...);
  throw E(concat(what, ": ", text, " is more than a computer can count"));
}

}  // namespace checked_size_detail

/// The product of sizes. Throws E, Error or UsageError, with `what` and the factors when it does not fit.
template <class E = Error, std::same_as<std::size_t>... Sizes>
std::size_t checked_product(const char* what, std::size_t first, Sizes... rest) {
  std::size_t product = first;
  bool overflow = false;
  ((overflow |= __builtin_mul_overflow(product, rest, &product)), ...);
  if (overflow) [[unlikely]]
    checked_size_detail::fail<E>(what, " * ", first, rest...);
  return product;
}

/// The sum of sizes, in the same way.
template <class E = Error, std::same_as<std::size_t>... Sizes>
std::size_t checked_sum(const char* what, std::size_t first, Sizes... rest) {
  std::size_t sum = first;
  bool overflow = false;
  ((overflow |= __builtin_add_overflow(sum, rest, &sum)), ...);
  if (overflow) [[unlikely]]
    checked_size_detail::fail<E>(what, " + ", first, rest...);
  return sum;
}

}  // namespace demix
