"""Linear algebra by the names of torch.linalg."""

from core.ops import decompose, linalg, matrices, matrix_norm, parts, product

LinAlgError = decompose.LinAlgError
cholesky, det, eigh, eigvalsh = matrices.cholesky, matrices.det, matrices.eigh, matrices.eigvalsh
inv, lstsq, matrix_exp = matrices.inv, matrices.lstsq, matrices.matrix_exp
matrix_power, matrix_rank = matrices.matrix_power, matrices.matrix_rank
multi_dot, pinv, qr, slogdet = matrices.multi_dot, matrices.pinv, matrices.qr, matrices.slogdet
solve, solve_triangular = matrices.solve, matrices.solve_triangular
svd, svdvals = matrices.svd_full, matrices.svdvals
cond, norm, vector_norm = matrix_norm.cond, matrix_norm.norm, matrix_norm.vector_norm
matrix_norm = matrix_norm.matrix_norm  # type: ignore[assignment]
diagonal, cross, matmul = parts.diagonal, product.cross_along, linalg.matmul
