#pragma once
// A feed-forward policy whose tokens choose their experts: the top-2 mixture of Shazeer et al. (2017), y =
// the sum of softmax(h_1, h_2)_e FFN_e(x) over the two largest h_e of h = W x, with noise in training, and
// the load-balancing loss of Fedus et al. (2021), for each segment. No token is dropped, so the host waits
// for the experts' numbers of rows: once in a forward pass.

#include "demix/core/hash.hpp"
#include "demix/model/feed_forward.hpp"
#include "demix/ops/load_balance.hpp"
#include "demix/ops/top_k_routing.hpp"

namespace policies {
using namespace demix;

template <ops::Activation A, std::size_t E = 8>
struct TokenRoutedFFN {
  static constexpr bool has_experts = false;  // of domains: these are in the shared region
  static constexpr double balance = 0.01, noise = 1.0 / E;
  using Activation = A;

  template <device::Device D, Precision P>
  class Layer {
   public:
    using T = compute_t<P>;
    struct Saved {
      explicit Saved(D& device) : logits(device), in(device), out(device), routing(device), ffn(device) {}
      device::Array<D, T> logits, in, out;  // [N, E], and [2 N, C] twice: the rows of an expert side by side
      ops::TopKRouting<D, T, 2> routing;
      feed_forward::Saved<D, T> ffn;
    };

    Layer(ParameterLayout& layout, const std::string& name, const ModelConfig& config)
        : router_(layout.shared.matrix(name + ".router.weight", E, config.d_model,
                                       Initializer::linear_layer(config.d_model))),
          experts_(layout.shared, name, config, E),
          site_(fnv1a(name)) {}

    void forward(const ForwardPass<D, P>& pass, Matrix<const T> x, Matrix<T> y, Saved& saved) const {
      const auto logits = saved.logits.matrix(x.rows, E);
      const auto in = saved.in.matrix(2 * x.rows, x.cols), out = saved.out.matrix(2 * x.rows, x.cols);
      auto& routing = saved.routing;
      ops::linear(pass.device, x, pass.weights.shared(router_), logits);
      if (pass.training) ops::add_noise(pass.device, pass.random(site_), noise, logits);
      routing.route(logits);
      routing.dispatch(x, in);
      feed_forward::forward_segments<A>(pass, segments_by_expert(routing.host_firsts()), experts_, in, out,
                                        saved.ffn);
      routing.combine(out, y);
      if (!pass.training) return;
      for (const auto& [domain, expert, first, last] : pass.segments)  // the logits become their gradient
        ops::load_balance_with_gradient<2>(pass.device, logits.slice_rows(first, last),
                                           routing.chosen() + 2 * first, balance, pass.added_loss,
                                           pass.workspace.columns);
    }

    void backward(const BackwardPass<D, P>& pass, Matrix<const T> x, Matrix<const T> dy, Matrix<T> dx,
                  Saved& saved) const {
      const auto d_logits = saved.logits.matrix(x.rows, E);
      const auto in = saved.in.matrix(2 * x.rows, x.cols), out = saved.out.matrix(2 * x.rows, x.cols);
      auto& routing = saved.routing;
      routing.combine_backward(dy, out);  // out, and then in, become their gradients
      feed_forward::backward_segments<A>(pass, segments_by_expert(routing.host_firsts()), experts_, in, out,
                                         in, saved.ffn);
      routing.dispatch_backward(in, dx);
      routing.route_backward_accumulate(d_logits);
      ops::linear_backward_weight<T>(pass.device, d_logits, x, pass.gradients.shared(router_));
      ops::linear_backward_input_accumulate(pass.device, d_logits, pass.weights.shared(router_), dx);
    }

   private:
    ParameterRef router_;
    feed_forward::SharedExperts experts_;
    std::uint64_t site_;  // of the noise
  };
};

}  // namespace policies
