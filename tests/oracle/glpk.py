"""Linear programmes by GLPK, whose simplex shares nothing with the solvers of the product: a second opinion on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import swiglpk as glpk
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Row = tuple[Mapping[int, float], str, float]  # coefficients by column, "<", ">" or "=", right side
KINDS = {"<": glpk.GLP_UP, ">": glpk.GLP_LO, "=": glpk.GLP_FX}


def least_of(cost: Floats, rows: Sequence[Row]) -> tuple[float, Floats]:
    """Least cost of columns x >= 0 within the rows, and where; (inf, zeros) where no x exists."""
    p = glpk.glp_create_prob()
    try:
        glpk.glp_add_cols(p, cost.size)
        for j, usd in enumerate(cost):
            glpk.glp_set_col_bnds(p, j + 1, glpk.GLP_LO, 0.0, 0.0)
            glpk.glp_set_obj_coef(p, j + 1, float(usd))
        glpk.glp_add_rows(p, len(rows))
        for i, (coefficients, way, to) in enumerate(rows):
            at, value = glpk.intArray(len(coefficients) + 1), glpk.doubleArray(len(coefficients) + 1)
            for k, (j, v) in enumerate(coefficients.items()):
                at[k + 1], value[k + 1] = int(j) + 1, float(v)
            glpk.glp_set_row_bnds(p, i + 1, KINDS[way], float(to), float(to))
            glpk.glp_set_mat_row(p, i + 1, len(coefficients), at, value)
        options = glpk.glp_smcp()
        glpk.glp_init_smcp(options)
        options.msg_lev, options.tol_bnd, options.tol_dj = glpk.GLP_MSG_OFF, 1e-10, 1e-10
        wrong = glpk.glp_simplex(p, options)
        status = glpk.glp_get_status(p)
        if wrong == 0 and status == glpk.GLP_NOFEAS:
            return float("inf"), np.zeros(cost.size)
        assert wrong == 0 and status == glpk.GLP_OPT, f"GLPK ended with {wrong}, status {status}"
        x = np.array([glpk.glp_get_col_prim(p, j + 1) for j in range(cost.size)])
        return float(glpk.glp_get_obj_val(p)), x
    finally:
        glpk.glp_delete_prob(p)
