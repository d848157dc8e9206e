"""Why a song scores as it does: the hit curve, contributions, what if, and songs like it.

`sections` are what stands on the page; `curvechart`, `whycharts` and `similarsongs` are the
pictures, functions of the library's objects that know nothing of the page.
"""
