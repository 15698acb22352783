"""Template: which module of the simulator answers which operation; moto answers those that are not here."""

from rehearsal import asynchronous, batch, hosting, registry, streaming, training, tuning, updates
from rehearsal.simulator import Handler

HANDLERS: dict[str, Handler] = {
    **training.HANDLERS,
    **hosting.HANDLERS,
    **asynchronous.HANDLERS,
    **streaming.HANDLERS,
    **batch.HANDLERS,
    **registry.HANDLERS,
    **tuning.HANDLERS,
    **updates.HANDLERS,
}
