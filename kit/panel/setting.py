"""The setting of a panel: weight name -> value, as a dict that cannot be changed in place."""

from __future__ import annotations

from typing import Any, NoReturn


class Setting(dict):
    """What `panel.weights` gives. A change in place would miss the panel's checks and the front end; it is refused.

    A plain dict in every other way: it compares, copies (to a plain dict) and becomes JSON like one.
    """

    def _refuse(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise TypeError(
            "weights of a panel should be set as a whole, so that they are checked and shown: "
            "assign panel.weights = {...}; names left out take their probed value."
        )

    __setitem__ = __delitem__ = update = setdefault = pop = popitem = clear = _refuse

    # panel.weights |= {...} is an assignment: it meets the checks. A dict's own gives itself back, which this cannot
    def __ior__(self, other: Any) -> dict:  # type: ignore[override,misc]
        return dict(self) | other

    def __reduce__(self) -> tuple:
        return type(self), (dict(self),)
