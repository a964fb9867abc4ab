// The types of models that the programs know: one more line here, and a model of one's own is trained,
// evaluated, mixed, adapted and continued like the others. What the programs do with them is compiled in this
// file, once.

#include "models.hpp"

#include "demix/device/cpu.hpp"
#include "demix/model/experiments.hpp"
#include "demix/program/typed_model.hpp"
#include "gated_ffn.hpp"

namespace {

using namespace demix;

template <device::Device D, Precision P>
using GatedModel =
    LanguageModel<D, P, CausalAttention, LayerNorm, GatedFFN<ops::Activations>, NoConditioning>;

template <device::Device D, Precision P>
program::ModelList models_of() {
  return program::ModelList({program::model_type<DenseModel<D, P>>("dense"),
                             program::model_type<DenseModel<D, P>>("unbalanced", data::Sampling::unbalanced),
                             program::model_type<DomainTokenModel<D, P>>("domain_token"),
                             program::model_type<DEMixModel<D, P>>("demix"),
                             program::model_type<GatedModel<D, P>>("demix_gated")});
}

}  // namespace

program::ModelList models() { return models_of<device::Cpu, Fp32>(); }
