"""A figure as evidence: a picture with alt text and a caption, that survives GitHub, untrusted notebooks and export."""

from __future__ import annotations

import base64
import functools
import html
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

_COLOURS = 128
_MOST = 4096  # different colours that are compared one by one


@dataclass(frozen=True)
class Evidence:
    """A PNG with what it shows in words.

    Attributes:
        png: the picture.
        alt: what a reader who does not see it should know: the question, the answer, the numbers.
        caption: the question it answers and what healthy and faulty look like.
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
        return figure_html(self.png, self.alt, html.escape(self.caption), self.width) + figure_style()


@functools.cache
def figure_style() -> str:
    """A style element: the picture as a card on light, turned to dark in a dark theme, left alone on paper.

    Where styles are dropped (GitHub, a notebook that is not trusted), the picture stands on its own white ground.
    """
    text = resources.files(__package__).joinpath("figure.css").read_text(encoding="utf-8")
    return f"<style>{re.sub(r'/[*].*?[*]/', '', text, flags=re.DOTALL).strip()}</style>"


def figure_html(png: bytes, alt: str, caption: str, width: int | None = None) -> str:
    """A figure as HTML; `caption` is HTML, already escaped. In a notebook `figure_style` belongs after it."""
    size = "" if width is None else f'width="{width}" '
    picture = base64.b64encode(png).decode("ascii")
    return (
        f'<figure><img alt="{html.escape(alt)}" class="kit-figure" {size}src="data:image/png;base64,{picture}">'
        f"<figcaption>{caption}</figcaption></figure>"
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
    figure = drawn.figure.figure  # of a part of a figure, the whole
    return Evidence(png_of(figure), alt, caption, width=round(figure.get_figwidth() * 100), numbers=numbers or {})


def own_evidence(drawn: Axes | Figure) -> Evidence:
    """A figure that somebody drew, with the words that stand in it; `evidence` takes better ones."""
    figure = drawn.figure.figure
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
    """The figure as a PNG of at most 128 colours: a third of the bytes. The commonest, lines and areas, stay as they are."""
    drawn = _picture(figure)
    pixels = np.asarray(drawn)  # [h, w, 3]
    packed = pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
    found, place, counts = np.unique(packed, return_inverse=True, return_counts=True)
    if len(found) > _MOST:  # a photograph: no colour of it is a line
        return _saved(drawn.quantize(_COLOURS, dither=Image.Dither.NONE))
    colours = np.stack([found >> 16, found >> 8 & 255, found & 255], axis=1).astype(np.int64)  # [n, 3]
    kept = colours[np.argsort(-counts)[: _COLOURS // 2]]
    between = drawn.quantize(_COLOURS // 2, method=Image.Quantize.MAXCOVERAGE).getpalette() or []
    table = np.concatenate([kept, np.reshape(between, (-1, 3))])
    nearest = np.square(colours[:, None] - table).sum(2).argmin(1).astype(np.uint8)
    picture = Image.fromarray(nearest[place].reshape(packed.shape), mode="P")
    picture.putpalette(table.astype(np.uint8).ravel().tolist())
    return _saved(picture)


def _saved(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="png", optimize=True)
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
