"""A figure as evidence: a picture with alt text and a caption, that survives GitHub, untrusted notebooks and export."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

_COLOURS = 128


@dataclass(frozen=True)
class Evidence:
    """A PNG with what it shows in words.

    Attributes:
        png: the picture.
        alt: what a reader who does not see it should know: the question, the answer, the numbers.
        caption: the question it answers and what healthy and sick look like.
        width: pixels on the page.
        numbers: what was drawn, column name -> values of one length; offered as CSV on the exported page.
    """

    png: bytes = field(repr=False)
    alt: str
    caption: str = ""
    width: int = 720
    numbers: Mapping[str, Sequence] = field(default_factory=dict, repr=False, hash=False)

    def __post_init__(self) -> None:
        if len({len(values) for values in self.numbers.values()}) > 1:
            found = ", ".join(f"{name}: {len(values)}" for name, values in self.numbers.items())
            raise ValueError(f"numbers should hold columns of one length. Found {found}.")

    def _repr_html_(self) -> str:
        picture = base64.b64encode(self.png).decode("ascii")
        return (
            f'<figure><img alt="{html.escape(self.alt)}" width="{self.width}" src="data:image/png;base64,{picture}">'
            f"<figcaption>{html.escape(self.caption)}</figcaption></figure>"
        )


def new_axes(columns: int = 1, *, width: float = 7.2, height: float = 2.9) -> list[Axes]:
    """Axes in a row on a white figure without pyplot, so that nothing is shown twice and nothing stays open. Inches."""
    figure = Figure(figsize=(width, height), dpi=130, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return list(figure.subplots(1, columns, squeeze=False)[0])


def evidence(
    drawn: Axes | Figure, alt: str, caption: str = "", numbers: Mapping[str, Sequence] | None = None
) -> Evidence:
    """A figure, or that of these axes, as evidence; `numbers` is what was drawn, by column.

    Raises:
        ValueError: no alt text: a picture without words is evidence for some readers only.
    """
    if not alt.strip():
        raise ValueError("alt should say what the figure shows. Found an empty text.")
    figure = drawn.get_figure().figure  # of a part of a figure, the whole
    return Evidence(png_of(figure), alt, caption, width=round(figure.get_figwidth() * 100), numbers=numbers or {})


def own_evidence(drawn: Axes | Figure) -> Evidence:
    """A figure that somebody drew, with the words that stand in it; `evidence` takes better ones."""
    figure = drawn.get_figure().figure
    title = figure.get_suptitle()
    parts = [part for axes in figure.axes if (part := _words(axes))]
    alt = ". ".join(filter(None, [title, *parts])) or f"A figure without words, with {len(figure.axes)} axes"
    return evidence(figure, f"{alt}.", title or next((axes.get_title() for axes in figure.axes), ""))


def _words(axes: Axes) -> str:
    """Title, labels of the axes and of what is drawn."""
    named = axes.get_legend_handles_labels()[1]
    scales = [f"{name}: {text}" for name, text in (("x", axes.get_xlabel()), ("y", axes.get_ylabel())) if text]
    return "; ".join([*filter(None, [axes.get_title()]), *scales, *([f"shown: {', '.join(named)}"] if named else [])])


def png_of(figure: Figure) -> bytes:
    """The figure as a PNG of at most 128 colours: a third of the bytes, and charts have fewer colours than that."""
    buffer = io.BytesIO()
    _picture(figure).quantize(_COLOURS, dither=Image.Dither.NONE).save(buffer, format="png", optimize=True)
    return buffer.getvalue()


def _picture(figure: Figure) -> Image.Image:
    """The figure as RGB, on white where it has no ground; its canvas stays what it is."""
    if isinstance(figure.canvas, FigureCanvasAgg):
        figure.canvas.draw()
        drawn = Image.fromarray(np.asarray(figure.canvas.buffer_rgba()))
    else:  # another backend's canvas has no picture of its own
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
        drawn = Image.open(buffer)
    return Image.alpha_composite(Image.new("RGBA", drawn.size, "white"), drawn.convert("RGBA")).convert("RGB")
