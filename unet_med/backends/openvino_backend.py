"""The CPU backend: OpenVINO, on the model that ``unet-med export`` made.

The one place that imports OpenVINO and NNCF, with their telemetry off.
"""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from unet_med._files import sha256_file
from unet_med._optional import import_optional
from unet_med.backends.hardware import bf16_is_faster, int8_is_faster
from unet_med.backends.precision_report import ADVICE, verified_model
from unet_med.errors import BundleError, InputError, MissingExtraError, WeightsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from unet_med.backends.predictor import Execution
    from unet_med.recipe import Recipe


def is_installed() -> bool:
    """Tell whether OpenVINO can be imported, without importing it."""
    return importlib.util.find_spec("openvino") is not None


def load_openvino() -> Any:  # noqa: ANN401 - the package has no type information
    """Import OpenVINO.

    Raises:
        MissingExtraError: It is not installed, or does not load on this machine.
    """
    _switch_telemetry_off()
    try:
        import openvino
    except ImportError as exc:
        msg = (
            f"backend openvino cannot be used ({' '.join(str(exc).split())}): "
            "run pip install openvino, or use --backend torch"
        )
        raise MissingExtraError(msg) from exc
    return openvino


@cache
def openvino_core() -> Any:  # noqa: ANN401 - the package has no type information
    """Return the one ``openvino.Core`` of this process.

    It is never given up: the CPU plug-in installs an alternate signal stack when it compiles a
    model and frees it with the core, so that a signal to a thread that still points there
    (Ctrl-C, SIGTERM) would crash the process instead of stopping it (seen with 2026.4).
    """
    return load_openvino().Core()


def load_nncf() -> Any:  # noqa: ANN401 - the package is loaded by name
    """Import NNCF, which quantizes.

    Raises:
        MissingExtraError: It is not installed.
    """
    _switch_telemetry_off()
    return import_optional("nncf", extra="quantize")


def _switch_telemetry_off() -> None:
    """Hide the telemetry package, so that both fall back to a stub that does nothing.

    Otherwise the import alone looks up an analytics host and writes an id into the home folder.
    """
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # how Python hides one


PRECISIONS: Final = {"fp32": True, "bf16": bf16_is_faster(), "int8": int8_is_faster()}
"""Precisions this backend has, and whether this processor is faster in them than in fp32."""


_HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}
"""Inference precision of each. What int8 leaves in floating point stays float32, measured to
take no longer than bf16 does there."""


