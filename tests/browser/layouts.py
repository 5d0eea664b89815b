"""What keyboards type, by place: the layouts as they are engraved."""

from __future__ import annotations

from dataclasses import dataclass

#: A key that types nothing by itself: it waits for the next one.
DEAD = "◌"
#: No such key, or none that types a sign.
NONE = "□"
ROWS = (
    ["Backquote", *(f"Digit{number}" for number in "1234567890"), "Minus", "Equal"],
    [*(f"Key{letter}" for letter in "QWERTYUIOP"), "BracketLeft", "BracketRight", "Backslash"],
    [*(f"Key{letter}" for letter in "ASDFGHJKL"), "Semicolon", "Quote"],
    [*(f"Key{letter}" for letter in "ZXCVBNM"), "Comma", "Period", "Slash"],
    ["IntlBackslash", "IntlYen", "IntlRo"],
)
#: For every row of places what it types, alone and with Shift.
_ENGRAVED = {
    "US": (
        ("`1234567890-=", "~!@#$%^&*()_+"),
        ("qwertyuiop[]\\", "QWERTYUIOP{}|"),
        ("asdfghjkl;'", 'ASDFGHJKL:"'),
        ("zxcvbnm,./", "ZXCVBNM<>?"),
        ("\\□□", "|□□"),
    ),
    "French": (
        ("²&é\"'(-è_çà)=", "~1234567890°+"),
        ("azertyuiop◌$*", "AZERTYUIOP◌£µ"),
        ("qsdfghjklmù", "QSDFGHJKLM%"),
        ("wxcvbn,;:!", "WXCVBN?./§"),
        ("<□□", ">□□"),
    ),
    "German": (
        ("◌1234567890ß◌", '°!"§$%&/()=?◌'),
        ("qwertzuiopü+#", "QWERTZUIOPÜ*'"),
        ("asdfghjklöä", "ASDFGHJKLÖÄ"),
        ("yxcvbnm,.-", "YXCVBNM;:_"),
        ("<□□", ">□□"),
    ),
    "Russian": (
        ("ё1234567890-=", 'Ё!"№;%:?*()_+'),
        ("йцукенгшщзхъ\\", "ЙЦУКЕНГШЩЗХЪ/"),
        ("фывапролджэ", "ФЫВАПРОЛДЖЭ"),
        ("ячсмитьбю.", "ЯЧСМИТЬБЮ,"),
        ("/□□", "|□□"),
    ),
    "Greek": (
        ("`1234567890-=", "~!@#$%^&*()_+"),
        (";ςερτυθιοπ[]\\", ":ΣΕΡΤΥΘΙΟΠ{}|"),
        ("ασδφγηξκλ◌'", 'ΑΣΔΦΓΗΞΚΛ◌"'),
        ("ζχψωβνμ,./", "ΖΧΨΩΒΝΜ<>?"),
        ("«□□", "»□□"),
    ),
    "Hebrew": (
        (";1234567890-=", "~!@#$%^&*)(_+"),
        ("/'קראטוןםפ][\\", "QWERTYUIOP}{|"),
        ("שדגכעיחלךף,", 'ASDFGHJKL:"'),
        ("זסבהנמצתץ.", "ZXCVBNM><?"),
        ("\\□□", "|□□"),
    ),
    "Japanese": (
        ("□1234567890-^", "□!\"#$%&'()~=~"),
        ("qwertyuiop@[]", "QWERTYUIOP`{}"),
        ("asdfghjkl;:", "ASDFGHJKL+*"),
        ("zxcvbnm,./", "ZXCVBNM<>?"),
        ("□¥\\", "□|_"),
    ),
    "Japanese kana": (
        ("□ぬふあうえおやゆよわほへ", "□ぬふぁぅぇぉゃゅょをほへ"),
        ("たていすかんなにらせ゛゜む", "たてぃすかんなにらせ゛「」"),
        ("ちとしはきくまのりれけ", "ちとしはきくまのりれけ"),
        ("つさそひこみもねるめ", "っさそひこみも、。・"),
        ("□ーろ", "□ーろ"),
    ),
}


@dataclass(frozen=True)
class Press:
    """One key pressed: where it is, and what it types there."""

    code: str
    key: str
    shiftKey: bool

    @property
    def sign(self) -> str:
        """What was typed; letters are the same, large or small."""
        return "" if self.key == "Dead" else self.key.lower()

    @property
    def shown(self) -> str:
        return f"{'Shift ' if self.shiftKey else ''}{self.code if self.key == 'Dead' else self.key}"


def _presses(rows: tuple[tuple[str, str], ...]) -> list[Press]:
    return [
        Press(code, "Dead" if sign == DEAD else sign, is_shifted)
        for codes, levels in zip(ROWS, rows, strict=True)
        for is_shifted, signs in enumerate(levels)
        for code, sign in zip(codes, signs, strict=True)
        if sign != NONE
    ]


LAYOUTS = {name: _presses(rows) for name, rows in _ENGRAVED.items()}
#: Where a US keyboard has a sign: (place, with Shift).
US_PLACES = {press.key: (press.code, press.shiftKey) for press in LAYOUTS["US"] if press.code[:4] != "Intl"}
