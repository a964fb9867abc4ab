#pragma once
// A communicator that is chosen when a program runs, so that what uses it is compiled once.

#include <concepts>
#include <memory>
#include <utility>

#include "demix/comm/communicator.hpp"

namespace demix::comm {

/// Any communicator, behind one interface of virtual functions.
class Any {
 public:
  template <class C>
  requires(!std::same_as<C, Any>) && Communicator<C> explicit Any(C comm)
      : comm_(std::make_unique<Of<C>>(std::move(comm))) {}

  int rank() const { return comm_->rank(); }
  int size() const { return comm_->size(); }
  void all_reduce(std::span<float> x) { comm_->all_reduce(x); }
  void all_reduce(std::span<double> x) { comm_->all_reduce(x); }
  void reduce_scatter(std::span<float> x, std::span<float> part) { comm_->reduce_scatter(x, part); }
  void reduce_scatter(std::span<double> x, std::span<double> part) { comm_->reduce_scatter(x, part); }
  void all_gather(std::span<const float> part, std::span<float> x) { comm_->all_gather(part, x); }
  void all_gather(std::span<const double> part, std::span<double> x) { comm_->all_gather(part, x); }
  void broadcast(std::span<float> x, int root) { comm_->broadcast(x, root); }
  void broadcast(std::span<double> x, int root) { comm_->broadcast(x, root); }
  void progress() { comm_->progress(); }
  void wait(Patience patience = Patience::update) { comm_->wait(patience); }
  Any split(int color) { return Any(comm_->split(color)); }
  void barrier() { comm_->barrier(); }
  void abort(const std::string& message) { comm_->abort(message); }

 private:
  struct Interface {
    virtual ~Interface() = default;
    virtual int rank() const = 0;
    virtual int size() const = 0;
    virtual void all_reduce(std::span<float>) = 0;
    virtual void all_reduce(std::span<double>) = 0;
    virtual void reduce_scatter(std::span<float>, std::span<float>) = 0;
    virtual void reduce_scatter(std::span<double>, std::span<double>) = 0;
    virtual void all_gather(std::span<const float>, std::span<float>) = 0;
    virtual void all_gather(std::span<const double>, std::span<double>) = 0;
    virtual void broadcast(std::span<float>, int root) = 0;
    virtual void broadcast(std::span<double>, int root) = 0;
    virtual void progress() = 0;
    virtual void wait(Patience) = 0;
    virtual std::unique_ptr<Interface> split(int color) = 0;
    virtual void barrier() = 0;
    virtual void abort(const std::string& message) = 0;
  };

  template <class C>
  struct Of final : Interface {
    explicit Of(C its) : comm(std::move(its)) {}
    int rank() const override { return comm.rank(); }
    int size() const override { return comm.size(); }
    void all_reduce(std::span<float> x) override { comm.all_reduce(x); }
    void all_reduce(std::span<double> x) override { comm.all_reduce(x); }
    void reduce_scatter(std::span<float> x, std::span<float> part) override { comm.reduce_scatter(x, part); }
    void reduce_scatter(std::span<double> x, std::span<double> part) override {
      comm.reduce_scatter(x, part);
    }
    void all_gather(std::span<const float> part, std::span<float> x) override { comm.all_gather(part, x); }
    void all_gather(std::span<const double> part, std::span<double> x) override { comm.all_gather(part, x); }
    void broadcast(std::span<float> x, int root) override { comm.broadcast(x, root); }
    void broadcast(std::span<double> x, int root) override { comm.broadcast(x, root); }
    void progress() override { comm.progress(); }
    void wait(Patience patience) override { comm.wait(patience); }
    std::unique_ptr<Interface> split(int color) override { return std::make_unique<Of>(comm.split(color)); }
    void barrier() override { comm.barrier(); }
    void abort(const std::string& message) override { comm.abort(message); }

    C comm;
  };

  explicit Any(std::unique_ptr<Interface> comm) : comm_(std::move(comm)) {}

  std::unique_ptr<Interface> comm_;
};

static_assert(Communicator<Any>);

}  // namespace demix::comm