class OpenVINOPredictor:
    """Runs an exported model over batches of slices on the CPU.

    Logits do not depend on the batch or on the number of threads, as long as the model has
    dynamic axes and the precision is stated. A batch with a slice or more for every thread is cut
    into as many parts, each run by one thread; with fewer slices all threads share each. Compiling
    takes 0.1 to 0.3 s; OpenVINO's cache of compiled models would save half of it and cost as much
    disk as the weights per setting, so it is not used. Calls from several threads wait for each
    other.
    """

    def __init__(self, model: Path | Any, *, precision: str = "fp32", threads: int) -> None:  # noqa: ANN401 - an openvino.Model
        """Compile a model.

        Args:
            model: Path of the ``.xml``, or a model in memory; axes N, H and W dynamic.
            precision: ``fp32``, ``bf16`` or ``int8``.
            threads: CPU threads of the network, at least 1.

        Raises:
            BundleError: OpenVINO cannot read or compile the model.
            InputError: This processor cannot run the precision.
        """
        self._model = model
        self._precision: Final = precision
        self._threads: Final = threads
        self._lock: Final = Lock()
        self._mismatches = 0
        self._used = False
        compiled = self._compile(streams=threads)
        self.input_shape: Final = compiled.input(0).partial_shape
        self.output_shape: Final = compiled.output(0).partial_shape

    def __call__(self, slices: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Return logits (N, K, H, W) float32 of slices (N, C, H, W) float32.

        The logits are the caller's own: later calls do not touch them.
        """
        with self._lock:
            result = self._submit(slices)
            if result is None:
                (request,) = self._requests()
                # Copies in and out: neither side sees the other's memory.
                logits = request.infer({0: slices}, share_inputs=False, share_outputs=False)[0]
                self._idle.append((request,))
                return np.asarray(logits, np.float32)
        return result()

    def submit(self, slices: NDArray[np.float32], /) -> Callable[[], NDArray[np.float32]] | None:
        """Submit a call, unless all threads are to share each slice: then return None.

        Returns:
            What waits for the logits and returns them, as the call does; to be called once.
        """
        with self._lock:
            return self._submit(slices)

    def _submit(self, slices: NDArray[np.float32]) -> Callable[[], NDArray[np.float32]] | None:
        self._choose_streams(len(slices))
        if self._streams == 1:
            return None
        compiled, requests = self._compiled, self._requests()
        parts = np.array_split(slices, min(self._streams, len(slices)))
        used = requests[: len(parts)]
        for request, part in zip(used, parts, strict=True):
            request.start_async({0: part}, share_inputs=False)

        def result() -> NDArray[np.float32]:
            _wait_for(used)
            outputs = [request.get_output_tensor(0).data for request in used]
            logits = np.concatenate(outputs).astype(np.float32, copy=False)
            with self._lock:
                if compiled is self._compiled:
                    self._idle.append(requests)
            return logits

        return result

    def _requests(self) -> tuple[Any, ...]:
        """Take one request per lane that nobody uses."""
        if self._idle:
            return self._idle.pop()
        return tuple(self._compiled.create_infer_request() for _ in range(self._streams))

    def _choose_streams(self, n_slices: int) -> None:
        """Compile anew when batches have become too small, or large enough, for a part a thread.

        The last batch of a scan is often small, so two in a row are needed, but for the first.
        """
        streams = self._threads if n_slices >= self._threads else 1
        self._mismatches = self._mismatches + 1 if streams != self._streams else 0
        if self._mismatches > (1 if self._used else 0):
            self._mismatches = 0
            self._compile(streams=streams)
        self._used = True

    def _compile(self, *, streams: int) -> Any:  # noqa: ANN401 - an openvino.CompiledModel
        """Compile for so many parts at once, and forget what was compiled before."""
        openvino = load_openvino()
        self._compiled: Any = None
        self._streams, self._idle = streams, list[tuple[Any, ...]]()
        settings = {
            "INFERENCE_PRECISION_HINT": _HINTS[self._precision],
            "INFERENCE_NUM_THREADS": self._threads,
            "ENABLE_CPU_PINNING": False,  # pinned, two processes would share the same cores
            **({"PERFORMANCE_HINT": "LATENCY"} if streams == 1 else {"NUM_STREAMS": streams}),
        }
        try:
            if isinstance(self._model, Path):  # once: what is compiled later is the same file's
                self._model = openvino_core().read_model(self._model)
            compiled = openvino_core().compile_model(self._model, "CPU", settings)
        except RuntimeError as exc:
            reason = " ".join(str(exc).split())[-200:]
            msg = f"OpenVINO cannot use the exported model ({reason}); {ADVICE}"
            raise BundleError(msg) from exc
        if self._precision == "bf16":  # without the instructions it would quietly use float32
            _check_bf16(compiled, openvino)
        self._compiled = compiled
        return compiled


def resolve_device(device: str) -> str:
    """Return ``cpu`` for ``auto`` or ``cpu``.

    Raises:
        InputError: Another device was asked for.
    """
    if device not in {"auto", "cpu"}:
        msg = f"backend openvino runs on the cpu, not on {device!r}: use --backend torch"
        raise InputError(msg)
    return "cpu"


def open_predictor(recipe: Recipe, weights: Path, execution: Execution) -> OpenVINOPredictor:
    """Compile the model exported from the bundle's weights.

    Raises:
        BundleError: There is no export that fits the weights and the recipe.
        WeightsError: The weights are not those that the recipe names.
    """
    if recipe.weights_sha256 and recipe.weights_sha256 != sha256_file(weights):
        msg = f"{weights} is not the file its recipe names: restore it, or update recipe.json"
        raise WeightsError(msg)
    model = verified_model(weights, execution.precision)
    predictor = OpenVINOPredictor(model, precision=execution.precision, threads=execution.threads)
    found = predictor.input_shape, predictor.output_shape
    dynamic = all(shape[axis].is_dynamic for shape in found for axis in (0, 2, 3))
    channels = tuple(shape[1].get_length() for shape in found if shape[1].is_static)
    if not dynamic or channels != (recipe.network.in_channels, recipe.network.out_channels):
        msg = f"{model} does not fit the recipe: it maps {found[0]} to {found[1]}; {ADVICE}"
        raise BundleError(msg)
    return predictor


def _check_bf16(compiled: Any, openvino: Any) -> None:  # noqa: ANN401 - untyped package
    if compiled.get_property("INFERENCE_PRECISION_HINT") != openvino.Type.bf16:
        msg = "this processor has no bfloat16 instructions: use --precision fp32"
        raise InputError(msg)


def _wait_for(requests: Sequence[Any]) -> None:
    """Wait for all, also when one fails: none may be left running."""
    failures = []
    for request in requests:
        try:
            request.wait()
        except RuntimeError as exc:
            failures.append(exc)
    if failures:
        raise failures[0]
