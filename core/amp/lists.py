"""What autocast runs in the lower precision, and what in float32, by kind of device.

PyTorch's lists: names of functions, and of the ops that have no function of their own.
"""

from __future__ import annotations

LOWER, WIDE, LIKE_FIRST, REFUSED = "lower", "wide", "like first", "refused"

_PRODUCTS = """
    matmul mm bmm mv addmm baddbmm addbmm linear conv1d conv2d conv3d conv_transpose1d
    conv_transpose2d conv_transpose3d matrix_product lstm_cell gru_cell prelu_of
""".split()
_LOSSES = """
    l1_loss mse_loss smooth_l1_loss huber_loss nll_loss cross_entropy poisson_nll_loss kl_div
    binary_cross_entropy_with_logits hinge_embedding_loss cosine_embedding_loss margin_ranking_loss
    soft_margin_loss triplet_margin_loss multi_margin_loss multilabel_margin_loss cdist prod
""".split()
_ON_CPU = """
    binary_cross_entropy ctc_loss trace quantile nanquantile avg_pool3d grid_sample
    linalg_cholesky_ex linalg_det linalg_eigh linalg_inv_ex linalg_pinv linalg_qr linalg_slogdet
    linalg_solve_ex linalg_svd
""".split()
_ON_CUDA = """
    acos asin cosh sinh tan erfinv exp expm1 log log10 log1p log2 pow cumprod cumsum reciprocal
    rsqrt sum linalg_vector_norm softplus softmax log_softmax softmin layer_norm group_norm
    normalize cosine_similarity pdist
""".split()
# A norm's weight and bias stay float32, and its output has the dtype of its input.
_NORMS = ["affine", "rms_scaled"]
# A probability in float16 rounds to 0 or 1, where its log is lost; PyTorch's CPU computes it wide.
_UNSAFE = {"cpu": [], "cuda": ["binary_cross_entropy"]}

TABLES: dict[str, dict[str, str]] = {
    device: (
        dict.fromkeys(_PRODUCTS, LOWER)
        | dict.fromkeys([*_LOSSES, *wide], WIDE)
        | dict.fromkeys(_NORMS, LIKE_FIRST)
        | dict.fromkeys(_UNSAFE[device], REFUSED)
    )
    for device, wide in {"cpu": _ON_CPU, "cuda": _ON_CUDA}.items()
}
