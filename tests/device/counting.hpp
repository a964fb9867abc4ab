#pragma once
// The CPU device, counting what an update must not do often: waiting for the device, and allocating.

#include "demix/device/cpu.hpp"
#include "demix/ops/attention_cpu.hpp"

namespace demix::testing {

class CountingDevice : public device::Cpu {
 public:
  static constexpr const char* name = "counting";

  struct Event {
    explicit Event(CountingDevice&) {}
  };

  using device::Cpu::Cpu;

  std::size_t waits = 0;        // calls that return when the device is done
  std::size_t allocations = 0;  // of memory of the device and of the host
  std::size_t bytes = 0;        // allocated and not given back

  template <class T>
  T* allocate(std::size_t n) {
    ++allocations;
    bytes += n * sizeof(T);
    return Cpu::allocate<T>(n);
  }
  template <class T>
  void deallocate(T* pointer, std::size_t n) noexcept {
    ++waits;
    bytes -= n * sizeof(T);
    Cpu::deallocate(pointer, n);
  }
  template <class T>
  T* allocate_host(std::size_t n) {
    return allocate<T>(n);
  }
  template <class T>
  void deallocate_host(T* pointer, std::size_t n) noexcept {
    deallocate(pointer, n);
  }
  template <class T>
  void copy_to_device(T* to, const T* from, std::size_t n) {
    ++waits;
    copy(to, from, n);
  }
  template <class T>
  void copy_to_host(T* to, const T* from, std::size_t n) {
    ++waits;
    copy(to, from, n);
  }
  void record(Event&) {}
  bool done(const Event&) const { return true; }
  void wait(const Event&) { ++waits; }
  void synchronize() { ++waits; }
};

static_assert(device::Device<CountingDevice>);

}  // namespace demix::testing

namespace demix::ops {

template <>
struct Attention<testing::CountingDevice> {
  using D = testing::CountingDevice;
  using OfCpu = Attention<device::Cpu>;

  template <class T>
  static void forward(D& device, const AttentionShape& shape, In<T> qkv, Matrix<T> out,
                      Matrix<accumulate_t<T>> logsumexp, device::Array<D, T>&) {
    OfCpu::forward<T>(device, shape, qkv, out, logsumexp, scratch<T>(device));
  }
  template <class T>
  static void forward_cached(D& device, const AttentionShape& shape, In<T> qkv, In<T> keys_values,
                             const std::int32_t* lengths, Matrix<T> out, device::Array<D, T>&) {
    OfCpu::forward_cached<T>(device, shape, qkv, keys_values, lengths, out, scratch<T>(device));
  }
  template <class T>
  static void backward(D& device, const AttentionShape& shape, In<T> dout, In<T> qkv, In<T> out,
                       In<accumulate_t<T>> logsumexp, Matrix<T> dqkv, device::Array<D, T>&) {
    OfCpu::backward<T>(device, shape, dout, qkv, out, logsumexp, dqkv, scratch<T>(device));
  }

 private:
  template <class T>
  static device::Array<device::Cpu, T>& scratch(device::Cpu& device) {
    static thread_local device::Array<device::Cpu, T> array(device);
    return array;
  }
};

}  // namespace demix::ops
