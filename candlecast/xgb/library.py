"""XGBoost's shared library, called directly to predict.

The `xgboost` package imports scikit-learn and pandas where they are installed, and spends several times as long around
a call for one row as the trees take. Here the package is only looked up, for the library that it carries, so a process
that predicts imports none of that (docs/decisions/0014-xgboosts-own-library.md). Functions and their JSON are those of
XGBoost's C API: https://xgboost.readthedocs.io/en/stable/dev/group__c__api.html.
"""

from __future__ import annotations

import ctypes
import importlib.util
import sys
import threading
import weakref
from collections.abc import Callable
from ctypes import POINTER, byref, c_char, c_char_p, c_float, c_int, c_uint64, c_void_p
from functools import cache, partial
from pathlib import Path

import numpy as np

from candlecast.candles import Floats
from candlecast.features import FloatMatrix

_WHOLE = b'"training":false,"iteration_begin":0,"iteration_end":0,"strict_shape":false'
_MARGINS = b'{"type":1,"missing":NaN,"cache_id":0,' + _WHOLE + b"}"
_CONTRIBUTIONS = b'{"type":2,' + _WHOLE + b"}"
_DENSE = b'{"missing":NaN,"nthread":1}'
_UBJSON = b'{"format":"ubj"}'

_Shape = POINTER(c_uint64)
_Values = POINTER(c_float)


class Booster:
    """A booster that predicts on the calling thread alone. Several threads may predict with one booster at once."""

    __slots__ = ("_handle", "columns")

    def __init__(self, raw: bytes) -> None:
        """Load what `to_bytes` or XGBoost wrote.

        Raises ValueError with XGBoost's own words for anything else, ImportError where the library is not installed.
        """
        if not raw:
            raise ValueError("there is nothing to load")  # of which XGBoost would end the process
        library = _library()
        self._handle = _Handle(partial(library.XGBoosterCreate, None, c_uint64(0)), library.XGBoosterFree)
        _require(library.XGBoosterLoadModelFromBuffer(self._handle.value, bytes(raw), c_uint64(len(raw))))
        _require(library.XGBoosterSetParam(self._handle.value, b"nthread", b"1"))
        columns = c_uint64()
        _require(library.XGBoosterGetNumFeature(self._handle.value, byref(columns)))
        self.columns = columns.value
        # The first prediction sets the booster up, which one thread may do; those that follow write nothing to it.
        self.margins(np.zeros((1, self.columns), dtype=np.float32))

    def margins(self, rows: FloatMatrix) -> Floats:
        """Return the sum of the leaves of each of one or more rows; NaN is a value that is not known."""
        rows = self._readable(rows)
        shape, dimensions, values = _Shape(), c_uint64(), _Values()
        results = byref(shape), byref(dimensions), byref(values)
        shown = _interface(rows), _MARGINS, _view()
        _require(_library().XGBoosterPredictFromDense(self._handle.value, *shown, *results))
        return _copied(values, (len(rows),))

    def contributions(self, rows: FloatMatrix) -> Floats:
        """Return what each column adds to the margins, and the margin without any: (rows, columns + 1), exact SHAP."""
        rows, library = self._readable(rows), _library()
        create = partial(library.XGDMatrixCreateFromDense, _interface(rows), _DENSE)
        matrix = _Handle(create, library.XGDMatrixFree)
        shape, dimensions, values = _Shape(), c_uint64(), _Values()
        results = byref(shape), byref(dimensions), byref(values)
        _require(library.XGBoosterPredictFromDMatrix(self._handle.value, matrix.value, _CONTRIBUTIONS, *results))
        return _copied(values, (len(rows), self.columns + 1))

    def to_bytes(self) -> bytes:
        """Return the booster in XGBoost's UBJSON."""
        length, content = c_uint64(), POINTER(c_char)()
        _require(_library().XGBoosterSaveModelToBuffer(self._handle.value, _UBJSON, byref(length), byref(content)))
        return ctypes.string_at(content, length.value)

    def _readable(self, rows: FloatMatrix) -> FloatMatrix:
        if rows.ndim != 2 or not len(rows) or rows.shape[1] != self.columns:
            raise ValueError(f"this booster reads one or more rows of {self.columns} columns, not {rows.shape}")
        return np.ascontiguousarray(rows, dtype=np.float32)


def version() -> str:
    """Return the version of the installed library; raise ImportError where there is none."""
    parts = c_int(), c_int(), c_int()
    _library().XGBoostVersion(*map(byref, parts))
    return ".".join(str(part.value) for part in parts)


class _Handle:
    """Something of XGBoost's that is freed with this object, but not when the interpreter ends and threads go on."""

    __slots__ = ("__weakref__", "value")

    def __init__(self, create: Callable[[object], int], free: Callable[[c_void_p], int]) -> None:
        self.value = c_void_p()
        _require(create(byref(self.value)))
        weakref.finalize(self, free, self.value).atexit = False


_own = threading.local()


def _view() -> c_void_p:
    """Return what this thread shows its rows in: for a new one per call, XGBoost reads the CPU limits from files."""
    if not hasattr(_own, "view"):
        _own.view = _Handle(_library().XGProxyDMatrixCreate, _library().XGDMatrixFree)
    handle: c_void_p = _own.view.value
    return handle


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(str(_path()))
    library.XGBGetLastError.restype = c_char_p
    return library


def _path() -> Path:
    spec = importlib.util.find_spec("xgboost")
    name = "libxgboost.dylib" if sys.platform == "darwin" else "libxgboost.so"
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder, "lib", name)
        if path.is_file():
            return path
    raise ImportError(f"{name} is not installed, the library of XGBoost; install candlecast with `serve` or `train`")


def _require(failed: int) -> None:
    """Raise ValueError with XGBoost's words: of `[time] file:line: words`, and of the trace below, only those."""
    if failed:
        said: bytes = _library().XGBGetLastError()
        first = said.decode(errors="replace").strip().partition("\n")[0]
        raise ValueError(first.partition("] ")[2].partition(": ")[2] or first)


def _interface(rows: FloatMatrix) -> bytes:
    """Return numpy's array interface of contiguous rows in JSON."""
    place = f'"data":[{rows.ctypes.data},true],"shape":[{rows.shape[0]},{rows.shape[1]}]'
    return f'{{{place},"typestr":"<f4","version":3}}'.encode()


def _copied(values: ctypes._Pointer[c_float], shape: tuple[int, ...]) -> Floats:
    """Return numbers that XGBoost keeps for this thread until its next prediction."""
    copy = np.empty(shape, dtype=np.float32)
    ctypes.memmove(copy.ctypes.data, values, copy.nbytes)
    return copy.astype(np.float64)
