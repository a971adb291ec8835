"""From a finished mask under a hidden name to one that the ledger knows."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from unet_med._files import publish
from unet_med.batch.destination import sidecar_path
from unet_med.batch.ledger import Entry, Ledger, Status
from unet_med.batch.maps import replace_maps
from unet_med.batch.report import Outcome
from unet_med.batch.sidecar import write_sidecar
from unet_med.batch.task import refuse_changed_mask

if TYPE_CHECKING:
    from unet_med.batch.making import Product
    from unet_med.batch.task import Task


def commit(task: Task, product: Product, *, output: str, ledger: Ledger) -> Outcome:
    """Give a mask its name, write its sidecar and the ledger, in the order `ledger` explains.

    Args:
        task: The case.
        product: Its mask.
        output: The ledger's key of the mask.
        ledger: Written by this process alone.

    Returns:
        The case, done.

    Raises:
        OutputError: Something could not be written, or the mask was changed meanwhile.
    """
    entry = Entry(
        task.case.key,
        output,
        Status.WRITING,
        fingerprint=product.work.fingerprint,
        digest=product.digest,
    )
    try:
        refuse_changed_mask(task, product.work)
        ledger.append(entry)
        replace_maps(task.mask, product.maps)  # no older map may lie beside the new mask
        publish(product.partial, task.mask)
    finally:
        for partial in (product.partial, *product.maps.values()):
            with suppress(OSError):
                partial.unlink()
    write_sidecar(sidecar_path(task.mask), product.sidecar)
    rounded = {stage: round(value, 4) for stage, value in product.seconds.items()}
    done = entry.turned(Status.DONE, seconds=rounded, host=product.host, cpu=product.cpu)
    ledger.append(done)
    return Outcome(
        task.case,
        Status.DONE,
        task.mask,
        seconds=dict(product.seconds),
        volumes_ml=product.volumes_ml,
        warnings=product.warnings,
    )
