#pragma once
// The layer-norm policy: parameters and saved statistics around ops/layer_norm.hpp.

#include "demix/model/config.hpp"
#include "demix/model/pass.hpp"
#include "demix/ops/layer_norm.hpp"

namespace demix {

struct LayerNorm {
  static constexpr double eps = 1e-5;

  template <device::Device D, Precision P>
  class Layer {
   public:
    using T = compute_t<P>;

    struct Saved {
      explicit Saved(D& device) : mean(device), rstd(device) {}
      device::Array<D, accumulate_t<T>> mean, rstd;  // [N] each
    };

    Layer(ParameterLayout& layout, const std::string& name, const ModelConfig& config)
        : weight_(layout.shared.vector(name + ".weight", config.d_model, Initializer::ones())),
          bias_(layout.shared.vector(name + ".bias", config.d_model, Initializer::zeros())) {}

    /// y [N, C] = LN(x [N, C]); overwrites.
    void forward(const ForwardPass<D, P>& pass, Matrix<const T> x, Matrix<T> y, Saved& saved) const {
      ops::layer_norm(pass.device, x, pass.weights.shared(weight_), pass.weights.shared(bias_), eps, y,
                      saved.mean.matrix(1, x.rows), saved.rstd.matrix(1, x.rows));
    }

    /// dx [N, C] += the gradient by x; parameter gradients accumulate.
    void backward_accumulate(const BackwardPass<D, P>& pass, Matrix<const T> x, Matrix<const T> dy,
                             Matrix<T> dx, Saved& saved) const {
      ops::layer_norm_backward_accumulate(pass.device, dy, x, pass.weights.shared(weight_),
                                          saved.mean.matrix(1, x.rows), saved.rstd.matrix(1, x.rows), dx,
                                          pass.gradients.shared(weight_), pass.gradients.shared(bias_),
                                          pass.workspace.columns);
    }

   private:
    ParameterRef weight_, bias_;
  };
};

}  // namespace demix
