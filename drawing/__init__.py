"""Drawn hands: the six signs of SIGNS, and hands that show none of them.

(seed, index) -> `pose`: tubes in space -> `relief`: a height map -> `picture`: skin and light, RGBA

A drawing is a pure function of (seed, index, sign), so that workers can draw any part of any number
of them. No photograph was used to make it.
"""

from drawing.picture import draw, draw_hand
from drawing.pose import NO_SIGN, SIGNS, shows_signs

__all__ = ["NO_SIGN", "SIGNS", "draw", "draw_hand", "shows_signs"]
