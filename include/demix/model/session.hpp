#pragma once
// One caller's use of a transformer: forward and backward passes in buffers of its own.

#include <algorithm>
#include <utility>
#include <vector>

#include "demix/model/batch.hpp"
#include "demix/model/device_batch.hpp"
#include "demix/model/key_value_cache.hpp"
#include "demix/model/loss_totals.hpp"
#include "demix/model/transformer.hpp"
#include "demix/ops/segment_sum.hpp"
#include "demix/ops/softmax_cross_entropy.hpp"

namespace demix {

/// Activations, workspace and losses. Several sessions may use one transformer and one set of weights at the
/// same time, each from its own thread; a session serves one thread. Members that return numbers wait for the
/// device.
template <class Network_>
class Session {
 public:
  using Network = Network_;
  using D = typename Network::DeviceType;
  using P = typename Network::PrecisionType;
  using T = compute_t<P>;
  using A = accumulate_t<T>;
  using Gradients = GradientArena<D, P>;
  using Cache = KeyValueCache<D, T>;

  /// All three must outlive the session. The device is where the weights are, or another object for the same
  /// place (a Cpu with threads of its own).
  Session(D& device, const Network& network, const Weights<D, P>& weights)
      : device_(device),
        network_(network),
        weights_(weights),
        workspace_(device),
        final_saved_(device),
        final_(device),
        final_gradient_(device),
        stream_gradient_(device),
        logits_(device),
        losses_(device),
        last_(device),
        batch_(device) {}

  const Network& network() const { return network_; }
  D& device() const { return device_; }

  /// -log p of every target of the batch, [B T] in its order, 0 where the target is ignored.
  std::vector<A> token_losses(const Batch& text) {
    const Batch batch = prepare(text, false);
    forward(batch, pass_of(batch));
    return losses_of(batch, Network::prefix_length);
  }

  /// Adds the sum of the losses, with dropout, to `totals` and its gradient to `gradients`. Does not wait for
  /// the device.
  void accumulate_gradients(const Batch& text, const ops::Dropout& dropout, Gradients& gradients,
                            LossTotals<D>& totals) {
    accumulate_gradients(text, dropout, gradients, totals, [](std::size_t, std::size_t) {});
  }

  /// The same, telling what is complete: after complete(shared, expert) the gradients of the shared region
  /// from element `shared` on, and of each expert from `expert` on, change no more, and what is submitted to
  /// the device then sees them. It is called after each block, the last one first.
  template <class Complete>
  void accumulate_gradients(const Batch& text, const ops::Dropout& dropout, Gradients& gradients,
                            LossTotals<D>& totals, const Complete& complete) {
    const Batch batch = pass_there_and_back(text, dropout, gradients, totals.added(), complete);
    ops::segment_sum_accumulate(device_, losses_.data(), batch_.segments(), batch_.segment_count(),
                                totals.losses());
    totals.count(batch);
  }

  /// The same; returns the losses, like token_losses.
  std::vector<A> accumulate_gradients(const Batch& text, const ops::Dropout& dropout, Gradients& gradients) {
    const Batch batch =
        pass_there_and_back(text, dropout, gradients, nullptr, [](std::size_t, std::size_t) {});
    return text_losses(batch, Network::prefix_length);
  }

  /// The logits of every position of the batch, [B (prefix + T), V], row-major.
  std::vector<T> logits(const Batch& text) {
    const Batch batch = prepare(text, false);
    forward(batch, pass_of(batch));
    return logits_of(final_.matrix(batch.rows(), width()));
  }

  /// The logits that follow each sequence's last token, [B, V]; a sequence without a token is an Error.
  std::vector<T> next_logits(const Batch& text) {
    const Batch batch = prepare(text, false);
    forward(batch, pass_of(batch));
    return last_logits(batch);
  }

  /// A cache of `sequences` sequences that have read nothing, each with room for the model's T positions.
  Cache make_cache(std::size_t sequences) const {
    return Cache(device_, network_.blocks().size(), width(), network_.config().tokens_per_sample, sequences);
  }

  /// token_losses of a batch that continues where each sequence of the cache stands, which then holds it too.
  /// Padding at the end of a sequence's source is not read. Throws Error when the batch does not fit into the
  /// T positions of some sequence.
  std::vector<A> token_losses(const Batch& text, Cache& cache) requires
      IncrementalAttentionPolicy<typename Network::Attention, D, P> {
    const std::size_t prefix = cache.empty() ? Network::prefix_length : 0;
    const Batch batch = read(text, cache);
    return losses_of(batch, prefix);
  }

  /// next_logits of a batch that continues in the same way.
  std::vector<T> next_logits(const Batch& text, Cache& cache) requires
      IncrementalAttentionPolicy<typename Network::Attention, D, P> {
    return last_logits(read(text, cache));
  }

