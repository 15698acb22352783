"""Template: which module of the simulator answers which operation; moto answers those that are not here."""

from rehearsal import hosting, training, updates
from rehearsal.simulator import Handler

HANDLERS: dict[str, Handler] = {**training.HANDLERS, **hosting.HANDLERS, **updates.HANDLERS}
