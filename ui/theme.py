"""The colours and measures of the screen: one dictionary for Plotly, CSS properties for HTML, variables for Gradio."""

from __future__ import annotations

from typing import Final, Literal

Mode = Literal["light", "dark", "light_federal", "dark_federal"]
Palette = Literal["violet", "federal"]

FONTS: Final = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "Liberation Sans", "sans-serif")
MONO: Final = ("ui-monospace", "SFMono-Regular", "Menlo", "Liberation Mono", "monospace")

LIGHT: Final[dict[str, str]] = {
    "page": "#F6F5F2",
    "surface": "#FFFFFF",
    "sunk": "#EEECE7",
    "line": "#DDDAD3",
    "edge": "#8A8690",
    "ink": "#1C1B22",
    "ink2": "#504E59",
    "ink3": "#676470",
    "accent": "#541F93",
    "accent_hover": "#431578",
    "on_accent": "#FFFFFF",
    "accent_soft": "#F2ECF9",
    "said": "#541F93",
    "up": "#2F80C8",
    "down": "#C24A00",
    "base": "#6B6875",
    "good": "#1A6B43",
    "good_bg": "#E6F3EB",
    "warn": "#7A4B00",
    "warn_bg": "#FFF1D0",
    "bad": "#AE2418",
    "bad_bg": "#FCEBE8",
    "simulated": "#1C1B22",
    "simulated_bg": "#FFC933",
    "baseline": "#FFFFFF",
    "baseline_bg": "#3B3946",
}

DARK: Final[dict[str, str]] = {
    "page": "#131217",
    "surface": "#1C1B22",
    "sunk": "#26242D",
    "line": "#37343F",
    "edge": "#757180",
    "ink": "#F0EEF4",
    "ink2": "#BDB9C7",
    "ink3": "#A09CAC",
    "accent": "#D2BCFB",
    "accent_hover": "#E4D6FF",
    "on_accent": "#22113D",
    "accent_soft": "#2C2440",
    "said": "#D2BCFB",
    "up": "#3F8FDD",
    "down": "#F0883E",
    "base": "#A09CAC",
    "good": "#6CCB98",
    "good_bg": "#16301F",
    "warn": "#F2C14E",
    "warn_bg": "#352808",
    "bad": "#FF8F80",
    "bad_bg": "#3B1814",
    "simulated": "#1C1B22",
    "simulated_bg": "#FFC933",
    "baseline": "#1C1B22",
    "baseline_bg": "#D9D6E2",
}

# After the Brazilian government's design system: there blue is the interface, so forecasts are orange.
LIGHT_FEDERAL: Final[dict[str, str]] = {
    "page": "#F8F8F8",
    "surface": "#FFFFFF",
    "sunk": "#EDEDED",
    "line": "#CCCCCC",
    "edge": "#888888",
    "ink": "#1B1B1B",
    "ink2": "#333333",
    "ink3": "#636363",
    "accent": "#1351B4",
    "accent_hover": "#0C326F",
    "on_accent": "#FFFFFF",
    "accent_soft": "#EDF5FF",
    "said": "#AD5000",
    "up": "#2670E8",
    "down": "#071D41",
    "base": "#636363",
    "good": "#0F6B1A",
    "good_bg": "#E7F4E9",
    "warn": "#6B4A00",
    "warn_bg": "#FEF0C8",
    "bad": "#B8190A",
    "bad_bg": "#FCF0EE",
    "simulated": "#1B1B1B",
    "simulated_bg": "#FFCD07",
    "baseline": "#FFFFFF",
    "baseline_bg": "#071D41",
}

DARK_FEDERAL: Final[dict[str, str]] = {
    "page": "#071D41",
    "surface": "#0A2550",
    "sunk": "#0C326F",
    "line": "#27457E",
    "edge": "#7F99C4",
    "ink": "#FFFFFF",
    "ink2": "#C5D4EB",
    "ink3": "#ADCDFF",
    "accent": "#C5D4EB",
    "accent_hover": "#FFFFFF",
    "on_accent": "#071D41",
    "accent_soft": "#0C326F",
    "said": "#FF8C00",
    "up": "#58B4FF",
    "down": "#FFFFFF",
    "base": "#BBBBBB",
    "good": "#7BE08A",
    "good_bg": "#0B3A2A",
    "warn": "#FFCD07",
    "warn_bg": "#3A3208",
    "bad": "#FFB3A8",
    "bad_bg": "#4A1A1A",
    "simulated": "#1B1B1B",
    "simulated_bg": "#FFCD07",
    "baseline": "#071D41",
    "baseline_bg": "#FFFFFF",
}

_MODES: Final[dict[Mode, dict[str, str]]] = {
    "light": LIGHT,
    "dark": DARK,
    "light_federal": LIGHT_FEDERAL,
    "dark_federal": DARK_FEDERAL,
}

