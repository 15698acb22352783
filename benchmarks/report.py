"""The measurements as Markdown."""

import platform
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import engine
import targets
from images import Images, versions
from load import Cell, Measured, Sample, Samples, ratios, spread
from rivals import MOSEC, WITHOUT_NGINX

MB = 1e6
LOAD_NOTE = """
Medians [least..greatest] of the repeats; a ratio is the product's figure over the baseline's of the same repeat. Each
container has one worker for each CPU. One is loaded at a time, in turn; the others are up and idle. A limit stands in
the product's columns, beside the baseline's figures for the first model's single rows.
"""
Times = dict[str, dict[str, list[float]]]
Memory = dict[str, dict[int, list[float]]]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all but the first column are numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def number(value: float) -> str:
    """With about three digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.3f}" if value < 1 else f"{value:.2f}"


def spread_of(values: list[float], unit: str = "") -> str:
    """Median and range."""
    middle, least, greatest = spread(values)
    return f"{number(middle)}{unit} [{number(least)}..{number(greatest)}]"


def latency(samples: list[Sample]) -> str:
    """Medians of the 50th and the 99th percentile."""
    return f"{number(median(s.p50 for s in samples))} / {number(median(s.p99 for s in samples))}"


def machine(images: Images) -> str:
    """Where and with what was measured."""
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.partition(":")[2].strip() for line in cpuinfo if line.startswith("model name")]
    kilobytes = int(Path("/proc/meminfo").read_text(encoding="utf-8").split()[1])
    docker = engine.docker("version", "--format", "{{.Server.Version}}")
    # wrk fails when it shows its version.
    wrk = engine.output("sh", "-c", "wrk --version | head -n 1").split()[1].rpartition("/")[2]
    return (
        f"{len(models)} x {models[0] if models else platform.machine()}, {kilobytes / 2**20:.1f} GiB, Linux"
        f" {platform.release()}; Docker {docker}, wrk {wrk}. In the product's image: {versions(images.product)}."
        f" In the baseline's: {versions(images.baseline)}.\n"
    )


def load_table(measured: Measured) -> str:
    """The product beside the plain container, one kind of load a row, and below it what limits both."""
    header = ["load", "baseline req/s", "product req/s", "ratio", "baseline p50 / p99 ms", "product p50 / p99 ms"]
    header += ["p50 ratio", "errors", "to reach"]
    rows = [compared(str(cell), cell, samples, "product") for cell, samples in measured.items()]
    for cell, samples in measured.items():
        limits = [name for name in samples if name not in ("baseline", "product")]
        rows += [compared(f"limit: {name}, c={cell.connections}", None, samples, name) for name in limits]
    return table(header, rows) + LOAD_NOTE


def compared(title: str, cell: Cell | None, samples: Samples, name: str) -> list[str]:
    """A row of the table: one server beside the plain container."""
    baseline, product = samples["baseline"], samples[name]
    rate = ratios([s.rate for s in product], [s.rate for s in baseline])
    p50 = ratios([s.p50 for s in product], [s.p50 for s in baseline])
    wanted = [(targets.RATE.get(cell), rate), (targets.P50.get(cell), p50)] if cell else []
    reach = [target.judge(median(ratio)) for target, ratio in wanted if target and ratio]
    return [
        title,
        spread_of([s.rate for s in baseline]),
        spread_of([s.rate for s in product]),
        spread_of(rate, "x"),
        latency(baseline),
        latency(product),
        spread_of(p50, "x"),
        str(errors(baseline) + errors(product)),
        ", ".join(reach),
    ]


def failures(measured: Measured) -> int:
    """Of all containers under all kinds of load."""
    return sum(errors(samples) for of in measured.values() for samples in of.values())


def errors(samples: list[Sample]) -> int:
    """Of all repeats."""
    return sum(sample.errors for sample in samples)


def cold_start_table(seconds: Times) -> str:
    """Start to first answer, with and without what Docker itself takes."""
    less = {name: [s - t for s, t in zip(of["serve"], of["true"], strict=True)] for name, of in seconds.items()}
    both = {name: of["serve"] for name, of in seconds.items()}
    return table(
        ["cold start", "baseline s", "product s", "ratio", "to reach"],
        [
            side_by_side("first 200, less `docker run true`", less, targets.COLD_START),
            side_by_side("first 200 after `docker run serve`", both),
            side_by_side("`docker run true`", {name: of["true"] for name, of in seconds.items()}),
        ],
    )


def side_by_side(title: str, values: dict[str, list[float]], target: targets.Target | None = None) -> list[str]:
    """A row with both containers' figures and their ratio."""
    ratio = ratios(values["product"], values["baseline"])
    judged = target.judge(median(ratio)) if target else ""
    return [title, spread_of(values["baseline"]), spread_of(values["product"]), spread_of(ratio, "x"), judged]