 private:
  using Saved = typename Network::BlockType::Saved;

  std::size_t width() const { return network_.config().d_model; }

  /// Checks the batch, adds the conditioning unless the text continues a cache's, and sends it to the device.
  Batch prepare(const Batch& text, bool training, bool continues = false) {
    text.validate(network_.dictionary_size(), network_.domains().size());
    Batch batch = continues ? text : Network::Conditioning::apply(text, network_.dictionary_size());
    require(batch.sequence_length <= network_.config().tokens_per_sample, "batch: sequences of ",
            batch.sequence_length, " tokens, but the model has ", network_.config().tokens_per_sample,
            " positions");
    batch_.assign(batch, training);
    segments_.clear();
    for (const auto& segment : batch.segments)
      segments_.push_back({segment.domain, Network::expert_of(segment.domain),
                           segment.first * batch.sequence_length, segment.last * batch.sequence_length});
    return batch;
  }

  ForwardPass<D, P> pass_of(const Batch& batch) {
    return {device_, weights_.compute(), workspace_, batch.sequence_length, segments_, {}, false, nullptr};
  }

  /// Fills final_ [N, C], the final norm's output, keeping what a backward pass needs in training only.
  void forward(const Batch& batch, const ForwardPass<D, P>& pass) {
    const std::size_t rows = batch.rows(), blocks = network_.blocks().size();
    const bool keep = pass.training;
    make_room(keep ? blocks : 1, keep ? blocks + 1 : 2);
    network_.embedding().forward(pass, batch_.source(), stream(0, rows));
    for (std::size_t l = 0; l < blocks; ++l)
      network_.blocks()[l].forward(pass, stream(keep ? l : l % 2, rows),
                                   stream(keep ? l + 1 : (l + 1) % 2, rows), saved_[keep ? l : 0]);
    network_.final_norm().forward(pass, stream(keep ? blocks : blocks % 2, rows),
                                  final_.matrix(rows, width()), final_saved_);
  }

  /// The same for a text that continues the cache's sequences, which read it. Returns the batch that the
  /// blocks saw.
  Batch read(const Batch& text, Cache& cache) {
    Batch batch = prepare(text, false, !cache.empty());
    require(batch.sequences() == cache.sequences(), "cache of ", cache.sequences(),
            " sequences for a batch of ", batch.sequences());
    for (const std::size_t length : cache.lengths())
      require(length + batch.sequence_length <= cache.capacity(), "cache: ", batch.sequence_length,
              " more positions after ", length, " are more than the model's ", cache.capacity());
    const std::size_t rows = batch.rows(), blocks = network_.blocks().size();
    make_room(1, 2);
    const auto pass = pass_of(batch);
    const auto* lengths = cache.device_lengths();
    network_.embedding().forward(pass, batch_.source(), stream(0, rows), lengths);
    for (std::size_t l = 0; l < blocks; ++l)
      network_.blocks()[l].forward_cached(pass, stream(l % 2, rows), lengths, cache.keys_values(l),
                                          stream((l + 1) % 2, rows), saved_[0]);
    network_.final_norm().forward(pass, stream(blocks % 2, rows), final_.matrix(rows, width()), final_saved_);
    for (std::size_t b = 0; b < batch.sequences(); ++b) cache.advance(b, batch.length_of(b));
    return batch;
  }

  /// Forward, losses, and backward. Returns the batch that the blocks saw.
  template <class Complete>
  Batch pass_there_and_back(const Batch& text, const ops::Dropout& dropout, Gradients& gradients,
                            double* added_loss, const Complete& complete) {
    Batch batch = prepare(text, true);
    ForwardPass<D, P> pass = pass_of(batch);
    pass.dropout = dropout;
    pass.dropout.row_numbers = batch_.row_numbers();
    pass.training = true;
    pass.added_loss = added_loss;
    forward(batch, pass);
    const auto d_final = final_gradient_.matrix(batch.rows(), width());
    const auto h = final_.matrix(batch.rows(), width());
    const ParameterRef projection = network_.output_projection();
    output_layer(h, [&](Matrix<T> logits, std::size_t first, Matrix<A> losses) {
      ops::cross_entropy_with_gradient(device_, logits, batch_.target() + first, losses);
      const auto last = first + logits.rows;
      ops::linear_backward_input(device_, logits, pass.weights.shared(projection),
                                 d_final.slice_rows(first, last));
      ops::linear_backward_weight<T>(device_, logits, h.slice_rows(first, last),
                                     gradients.shared(projection));
    });
    backward(batch, {pass, gradients}, d_final, complete);
    return batch;
  }