# Gradio's variable on the left, our token on the right. Each is set, with its `_dark` twin, to our CSS property, so
# that it follows colour mode and palette.
_GRADIO: Final[dict[str, str]] = {
    "body_background_fill": "page",
    "background_fill_primary": "surface",
    "block_background_fill": "surface",
    "input_background_fill": "surface",
    "input_background_fill_focus": "surface",
    "background_fill_secondary": "sunk",
    "body_text_color": "ink",
    "block_title_text_color": "ink2",
    "body_text_color_subdued": "ink2",
    "block_label_text_color": "ink2",
    "block_info_text_color": "ink2",
    "input_placeholder_color": "ink3",
    "border_color_primary": "line",
    "block_border_color": "line",
    "input_border_color": "edge",
    "checkbox_border_color": "edge",
    "checkbox_background_color": "surface",
    "input_border_color_focus": "accent",
    "border_color_accent": "accent",
    "link_text_color": "accent",
    "link_text_color_hover": "accent",
    "link_text_color_active": "accent",
    "link_text_color_visited": "accent",
    "loader_color": "accent",
    "checkbox_background_color_selected": "accent",
    "checkbox_border_color_selected": "accent",
    "button_primary_background_fill": "accent",
    "button_primary_border_color": "accent",
    "button_primary_background_fill_hover": "accent_hover",
    "button_primary_border_color_hover": "accent_hover",
    "button_primary_text_color": "on_accent",
    "button_primary_text_color_hover": "on_accent",
    "button_secondary_background_fill": "surface",
    "button_secondary_background_fill_hover": "sunk",
    "button_secondary_border_color": "edge",
    "button_secondary_border_color_hover": "edge",
    "button_secondary_text_color": "ink",
    "button_secondary_text_color_hover": "ink",
    "checkbox_label_background_fill": "surface",
    "checkbox_label_background_fill_hover": "sunk",
    "checkbox_label_background_fill_selected": "accent_soft",
    "color_accent_soft": "accent_soft",
    "checkbox_label_border_color": "surface",
    "checkbox_label_border_color_hover": "surface",
    "checkbox_label_border_color_selected": "accent",
    "checkbox_label_text_color": "ink2",
    "checkbox_label_text_color_selected": "accent",
    "error_background_fill": "bad_bg",
    "error_text_color": "bad",
    "error_border_color": "bad",
}

_PLAIN: Final[dict[str, str]] = {
    "color_accent": "var(--cc-accent)",
    "block_radius": "10px",
    "input_radius": "6px",
    "button_medium_radius": "6px",
    "button_small_radius": "6px",
    "layout_gap": "16px",
    "block_padding": "0px",
    "body_text_size": "14px",
    "block_border_width": "0px",
    "checkbox_shadow": "none",
    "input_border_width": "1px",
    "button_border_width": "1px",
    "button_large_text_size": "14px",
    "button_large_text_weight": "500",
    "button_medium_text_size": "14px",
    "button_medium_text_weight": "500",
    "checkbox_label_shadow": "none",
    "button_transform_hover": "none",
    "button_transform_active": "none",
}

_SHADOWED: Final = ("block", "button_primary", "button_secondary", "input")


def mode_of(palette: Palette, *, dark: bool) -> Mode:
    """Return the colour mode that a palette has by day or by night."""
    if palette == "federal":
        return "dark_federal" if dark else "light_federal"
    return "dark" if dark else "light"


def tokens(mode: Mode) -> dict[str, str]:
    """Return the colours of a mode by name."""
    return _MODES[mode]


def css_properties() -> str:
    """Return the tokens as CSS custom properties: the palette is a class of the root, `.dark` one of the body."""
    return (
        f":root{{{_properties(LIGHT)}}}\n.dark{{{_properties(DARK)}}}\n"
        f":root.federal{{{_properties(LIGHT_FEDERAL)}}}\n.federal .dark{{{_properties(DARK_FEDERAL)}}}\n"
    )


def gradio_variables() -> dict[str, str]:
    """Return the variables for `gr.themes.Base().set`."""
    ours = {name: f"var(--cc-{token.replace('_', '-')})" for name, token in _GRADIO.items()}
    twins = {f"{name}_dark": value for name, value in ours.items()}
    shadows = {f"{part}_shadow{twin}": "none" for part in _SHADOWED for twin in ("", "_dark")}
    return ours | twins | shadows | _PLAIN


def faded(colour: str, share: float) -> str:
    """Return `#RRGGBB` as an rgba() colour with this opacity."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{share})"


def _properties(colours: dict[str, str]) -> str:
    return "".join(f"--cc-{name.replace('_', '-')}:{colour};" for name, colour in colours.items())
