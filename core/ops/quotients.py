"""Quotients of polynomials near functions that NumPy lacks: fewer terms than one polynomial has.

Their coefficients, highest power first, were found in 60 digits: least squares of the relative
error at Chebyshev's points, with the former denominator divided out and the weights raised where
the error was largest, again and again. Each comes twice: for float32, and with all digits.
"""

from __future__ import annotations

from typing import Any

from core.ops.fitted import polynomial

__all__: list[str] = []
Table = tuple[tuple[float, ...], tuple[float, ...]]


def quotient(table: Table, t: Any) -> Any:
    """The quotient of the two polynomials of a table at each element of `t`."""
    above, below = table
    out = polynomial(above, t)
    out /= polynomial(below, t)
    return out


def quotient_at(table: Table, t: float) -> float:
    """The same at one number."""
    above, below = 0.0, 0.0
    for c in table[0]:
        above = above * t + c
    for c in table[1]:
        below = below * t + c
    return above / below


# erfinv(x) / x for w = -log(1 - x * x), to 2.7e-9 up to w = 16.8.
ERFINV_SHORT = (
    (
        9.632065705321361e-08, 3.670969262415986e-05, 0.0007583302165823859, 0.00854634657497109,
        0.06302846378631081, 0.3137804474310229, 0.8862269231237337,
    ),
    (
        3.0224553509029535e-06, 0.00022791427766260866, 0.0021915125480733767,
        0.03393372317960007, 0.09226385326443821, 1.0,
    ),
)  # fmt: skip
# The same to 1.8e-17 up to w = 36.2.
ERFINV = (
    (
        2.925717505111463e-19, 4.54881148833909e-16, 7.057212137639604e-14, 2.645976386171817e-12,
        7.390036572581989e-11, 1.6987859522752416e-09, 3.1142426941283506e-08,
        4.741102129051075e-07, 6.043487491455705e-06, 6.429616777068277e-05,
        0.0005671090405912551, 0.004104325880687155, 0.024014819850404916, 0.11065385562148453,
        0.3640266423964191, 0.886226925452758,
    ),
    (
        1.7271760767700197e-17, 7.054374195797868e-15, 5.012002636387384e-13,
        1.3811399891497274e-11, 3.9846342234826445e-10, 7.230649220239165e-09,
        1.3927682141039066e-07, 1.6504562220497498e-06, 2.348591629841812e-05,
        0.00018046234355543046, 0.0019349753158706818, 0.008724683290418303, 0.07282965058644664,
        0.14896069174869989, 1.0,
    ),
)  # fmt: skip
# digamma(z) - log(z - 1/2) for u = 1 / z and z >= 2, to 2.4e-10.
DIGAMMA_SHORT = (
    (
        0.01407664129009537, 0.01766346699641771, 0.04166906411473722, -5.847125420982204e-08,
        2.352421773693367e-10,
    ),
    (
        -0.12359990839357902, 0.33122626016178197, -0.5751793111052877, 1.0,
    ),
)  # fmt: skip
# The same to 2.4e-17.
DIGAMMA = (
    (
        0.01865049721985833, 0.11133046433832186, 0.10897566455924185, 0.17734713331247917,
        0.058952240239965814, 0.041666666669160836, -1.867165034564123e-14, 2.287070582002065e-17,
    ),
    (
        -0.09035733014867285, 0.3653543201102833, -1.2616482611439128, 1.8038135885981796,
        -1.0396013656930359, 3.266477355211485, 0.41485376880506314, 1.0,
    ),
)  # fmt: skip
# The derivative of digamma at z, times z, for u = 1 / z and z >= 2, to 5.5e-9.
TRIGAMMA_SHORT = (
    (
        0.15134872765912352, 0.5574009465487307, 0.6476970770827771, 0.9999999945357968,
    ),
    (
        -0.03227425698535177, 0.31692789728470394, 0.14769589173075529, 1.0,
    ),
)  # fmt: skip
# The same to 9e-19.
TRIGAMMA = (
    (
        8.259717893308299, 38.946550003686646, 92.39557717781284, 133.8789925767007,
        125.71727006943502, 77.96844779485586, 31.611207887909824, 7.832405911561425, 1.0,
    ),
    (
        8.259488287927875, 38.948464840727205, 78.80106691529375, 89.69227485129582,
        62.85721101023711, 27.778338265462065, 7.332405911561427, 1.0,
    ),
)  # fmt: skip