def memory_table(held: Memory) -> str:
    """Memory for each number of workers, and how it grows with them."""
    few, many = min(held["product"]), max(held["product"])
    rows = []
    for count in sorted(held["product"]):
        values = {name: of[count] for name, of in held.items()}
        rows.append(side_by_side(f"{count} workers", values, targets.MEMORY if count == many else None))
    growth = {name: ratios(of[many], of[few]) for name, of in held.items()}
    judged = targets.MEMORY_GROWTH.judge(median(growth["product"]))
    rows.append([f"{many} to {few}", spread_of(growth["baseline"], "x"), spread_of(growth["product"], "x"), "", judged])
    return table(["memory (PSS)", "baseline MiB", "product MiB", "ratio", "to reach"], rows)


def size_table(sizes: dict[str, int]) -> str:
    """Each image beside the plain one and beside the base."""
    wanted = {"product": targets.IMAGE, "serving": targets.SERVING_IMAGE}
    rows = []
    for name, size in sizes.items():
        ratio = size / sizes["baseline"]
        judged = wanted[name].judge(ratio) if name in wanted else ""
        rows.append([name, number(size / MB), f"{ratio:.2f}x", f"{size / sizes['base']:.2f}x", judged])
    if "serving" not in sizes:
        rows.append(["serving", "-", "-", "-", f"{targets.SERVING_IMAGE.text}: there is no such stage"])
    return table(["image", "MB", "to baseline", "to base", "to reach"], rows)


def server_table(measured: Measured, failed: list[str]) -> str:
    """Each server's answers a second, with the ratio to the plain container in the same repeat; at the end to mosec."""
    names = list(dict.fromkeys(name for samples in measured.values() for name in samples))
    rows = [[name, *[server_cell(samples, name) for samples in measured.values()]] for name in names]
    rows += [[name, *["did not start"] * len(measured)] for name in failed]
    for name in ("product", WITHOUT_NGINX):
        target = targets.MOSEC if name == "product" else None
        rows.append([f"{name} / {MOSEC}", *[to_mosec(samples, name, target) for samples in measured.values()]])
    return table(["server, req/s", *[str(cell) for cell in measured]], rows)


def server_cell(samples: Samples, name: str) -> str:
    """One server under one kind of load."""
    rate = ratios([s.rate for s in samples[name]], [s.rate for s in samples["baseline"]])
    text = f"{number(median(s.rate for s in samples[name]))} ({number(median(rate))}x)" if rate else "0"
    count = errors(samples[name])
    return f"{text}, {count} errors" if count else text


def to_mosec(samples: Samples, name: str, target: targets.Target | None) -> str:
    """One server's ratio to mosec, in the batch size that is the faster under this load."""
    variants = [[s.rate for s in of] for server, of in samples.items() if server.startswith(MOSEC)]
    if not variants or name not in samples:
        return "-"
    ratio = ratios([s.rate for s in samples[name]], max(variants, key=median))
    return spread_of(ratio, "x") + (f", {target.judge(median(ratio))}" if target else "")