  template <class Complete>
  void backward(const Batch& batch, const BackwardPass<D, P>& pass, Matrix<T> d_final,
                const Complete& complete) {
    const std::size_t rows = batch.rows(), blocks = network_.blocks().size();
    const auto dx = stream_gradient_.matrix(rows, width());
    device_.fill_zero(dx.data, dx.size());
    network_.final_norm().backward_accumulate(pass, stream(blocks, rows), d_final, dx, final_saved_);
    const auto& starts = network_.layout().block_starts;
    complete(starts[blocks].shared, starts[blocks].expert);
    for (std::size_t l = blocks; l-- > 0;) {
      network_.blocks()[l].backward(pass, stream(l, rows), dx, saved_[l]);
      complete(starts[l].shared, starts[l].expert);
    }
    network_.embedding().backward(pass, batch_.groups(), dx);
  }

  /// consume(logits [n, V], first row, losses [1, n]) over chunks of the rows of h [N, C], so that the logits
  /// never take more than output_chunk_bytes, or one row.
  template <class Consume>
  void output_layer(Matrix<const T> h, Consume consume) {
    const std::size_t vocabulary = network_.config().vocabulary,
                      chunk = std::max<std::size_t>(1, output_chunk_bytes / (vocabulary * sizeof(T)));
    const auto losses = losses_.matrix(1, h.rows);
    for (std::size_t first = 0; first < h.rows; first += chunk) {
      const std::size_t last = std::min(first + chunk, h.rows);
      const auto logits = logits_.matrix(last - first, vocabulary);
      ops::linear(device_, h.slice_rows(first, last), weights_.compute().shared(network_.output_projection()),
                  logits);
      consume(logits, first, losses.slice_cols(first, last));
    }
  }

  /// The logits of h [N, C] on the host, [N, V].
  std::vector<T> logits_of(Matrix<const T> h) {
    std::vector<T> result(checked_product("logits", h.rows, network_.config().vocabulary));
    output_layer(h, [&](Matrix<T> logits, std::size_t first, Matrix<A>) {
      device_.copy_to_host(result.data() + first * logits.cols, logits.data, logits.size());
    });
    return result;
  }

  /// The logits of final_ at each sequence's last token on the host, [B, V].
  std::vector<T> last_logits(const Batch& batch) {
    const auto h = final_.matrix(batch.rows(), width()), last = last_.matrix(batch.sequences(), width());
    for (std::size_t b = 0; b < batch.sequences(); ++b) {
      const std::size_t length = batch.length_of(b);
      require(length > 0, "next_logits: sequence ", b, " has no token");
      device_.copy(last.row(b), h.row(b * batch.sequence_length + length - 1), width());
    }
    return logits_of(last);
  }

  /// The losses of final_ on the host, without the `prefix` first rows of each sequence.
  std::vector<A> losses_of(const Batch& batch, std::size_t prefix) {
    output_layer(final_.matrix(batch.rows(), width()),
                 [this](Matrix<T> logits, std::size_t first, Matrix<A> losses) {
                   ops::cross_entropy(device_, logits, batch_.target() + first, losses);
                 });
    return text_losses(batch, prefix);
  }

  std::vector<A> text_losses(const Batch& batch, std::size_t prefix) {
    std::vector<A> losses = losses_.to_host(batch.rows());
    if (prefix > 0) {
      std::size_t kept = 0;
      for (std::size_t r = 0; r < losses.size(); ++r)
        if (r % batch.sequence_length >= prefix) losses[kept++] = losses[r];
      losses.resize(kept);
    }
    return losses;
  }

  void make_room(std::size_t blocks, std::size_t streams) {
    while (saved_.size() < blocks) saved_.emplace_back(device_);
    while (streams_.size() < streams) streams_.emplace_back(device_);
  }

  Matrix<T> stream(std::size_t l, std::size_t rows) { return streams_[l].matrix(rows, width()); }

  static constexpr std::size_t output_chunk_bytes = std::size_t{64} << 20;

  D& device_;
  const Network& network_;
  const Weights<D, P>& weights_;
  Workspace<D, P> workspace_;
  std::vector<Saved> saved_;                  // one per block where a backward pass follows, else one
  std::vector<device::Array<D, T>> streams_;  // [N, C]: the input of each block, and the last one's output
  typename Network::FinalNorm::Saved final_saved_;
  device::Array<D, T> final_, final_gradient_, stream_gradient_;  // [N, C]
  device::Array<D, T> logits_;                                    // [chunk, V]
  device::Array<D, A> losses_;                                    // [N]
  device::Array<D, T> last_;                                      // [B, C]
  DeviceBatch<D> batch_;
  std::vector<RowSegment> segments_;
};

}  // namespace demix
