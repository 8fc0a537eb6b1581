"""What ``fit`` returns."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class History:
    """The course of one ``fit``, an entry for each epoch.

    Attributes
    ----------
    loss : list of float
        Mean of the batch losses before each update, weighted by the batches' rows; penalties excluded.
    validation_loss : list of float
        Loss of the validation data after each epoch; empty without validation data.
    metrics : dict of str to list of float
        Metrics by name; empty where none were asked for.
    seconds : list of float
        Wall time of each epoch's training, without validation, metrics and callbacks. Epochs that one compiled call ran
        share its time equally.
    """

    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    metrics: dict[str, list[float]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.loss)
