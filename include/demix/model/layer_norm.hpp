#pragma once
// The layer-norm policy: parameters and saved statistics around ops/layer_norm.hpp.

#include "demix/core/precision.hpp"
#include "demix/model/config.hpp"
#include "demix/model/parameters.hpp"
#include "demix/model/workspace.hpp"
#include "demix/ops/layer_norm.hpp"

namespace demix {

struct LayerNorm {
  static constexpr double eps = 1e-5;

  template <device::Device D, Precision P>
  class Layer {
   public:
    using T = typename P::compute_type;
    using Arena = ParameterArena<D, typename P::master_type>;

    struct Activations {
      explicit Activations(D& device) : mean(device), rstd(device) {}
      device::Array<D, T> mean, rstd;  // [N] each
    };

    Layer(ParameterLayout& layout, const std::string& name, const ModelConfig& config)
        : weight_(layout.shared.vector(name + ".weight", config.d_model, Initializer::ones())),
          bias_(layout.shared.vector(name + ".bias", config.d_model, Initializer::zeros())) {}

    /// y [N, C] = LN(x [N, C]); overwrites.
    void forward(D& device, const Arena& values, Matrix<const T> x, Matrix<T> y, Activations& saved) const {
      ops::layer_norm(device, x, values.shared(weight_), values.shared(bias_), T(eps), y,
                      saved.mean.matrix(1, x.rows), saved.rstd.matrix(1, x.rows));
    }

    /// dx [N, C] += the gradient by x; parameter gradients accumulate.
    void backward_accumulate(D& device, const Arena& values, Arena& gradients, Matrix<const T> x,
                             Matrix<const T> dy, Matrix<T> dx, Activations& saved,
                             Workspace<D, T>& workspace) const {
      ops::layer_norm_backward_accumulate(device, dy, x, values.shared(weight_), saved.mean.matrix(1, x.rows),
                                          saved.rstd.matrix(1, x.rows), dx, gradients.shared(weight_),
                                          gradients.shared(bias_), workspace.columns);
    }

   private:
    ParameterRef weight_, bias_;
  };
};

}  // namespace demix
