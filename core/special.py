"""Special functions by the names of torch.special."""

from core.autograd.demand import published as _published
from core.ops import (
    entropy,
    exponential,
    gamma,
    incomplete,
    reduce,
    rounding,
    softmax,
    special,
    trigonometric,
)

digamma = psi = gamma.digamma
gammaln, multigammaln, polygamma = gamma.lgamma, gamma.mvlgamma, gamma.polygamma
gammainc, gammaincc, zeta = incomplete.igamma, incomplete.igammac, incomplete.zeta
ndtr, ndtri, log_ndtr = incomplete.ndtr, incomplete.ndtri, incomplete.log_ndtr
entr, xlog1py, xlogy = entropy.entr, entropy.xlog1py, exponential.xlogy
erf, erfc, erfcx, erfinv = special.erf, special.erfc, special.erfcx, special.erfinv
i0, i0e, i1, i1e = special.i0, special.i0e, special.i1, special.i1e
exp2, expm1, log1p = exponential.exp2, exponential.expm1, exponential.log1p
expit, logit, sinc = exponential.sigmoid, exponential.logit, trigonometric.sinc
logsumexp, round = reduce.logsumexp, rounding.round
softmax, log_softmax = softmax.softmax, softmax.log_softmax  # type: ignore[assignment]

globals().update(_published(globals(), "core.special", firsts="input A", but="xlogy"))
