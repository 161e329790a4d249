"""Ranks slices to annotate next, from what a network sees in them; numbers in, numbers out, without torch or a study.

Every slice of every volume is a candidate that is not empty and not next to an annotated one. Its score is the weighted
mean of up to four ingredients, each from 0 to 1:

spread
    How far it lies, in the anatomical position that the network predicts, from the nearest annotated slice of any volume
    (as a share of the largest such distance among the candidates): annotations come to cover the anatomy evenly.
novelty
    How far its embedding lies from that of the nearest annotated slice (farthest-first, the greedy solution of the
    k-centre problem: Gonzalez 1985; for choosing what to annotate Sener and Savarese 2018). Features are standardised,
    and distances count up to the 95th percentile only, so that a lone artefact is not the first choice.
doubt
    The mean entropy of what the present segmentation network predicts, as a rank among the candidates; left out where
    there is no such network.
turn
    Whether its volume is behind: 1 where nothing is annotated in it, 1/2 after one slice, 1/3 after two.

The best candidate is taken, counts as annotated, and the next one is looked for. Where nothing is annotated at all, the
first one is a typical slice: near the mean of all embeddings and the middle of the anatomy.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari_sortingloss.segment.suggest.slice_features import SliceFeatures

Floats = NDArray[np.float32]

APART = 0.03
"""Slices nearer to an annotated one than this share of the volume (and at least `FEW` slices) are not suggested."""

FEW = 3

FAR = 0.95
"""The percentile of the distances that counts as far."""

SAME_PLACE = 0.04
"""Slices whose anatomical ranks differ by less show the same place; the embedding chooses among them."""


@dataclass(frozen=True)
class Importance:
    """The weights of the ingredients; they need not add up to 1.

    Attributes
    ----------
    spread, novelty, doubt, turn : float
    """

    spread: float = 1.0
    novelty: float = 1.0
    doubt: float = 1.0
    turn: float = 0.5


@dataclass(frozen=True)
class Suggestion:
    """A slice to annotate, and why.

    Attributes
    ----------
    volume : str
    axis : str
        The volume's ordering axis, across which the slice lies.
    index : int
        Along the array.
    position : int
        The same slice along the ordering axis in its direction.
    anatomy : float
        Where it lies in the anatomy: the share of all slices of all volumes that come before it, from 0 to 1.
    reason : str
        What a person reads.
    score : float
        From 0 to 1; comparable among the suggestions of one list.
    """

    volume: str
    axis: str
    index: int
    position: int
    anatomy: float
    reason: str
    score: float

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Suggestion:
        """Rebuild from `to_json`.

        Raises
        ------
        KeyError, TypeError, ValueError
            If a value is missing or does not fit.
        """
        return cls(
            volume=str(values["volume"]),
            axis=str(values["axis"]),
            index=int(values["index"]),
            position=int(values["position"]),
            anatomy=float(values["anatomy"]),
            reason=str(values["reason"]),
            score=float(values["score"]),
        )


def rank_suggestions(
    features: Sequence[SliceFeatures],
    annotated: Mapping[str, Collection[int]],
    count: int = 10,
    *,
    importance: Importance | None = None,
    volumes: Collection[str] | None = None,
) -> list[Suggestion]:
    """Put the slices most worth annotating in order.

    Parameters
    ----------
    features : sequence of SliceFeatures
        What the network sees, a volume each.
    annotated : mapping of str to collection of int
        For each volume the array indices, along its ordering axis, of the slices that are annotated.
    count : int
        How many at most.
    importance : Importance, optional
    volumes : collection of str, optional
        Only slices of these are suggested; annotated slices of the others count all the same.

    Returns
    -------
    list of Suggestion
        The best first; fewer than `count` where no candidate is left.
    """
    if not features or count < 1:
        return []
    pool = _Pool(features, annotated, importance or Importance(), volumes)
    found: list[Suggestion] = []
    while len(found) < count:
        one = pool.next()
        if one is None:
            break
        found.append(one)
    return found


class _Pool:
    """All slices of all volumes in long columns, and how far each is from what is taken."""

    def __init__(
        self,
        features: Sequence[SliceFeatures],
        annotated: Mapping[str, Collection[int]],
        importance: Importance,
        volumes: Collection[str] | None,
    ) -> None:
        self._features, self._importance = features, importance
        sizes = [len(one.positions) for one in features]
        self._of = np.repeat(np.arange(len(features)), sizes)
        self._within = np.concatenate([np.arange(size) for size in sizes])
        self._indices = np.concatenate([one.indices for one in features])
        foreground = np.concatenate([one.foreground for one in features])
        self._embedded = standardised(np.concatenate([one.embeddings for one in features]), foreground)
        self._anatomy = anatomical_ranks(features)
        self._doubt = _doubt_ranks(np.concatenate([one.doubt for one in features]), foreground)
        wanted = np.array([volumes is None or one.volume in volumes for one in features])
        self._open = foreground & wanted[self._of]
        self._distance = np.full(len(self._of), np.inf, np.float32)
        self._gap = np.full(len(self._of), np.inf)
        self._taken = np.zeros(len(features), np.intp)
        self._anything = False
        for number, one in enumerate(features):
            for index in sorted(annotated.get(one.volume, ())):
                self._take(number, index)

    def _take(self, number: int, index: int) -> None:
        """Count a slice as annotated."""
        one = self._features[number]
        own = np.flatnonzero(self._of == number)
        nearest = own[int(np.abs(self._indices[own] - index).argmin())]
        apart = max(FEW, round(APART * one.slices))
        self._open[own[np.abs(self._indices[own] - index) <= apart]] = False
        difference = self._embedded - self._embedded[nearest]
        np.minimum(self._distance, np.sqrt(np.einsum("ij,ij->i", difference, difference)), out=self._distance)
        np.minimum(self._gap, np.abs(self._anatomy - self._anatomy[nearest]), out=self._gap)
        self._taken[number] += 1
        self._anything = True

    def next(self) -> Suggestion | None:
        """Take the best candidate."""
        candidates = np.flatnonzero(self._open)
        if not len(candidates):
            return None
        parts = self._ingredients(candidates)
        weights = {
            name: weight
            for name, weight in asdict(self._importance).items()
            if weight > 0 and name in parts  # doubt may be unknown
        }
        total = sum(weights.values()) or 1.0
        scores = sum((parts[name] * (weight / total) for name, weight in weights.items()), start=np.zeros(1))
        scores = np.broadcast_to(scores, candidates.shape)
        best = int(scores.argmax())
        at = int(candidates[best])
        one = self._features[int(self._of[at])]
        own = int(self._within[at])
        first = not self._anything
        reason = _reason(
            {name: float(parts[name][best]) for name in weights},
            first=first,
            untouched=not self._taken[self._of[at]],
        )
        self._take(int(self._of[at]), int(self._indices[at]))
        return Suggestion(
            volume=one.volume,
            axis=one.axis,
            index=int(one.indices[own]),
            position=int(one.positions[own]),
            anatomy=round(float(self._anatomy[at]), 4),
            reason=reason,
            score=round(float(scores[best]), 4),
        )

    def _ingredients(self, candidates: NDArray[np.intp]) -> dict[str, NDArray[np.floating[Any]]]:
        if self._anything:
            spread = _share(self._gap[candidates], 1.0)
            novelty = _share(self._distance[candidates], FAR)
        else:
            spread = 1 - 2 * np.abs(self._anatomy[candidates] - 0.5)
            lengths = np.linalg.norm(self._embedded[candidates], axis=1)
            novelty = 1 - _share(lengths, FAR)
        parts: dict[str, NDArray[np.floating[Any]]] = {
            "spread": spread,
            "novelty": novelty,
            "turn": 1.0 / (1 + self._taken[self._of[candidates]]),
        }
        if self._doubt is not None:
            parts["doubt"] = self._doubt[candidates]
        return parts


def _share(values: NDArray[np.floating[Any]], quantile: float) -> NDArray[np.floating[Any]]:
    """Return values as shares of a quantile of themselves, at most 1."""
    top = float(np.quantile(values, quantile))
    return np.minimum(values / top, 1.0) if top > 0 else np.zeros_like(values)


def standardised(embeddings: Floats, foreground: NDArray[np.bool_]) -> Floats:
    """Return embeddings with mean 0 and variance 1 over the foreground in each feature, divided by sqrt(features).

    Features that never change become 0.
    """
    chosen = embeddings[foreground] if foreground.any() else embeddings
    mean, sd = chosen.mean(axis=0), chosen.std(axis=0)
    flat = sd <= 1e-6 * np.maximum(1.0, np.abs(mean))
    scaled = (embeddings - mean) / np.where(flat, 1.0, sd)
    scaled[:, flat] = 0
    return np.asarray(scaled / math.sqrt(embeddings.shape[1]), np.float32)


def anatomical_ranks(features: Sequence[SliceFeatures]) -> NDArray[np.float64]:
    """Return where each slice of each volume lies in the anatomy: the share of foreground slices before it, 0 to 1."""
    anatomy = np.concatenate([one.anatomy for one in features]).astype(np.float64)
    foreground = np.concatenate([one.foreground for one in features])
    known = np.sort(anatomy[foreground] if foreground.any() else anatomy)
    below, upto = np.searchsorted(known, anatomy, "left"), np.searchsorted(known, anatomy, "right")
    return np.asarray((below + upto) / (2 * len(known)), np.float64)


def _doubt_ranks(doubt: Floats, foreground: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    known = np.isfinite(doubt) & foreground
    if not known.any():
        return None
    values = np.sort(doubt[known])
    ranks = np.searchsorted(values, np.nan_to_num(doubt, nan=-1.0), "right") / len(values)
    return np.asarray(ranks, np.float64)


def _reason(parts: Mapping[str, float], *, first: bool, untouched: bool) -> str:
    """Say in a few words why a slice was chosen: its strong ingredients, the strongest first."""
    if first:
        words = ["a typical slice to begin with"]
        if parts.get("doubt", 0.0) >= 0.7:
            words.append("the model is unsure")
        return "; ".join(words)
    said = {
        "novelty": "far from what you painted",
        "spread": "a part of the anatomy not painted yet",
        "doubt": "the model is unsure",
        "turn": "nothing painted in this volume yet",
    }
    least = {"novelty": 0.6, "spread": 0.5, "doubt": 0.7, "turn": 0.0 if untouched else math.inf}
    strong = sorted(
        (name for name in parts if name != "turn" and parts[name] >= least[name]), key=lambda n: -parts[n]
    )
    if untouched and "turn" in parts:
        strong.append("turn")
    if strong:
        return "; ".join(said[name] for name in strong[:2])
    others = {name: value for name, value in parts.items() if name != "turn"}
    if not others:
        return "fewest slices painted in this volume"
    weak = {
        "novelty": "looks least like what you painted",
        "spread": "between the slices you painted",
        "doubt": "the model is less sure than elsewhere",
    }
    return weak[max(others, key=lambda name: others[name])]


def match_anatomy(features: Sequence[SliceFeatures], volume: str, index: int) -> list[dict[str, Any]]:
    """Find the slice of every other volume that shows the same place as a given one.

    Parameters
    ----------
    features : sequence of SliceFeatures
        Of the volume itself and of the others.
    volume : str
    index : int
        Array index along the volume's ordering axis.

    Returns
    -------
    list of dict
        ``volume``, ``axis``, ``index``, ``position`` and ``score`` (1: the same place and look; towards 0: nothing like
        it), the best match first. Among the slices at the same predicted position the embedding chooses.

    Raises
    ------
    KeyError
        If nothing is known of the volume.
    """
    number = {one.volume: i for i, one in enumerate(features)}[volume]
    ranks = np.split(anatomical_ranks(features), np.cumsum([len(one.positions) for one in features])[:-1])
    foreground = np.concatenate([one.foreground for one in features])
    scaled = standardised(np.concatenate([one.embeddings for one in features]), foreground)
    embedded = np.split(scaled, np.cumsum([len(one.positions) for one in features])[:-1])
    own = int(np.abs(features[number].indices - index).argmin())
    place, look = ranks[number][own], embedded[number][own]
    found = []
    for i, one in enumerate(features):
        if i == number or not one.foreground.any():
            continue
        away = np.where(one.foreground, np.abs(ranks[i] - place), np.inf)
        same = np.flatnonzero(away <= max(SAME_PLACE, float(away.min())))
        unlike = np.linalg.norm(embedded[i][same] - look, axis=1)
        best = int(same[int(unlike.argmin())])
        score = math.exp(-float(unlike.min())) * max(0.0, 1.0 - float(away[best]))
        found.append(
            {
                "volume": one.volume,
                "axis": one.axis,
                "index": int(one.indices[best]),
                "position": int(one.positions[best]),
                "score": round(score, 4),
            }
        )
    return sorted(found, key=lambda match: -match["score"])
