"""What the product has set out to reach, as ratios to the plain container, and to mosec."""

from dataclasses import dataclass

from load import Cell


@dataclass(frozen=True)
class Target:
    """A ratio to reach, from above or from below."""

    sign: str
    bound: float
    text: str

    def judge(self, ratio: float) -> str:
        """The target, and whether a ratio reaches it."""
        reached = ratio >= self.bound if self.sign == "≥" else ratio <= self.bound
        return f"{self.text}: {'yes' if reached else 'no'}"


def at_least(bound: float, what: str = "") -> Target:
    """A ratio that is better the greater it is."""
    return Target("≥", bound, f"{what}≥ {bound:g}x")


def at_most(bound: float, what: str = "", text: str = "") -> Target:
    """A ratio that is better the less it is."""
    return Target("≤", bound, f"{what}≤ {text or f'{bound:g}x'}")


RATE = {
    Cell("tree", 1, 16): at_least(16, "req/s "),
    Cell("tree", 10_000, 1): at_least(2, "req/s "),
    Cell("tree", 10_000, 16): at_least(2, "req/s "),
    Cell("forest", 1, 16): at_least(50, "req/s "),
    Cell("forest", 1, 64): at_least(40, "req/s "),
}
P50 = {
    Cell("tree", 1, 1): at_most(0.14, "p50 "),
    Cell("forest", 1, 1): at_most(0.045, "p50 "),
}
MOSEC = at_least(1.15)
COLD_START = at_most(0.23)
MEMORY_GROWTH = at_most(1.35)
MEMORY = at_most(1 / 5, text="1/5")
IMAGE = at_most(1.2)
SERVING_IMAGE = at_most(0.65)
