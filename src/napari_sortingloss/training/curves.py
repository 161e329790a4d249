"""Which figures of a task are worth a curve, described so that a window can draw them without loading the task."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Curve:
    """One figure to draw while a run goes on.

    Attributes
    ----------
    metric : str
        The key in the ``values`` of `napari_sortingloss.events.Metrics`.
    title : str
        The title of the plot, e.g. ``"mean displacement"``.
    unit : str
        The unit of the figure, e.g. ``"slices"``; empty for a pure number.
    chance : float or None
        The level of a network that knows nothing, drawn as a dashed line.
    lower_is_better : bool
        Whether the figure falls as the network learns.
    main : bool
        Whether the best checkpoint is chosen by this figure (exactly one curve of a task).
    """

    metric: str
    title: str
    unit: str = ""
    chance: float | None = None
    lower_is_better: bool = True
    main: bool = False

    def better(self, value: float, than: float | None) -> bool:
        """Return whether `value` beats `than` (anything beats ``None``, nothing that is not a number beats)."""
        if value != value:
            return False
        if than is None or than != than:
            return True
        return value < than if self.lower_is_better else value > than


def main_curve(curves: tuple[Curve, ...]) -> Curve:
    """Return the curve by which the best checkpoint is chosen.

    Raises
    ------
    ValueError
        If not exactly one curve is the main one: a mistake in the task.
    """
    found = [curve for curve in curves if curve.main]
    if len(found) != 1:
        raise ValueError(f"exactly one curve must be the main one, not {len(found)}")
    return found[0]
