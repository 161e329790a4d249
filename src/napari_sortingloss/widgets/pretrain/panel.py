"""The lower half of the Pre-train stage: the run in view with its curves, its batch and its order, and all other runs."""

from __future__ import annotations

from qtpy.QtWidgets import QTabBar

from napari_sortingloss.pretext import can_order, settings_for
from napari_sortingloss.training.curves import Curve
from napari_sortingloss.widgets.pretrain.order_plot import OrderPlot
from napari_sortingloss.widgets.runs.run_view import RunStatus, RunView
from napari_sortingloss.widgets.session.session import RunInfo
from napari_sortingloss.widgets.toolkit.background import Background
from napari_sortingloss.widgets.toolkit.theme import Colors

__all__ = ["RunPanel", "RunStatus"]


class RunPanel(RunView):
    """Shows a run of pre-training: in one tab how it trains, in the other how it orders the slices of the volumes."""

    def __init__(self, background: Background) -> None:
        super().__init__(background)
        self.order = OrderPlot()
        self.tabs = QTabBar()
        self.tabs.setDrawBase(False)
        self.tabs.setExpanding(False)
        for title in ("Training", "Order of slices"):
            self.tabs.addTab(title)
        self.tabs.setAccessibleName("What to see of the run")
        self.tabs.currentChanged.connect(lambda *_: self._arrange())
        self.column.insertWidget(0, self.tabs)
        self.column.insertWidget(self.column.indexOf(self.table), self.order)
        self._arrange()

    def figures_of(self, info: RunInfo) -> tuple[Curve, ...]:
        """Return the figures of the run's task."""
        return settings_for(info.task).from_json(info.settings).curves()

    def run_gone(self) -> None:
        """Forget the order the run before believed in."""
        self.order.set_order({})

    @property
    def training_shown(self) -> bool:
        """Whether the tab with the curves is in front."""
        return self.tabs.currentIndex() == 0

    def show_training(self) -> None:
        """Bring the curves and the batch to the front."""
        self.tabs.setCurrentIndex(0)

    def show_order(self) -> None:
        """Bring the order of the slices to the front."""
        self.tabs.setCurrentIndex(1)

    def apply_theme(self, colors: Colors) -> None:
        """Restyle the plots."""
        super().apply_theme(colors)
        self.order.apply_theme(colors)

    def _arrange(self) -> None:
        orders = self.run is None or can_order(self.run.task)
        self.tabs.setTabVisible(1, orders)
        if not orders and self.tabs.currentIndex() == 1:
            self.show_training()  # arranges once more
        super()._arrange()
        self.order.setVisible(not self.training_shown)
