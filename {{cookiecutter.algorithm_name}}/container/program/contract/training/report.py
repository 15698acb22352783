"""Template: ``report.html``, which shows the results of a job: one file, without scripts."""

import base64
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from contract.errors import UserError
from contract.training.evaluation import POINTS, span

ROLE = re.compile(r"(train|training|val|valid|validation|test|eval)[_:/.-](.+)")
MAX_MB = 5  # of an image
BEGINNINGS = {"png": rb"\x89PNG\r\n", "jpeg": rb"\xff\xd8\xff", "gif": rb"GIF8", "webp": rb"RIFF.{4}WEBP"}
BEGINNINGS["svg+xml"] = rb"\W*(<[?!][^>]*>[\s\]>]*)*<svg\b"


class Chart:
    """A square of 1000 by 1000 with round numbers at its edges, which the page stretches to fit."""

    def __init__(self, x: Iterable[float], y: Iterable[float]) -> None:
        self.x, self.y = ticks(x), ticks(y)

    def at(self, x: float, y: float) -> str:
        """A point in the ``d`` of an SVG path, where y grows downwards."""
        return f"{10 * share(self.x, x):.1f} {1000 - 10 * share(self.y, y):.1f}"

    def line(self, values: Sequence[tuple[float, float]]) -> str:
        """A path through the points, with a gap for each that is not a finite number."""
        path, pen = "", "M"
        for x, y in values:
            path += f"{pen}{self.at(x, y)}{'h0' * (pen == 'M')}" if math.isfinite(y) else ""
            pen = "L" if math.isfinite(y) else "M"
        return path

    def bars(self, edges: Sequence[float], heights: Sequence[float]) -> str:
        """The outline of bars that stand on the x axis."""
        corners = zip(edges, edges[1:], heights, strict=False)
        return "".join(
            f"M{self.at(left, 0)}L{self.at(left, top)}L{self.at(right, top)}L{self.at(right, 0)}Z"
            for left, right, top in corners
        )


def ticks(values: Iterable[float]) -> list[float]:
    """About five round numbers around the finite ``values``; whole numbers if these are."""
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = span(min(finite), max(finite))
    least = max((high - low) / 5, all(isinstance(value, int) for value in finite))
    power = 10.0 ** math.floor(math.log10(least))
    step = next(step for step in (power, 2 * power, 5 * power, 10 * power) if step >= least)
    first = math.floor(low / step)
    return [number * step for number in range(first, math.ceil(high / step) + 1)]


def share(axis: Sequence[float], value: float) -> float:
    """The place of a value on an axis, in percent."""
    return 100 * (value - axis[0]) / (axis[-1] - axis[0])


def curves(metrics: Mapping[str, Sequence[float]]) -> dict[str, dict[str, Any]]:
    """A chart for each metric logged more than once; ``training_loss`` and ``validation_loss`` share one."""
    groups: dict[str, dict[str, Sequence[float]]] = {}
    for name, values in metrics.items():
        if len(values) > 1:
            role = ROLE.fullmatch(name)
            groups.setdefault(role[2] if role else name, {})[name] = values
    charts = {}
    for title, lines in groups.items():
        longest, everything = max(map(len, lines.values())), [value for values in lines.values() for value in values]
        chart, one_in = Chart([1, longest], everything), math.ceil(longest / POINTS)
        points = {name: list(enumerate(values, 1))[::one_in] for name, values in lines.items()}
        left_out = sum(not math.isfinite(value) for value in everything)
        charts[title] = {"chart": chart, "points": points, "one_in": one_in, "left_out": left_out}
    return charts


def confusions(found: Mapping[str, Any]) -> list[tuple[str, str, int]]:
    """The pairs of classes that were confused, the most frequent first."""
    cells = ((actual, guess, rows) for actual, row in found["confusion"].items() for guess, rows in row.items())
    return sorted((cell for cell in cells if cell[0] != cell[1]), key=lambda cell: (-cell[2], cell))


def number(value: float | None) -> str:
    """A number to read: six digits if it has a fraction, thousands separated by commas if not."""
    if value is None:
        return "none"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


def data_uri(name: str, figure: Any) -> str:
    """An image as a data URI. Raises ``UserError`` if it is not an image, or is too large."""
    if hasattr(figure, "savefig"):
        file = io.BytesIO()
        figure.savefig(file, format="png")
        image = file.getvalue()
    elif isinstance(figure, str | Path):
        try:
            image = Path(figure).read_bytes()
        except (OSError, ValueError) as error:
            raise UserError(f"log_figure() cannot read '{figure}': {getattr(error, 'strerror', error)}.") from error
    else:
        raise UserError(f"log_figure() got {type(figure).__name__} for '{name}': give a figure or an image's path.")
    if len(image) > MAX_MB * 10**6:
        raise UserError(f"log_figure() got {len(image) / 1e6:,.1f} MB for '{name}': give at most {MAX_MB} MB.")
    for kind, beginning in BEGINNINGS.items():
        if re.match(beginning, image, re.DOTALL):
            return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"
    raise UserError(f"log_figure() got no image for '{name}': give a PNG, JPEG, SVG, GIF or WebP file.")


def page(about: Mapping[str, Any], metrics: Mapping[str, Sequence[float]], logged: Mapping[str, Any]) -> str:
    """The page. All text in it is escaped, since names come from the data."""
    import jinja2  # Flask installs it; nothing needs it before the end of training

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": number, "confusions": confusions}
    environment.globals |= {"Chart": Chart, "share": share, "zip": zip}
    environment.tests["finite"] = math.isfinite
    template = environment.from_string(Path(__file__).with_name("report.html").read_text(encoding="utf-8"))
    return template.render(about=about, metrics=metrics, curves=curves(metrics), **logged)
