"""Values to one HTML document; the templates escape all that comes from files."""

import base64
import json
import pkgutil
import secrets
from functools import cache
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from reach_rl.config.problems import show
from reach_rl.monitoring.terminal import clock
from reach_rl.rundir.status import now
from reach_rl.viz.report.plotting import PALETTE
from reach_rl.viz.report.subject import at, number


def render(template: str, **page: Any) -> str:  # noqa: ANN401  what the template names
    """A page that needs no other file and no network.

    Args:
        template: of those in templates/ that extend page.html.
        page: kicker, title, state, and what the template asks for.
    """
    text = (
        _environment()
        .get_template(template)
        .render(
            page,
            index=[],
            palette=PALETTE,
            nonce=secrets.token_urlsafe(16),
            plotly=_plotly(),
            made=now()[:16].replace("T", " "),
        )
    )
    return text.encode("utf-8", "replace").decode("utf-8")


def _plotly() -> Markup:
    """Plotly's script, without the import of the package, which takes longer than a page."""
    script = pkgutil.get_data("plotly", "package_data/plotly.min.js") or b""
    return Markup(script.decode("utf-8").replace("</script", "<\\/script"))


def data(tree: Any) -> Markup:  # noqa: ANN401  what Plotly takes: plain values and arrays
    """JSON that cannot end the element around it; what is not finite becomes null."""
    return htmlsafe_json_dumps(tree, dumps=_written)


def _written(tree: Any) -> str:  # noqa: ANN401
    text = json.dumps(tree, default=_array, separators=(",", ":"))
    if "NaN" in text or "Infinity" in text:
        text = json.dumps(json.loads(text, parse_constant=lambda _: None))
    return text


def _array(values: Any) -> Any:  # noqa: ANN401
    """Floats as Plotly's typed arrays, which are short and know gaps; else a list or a number."""
    if not isinstance(values, np.ndarray) or values.dtype.kind != "f":
        return values.tolist()
    packed = base64.b64encode(values.tobytes()).decode()
    return {"dtype": f"f{values.itemsize}", "bdata": packed}


def shown(value: float | None, unit: str) -> str:
    """A figure with its unit; shares in per cent."""
    if value is None:
        return "-"
    return f"{100 * value:.1f} %" if unit == "%" else f"{plain(value)} {unit}".strip()


def interval(low: object, high: object, unit: str) -> str:
    """The ends of an interval in words; nothing where they are not known."""
    if not isinstance(low, (int, float)) or not isinstance(high, (int, float)):
        return ""
    return f"{shown(low, unit).removesuffix(unit).strip()} to {shown(high, unit)}"


def plain(value: float) -> str:
    """Three significant digits and more, without an exponent for what is large."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def slug(text: str) -> str:
    """A text that may stand in an attribute."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in text.lower())


@cache
def _environment() -> Environment:
    loader = PackageLoader("reach_rl.viz.report")
    found = Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=StrictUndefined,
    )  # fmt: skip
    found.filters |= {"data": data, "in_words": show}
    found.filters |= {f.__name__: f for f in (clock, plain, shown, slug)}
    found.globals |= {"at": at, "interval": interval, "number": number}
    found.globals["asset"] = lambda name: Markup(loader.get_source(found, name)[0])
    return found
