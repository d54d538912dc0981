"""Evidently's only home: one function in, our own `DriftSummary` out."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from candlecast.candles import Floats
from candlecast.drift import DRIFT_SHARE, ColumnDrift, DriftSummary

METHOD = "wasserstein"
"""Wasserstein's distance in units of the reference's standard deviation, for any number of rows.

Evidently's own choice changes from this to a p-value below 1,000 rows, and then calls every small move drift.
"""


def compare(
    reference: Mapping[str, Floats],
    current: Mapping[str, Floats],
    thresholds: Mapping[str, float],
    *,
    with_page: bool = False,
) -> DriftSummary:
    """Return how far each column moved; with the page for people, which costs ten times as much.

    A column that holds no number in either window has no score: Evidently would refuse the whole report for it.
    """
    filled = [name for name in reference if _has_values(reference[name]) and _has_values(current[name])]
    with _quiet():
        scores = {name: _score(reference[name], current[name], thresholds[name]) for name in filled}
        html = _page(reference, current, {name: thresholds[name] for name in filled}) if with_page and filled else None
    return DriftSummary(METHOD, {name: ColumnDrift(scores.get(name), thresholds[name]) for name in reference}, html)


def _has_values(column: Floats) -> bool:
    return bool(np.isfinite(column).any())


# Importing Evidently takes seconds and 100 MB: only here, only when a comparison is really made.


def _score(reference: Floats, current: Floats, threshold: float) -> float:
    """Run Evidently's statistical test itself: its metrics draw a picture of every column, even if nobody looks."""
    import pandas as pd
    from evidently.legacy.calculations.stattests import get_stattest
    from evidently.legacy.core import ColumnType

    ours, theirs = (pd.Series(column[np.isfinite(column)]) for column in (reference, current))
    test = get_stattest(ours, theirs, ColumnType.Numerical, METHOD)
    return float(test(ours, theirs, ColumnType.Numerical, threshold).drift_score)


def _page(reference: Mapping[str, Floats], current: Mapping[str, Floats], thresholds: Mapping[str, float]) -> str:
    """Return Evidently's report about the columns that have a threshold here: one HTML file."""
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    names = list(thresholds)
    definition = DataDefinition(numerical_columns=names)
    data = [
        Dataset.from_pandas(pd.DataFrame({name: window[name] for name in names}), data_definition=definition)
        for window in (current, reference)
    ]
    preset = DataDriftPreset(
        columns=names, drift_share=DRIFT_SHARE, num_method=METHOD, per_column_threshold=dict(thresholds)
    )
    html: str = Report([preset]).run(*data).get_html_str(as_iframe=False)
    return html


@contextmanager
def _quiet() -> Iterator[None]:
    """Send nothing anywhere, and keep deprecations and divisions by a constant column out of the log."""
    os.environ["DO_NOT_TRACK"] = os.environ["ITERATIVE_DO_NOT_TRACK"] = "1"
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield
