"""Linear algebra by the names of torch.linalg."""

from core.autograd.demand import published as _published
from core.ops import decompose, factors, linalg, matrices, matrix_norm, parts, product, sequences
from core.ops import solve as systems

LinAlgError = decompose.LinAlgError
cholesky, det, eigh, eigvalsh = matrices.cholesky, matrices.det, matrices.eigh, matrices.eigvalsh
inv, matrix_exp = matrices.inv, matrices.matrix_exp
matrix_power, matrix_rank = matrices.matrix_power, matrices.matrix_rank
multi_dot, qr, slogdet = matrices.multi_dot, matrices.qr, matrices.slogdet
solve, solve_triangular = systems.solve, systems.solve_triangular
lstsq, pinv = systems.lstsq, systems.pinv
lu, lu_factor, lu_factor_ex = factors.lu, factors.lu_factor, factors.lu_factor_ex
lu_solve, vecdot, vander = factors.solve_factored, factors.vecdot, sequences.powers
inv_ex, cholesky_ex, solve_ex = factors.inv_ex, factors.cholesky_ex, factors.solve_ex
tensorinv, tensorsolve = factors.tensorinv, factors.tensorsolve
svd, svdvals = matrices.svd_full, matrices.svdvals
cond, norm, vector_norm = matrix_norm.cond, matrix_norm.norm, matrix_norm.vector_norm
matrix_norm = matrix_norm.matrix_norm  # type: ignore[assignment]
diagonal, cross, matmul = parts.diagonal, product.cross_along, linalg.matmul

globals().update(_published(globals(), "core.linalg", firsts="input A x tensors", but="matmul"))
