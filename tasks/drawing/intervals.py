"""What captions and the report say of intervals: of which kind they are, over what, and if of too little."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tasks.settings.phases import Figures

FEW = 20  # groups; intervals from fewer hold less than they say


def few(groups: int) -> str:
    """The sentence that warns of intervals over so few groups, with a blank before it; "" for enough."""
    return " So few make intervals too narrow." if groups < FEW else ""


def note(config: Figures, summary: dict[str, Any], what: str = "Shaded") -> str:
    """The sentences that say what is shaded, or stands in brackets, of a split of phase `interventions`."""
    groups = summary["groups"]
    if groups < 2:
        return f"All prompts are one of the {summary['resampled']}, so there are no intervals."
    return (
        f"{what}: {config.confidence:.0%} bootstrap intervals over {groups} {summary['resampled']}, "
        f"{config.bootstrap:,} draws.{few(groups)}"
    )
