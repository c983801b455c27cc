"""Templates: both forms say the same, values are escaped, what is missing is an error, and files stand in for ours."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from jinja2 import TemplateError, UndefinedError
from jinja2.exceptions import SecurityError

from backstay.mail.language import Language, Languages
from backstay.mail.templates import Templates
from backstay.mail.values import HOUSE, MailLine, MailOrder, plain_values
from backstay.model.value import Money

LETTERS = Path(__file__).parent.parent.parent / "src" / "backstay" / "mail" / "letters"
EVIL = "<script>alert(1)</script>\"'& {{ 7 * 7 }} {% raw %}"
LINE = MailLine("Green tea", 2, Money(123_450, "EUR"), "100 g")
ORDER = MailOrder(
    number="1001", placed_at=datetime(2030, 1, 2, 23, 30, tzinfo=UTC), lines=(LINE,), total=Money(122_950, "EUR"),
    subtotal=Money(123_450, "EUR"), discount=Money(1_000, "EUR"), shipping=Money(500, "EUR"), tax=Money(19_630, "EUR"),
    address=("Ada Lovelace", "12 Tea Street", "London"),
)  # fmt: skip
TOLD: dict[str, dict[str, Any]] = {
    "receipt": {"order": ORDER, "link": "https://tea.example.com/orders/1?a=1&b=2"},
    "order_link": {"number": "1001", "link": "https://tea.example.com/orders/1", "hours": 48},
    "refund": {"number": "1001", "amount": Money(500, "EUR"), "whole": False, "lines": (LINE,)},
    "shipped": {
        "number": "1001", "lines": (LINE,), "carrier": "DHL", "tracking_number": "JJD01", "tracking_link": "https://dhl.example/1",
    },
    "low_stock": {"name": "Green tea", "available": 3, "sku": "T-1", "link": "https://tea.example.com/admin"},
    "account_knock": {"link": "https://tea.example.com/login"},
    "welcome": {"link": "https://tea.example.com/login"},
}  # fmt: skip


def templates(folder: Path | None = None, **how: Any) -> Templates:
    return Templates(folder, Languages(folder), name="Tea & Co", home="https://tea.example.com", **how)


def seen(html: str) -> str:
    """What a person reads of a page."""

    class Words(HTMLParser):
        skipping = 0

        def __init__(self) -> None:
            super().__init__()
            self.said: list[str] = []

        def handle_starttag(self, tag: str, attrs: Any) -> None:
            self.skipping += tag in ("style", "title", "script")

        def handle_endtag(self, tag: str) -> None:
            self.skipping -= tag in ("style", "title", "script")

        def handle_data(self, data: str) -> None:
            if not self.skipping:
                self.said.append(data)

    words = Words()
    words.feed(html)
    return " ".join(" ".join(words.said).split())


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("mail", HOUSE)
def test_both_forms_of_every_mail_of_the_house_say_the_same(mail: str, language: str) -> None:
    letter = templates().render(mail, language, plain_values(mail, TOLD[mail]))
    assert letter.subject
    assert "%(" not in letter.subject + letter.text + letter.html
    links = re.findall(r'href="([^"]+)"', letter.html)
    assert all(link.replace("&amp;", "&") in letter.text for link in links)
    # Word for word, but for the addresses behind buttons, lines under headings and the mark before a signature.
    plain = re.sub(r"^(-+|--|https://\S+)$", "", letter.text, flags=re.MULTILINE).replace(":\n", "\n")
    read = seen(letter.html).removeprefix("Tea & Co ").removesuffix(" tea.example.com")
    said = " ".join(plain.split()).removesuffix(" Tea & Co")
    assert sorted(read.replace(":", "").split()) == sorted(said.replace(":", "").split())


def test_a_receipt_in_english() -> None:
    letter = templates().render("receipt", "en", plain_values("receipt", TOLD["receipt"]))
    assert letter.subject == "Your order 1001"
    assert letter.text == (
        "Thank you for your order\n\n"
        "We have received your payment. This is your receipt for order 1001 of 2\nJanuary 2030.\n\n"
        "2 × Green tea                                                  €1,234.50\n"
        "  100 g\n"
        "Subtotal                                                       €1,234.50\n"
        "Discount                                                         −€10.00\n"
        "Shipping                                                           €5.00\n"
        "Total                                                          €1,229.50\n"
        "Tax included                                                     €196.30\n\n"
        "It goes to\n----------\n\nAda Lovelace\n12 Tea Street\nLondon\n\n"
        "See your order:\nhttps://tea.example.com/orders/1?a=1&b=2\n\n"
        "--\nTea & Co\nhttps://tea.example.com\n"
    )


def test_a_receipt_in_german() -> None:
    letter = templates().render("receipt", "de-AT", plain_values("receipt", TOLD["receipt"]))
    assert letter.subject == "Ihre Bestellung 1001"
    assert '<html lang="de">' in letter.html
    assert "1001 vom 2. Januar 2030." in letter.text
    assert re.search(r"^Darin enthaltene Steuer +196,30\s€$", letter.text, re.MULTILINE)


def test_every_value_is_escaped_in_html() -> None:
    line = MailLine(EVIL, 1, Money(1, "EUR"), EVIL)
    order = MailOrder(
        number=EVIL, placed_at=ORDER.placed_at, lines=(line,), total=Money(1, "EUR"), address=(EVIL,)
    )  # fmt: skip
    letter = templates().render("receipt", "en", plain_values("receipt", {"order": order}))
    assert "<script" not in letter.html
    assert letter.html.count("&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;&amp; {{ 7 * 7 }} {% raw %}") == 5
    assert letter.text.count(EVIL) == 4  # as it is: plain text has no markup


def test_a_subject_is_one_line() -> None:
    told = {"name": "Tea\r\nBcc: everybody@example.net", "available": 3}
    assert templates().render("low_stock", "en", plain_values("low_stock", told)).subject == (
        "Only 3 left: Tea Bcc: everybody@example.net"
    )


@pytest.mark.parametrize("address", ["javascript:alert(1)", "data:text/html,x", "//evil.example", "/orders"])
def test_a_button_leads_to_the_web(address: str) -> None:
    with pytest.raises(TemplateError, match="is no link"):
        templates().render("welcome", "en", plain_values("welcome", {"link": address}))


def test_a_file_of_the_same_name_stands_in_the_place_of_ours(tmp_path: Path) -> None:
    (tmp_path / "welcome.jinja").write_text(
        "{% extends layout %}{% block subject %}{{ _('Hello') }}{% endblock %}"
        "{% block body %}{{ p(_('Good to see you at %(name)s.', name=application)) }}{% endblock %}"
    )
    (tmp_path / "layout.text.jinja").write_text("*** {% block body %}{% endblock %}")
    (tmp_path / "de.toml").write_text('"Hello" = "Hallo"\n"Total" = "Summe"\n')
    (tmp_path / "fr.toml").write_text('"Hello" = "Bonjour"\n')
    made = templates(tmp_path)
    letter = made.render("welcome", "de", {})
    assert (letter.subject, letter.text) == ("Hallo", "*** Good to see you at Tea & Co.\n")
    assert "Good to see you at Tea &amp; Co." in letter.html
    assert made.render("welcome", "fr-CA", {}).subject == "Bonjour"
    assert "Summe" in made.render("receipt", "de", plain_values("receipt", TOLD["receipt"])).text
    assert made.own == {"welcome"}


def test_an_empty_file_turns_a_mail_off(tmp_path: Path) -> None:
    (tmp_path / "welcome.jinja").write_text("\n")
    assert templates(tmp_path).render("welcome", "en", {}).empty


def test_mails_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "invitation.jinja").write_text(
        "{% extends layout %}{% block subject %}{{ host }} invites you{% endblock %}"
        "{% block body %}{{ p(date(day)) }}{{ p(money(price)) }}{{ p(figure(guests)) }}{% endblock %}"
    )
    told = plain_values(
        "invitation",
        {"host": "Ada", "day": datetime(2030, 5, 1, tzinfo=UTC).date(), "price": Money(1_500, "JPY"), "guests": 1_200},
    )
    letter = templates(tmp_path).render("invitation", "en", told)
    assert letter.subject == "Ada invites you"
    assert letter.text.startswith("1 May 2030\n\n¥1,500\n\n1,200\n")


def test_what_is_missing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "odd.jinja").write_text(
        "{% extends layout %}{% block subject %}Odd{% endblock %}{% block body %}{{ p(missing) }}{% endblock %}"
    )
    with pytest.raises(UndefinedError, match="missing"):
        templates(tmp_path).render("odd", "en", {})


@pytest.mark.parametrize(
    "escape",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ _.__globals__ }}",
        "{{ told.append(1) }}",
        "{{ money.__self__ }}",
        "{% include '/etc/passwd' %}",
        "{% include '../languages/de.toml' %}",
    ],
)
def test_a_template_stays_in_its_sandbox(escape: str, tmp_path: Path) -> None:
    (tmp_path / "odd.jinja").write_text("{% extends layout %}{% block body %}" + escape + "{% endblock %}")
    with pytest.raises((SecurityError, UndefinedError, TemplateError)):
        templates(tmp_path).render("odd", "en", {"told": [1]})


def test_a_template_that_is_none_is_told_of_at_start(tmp_path: Path) -> None:
    (tmp_path / "odd.jinja").write_text("\n\n{{ oops")
    with pytest.raises(ValueError, match=r"mails/odd\.jinja, line 3"):
        templates(tmp_path)


@pytest.mark.parametrize("mail", ["recipt", "layout.html", "blocks.text", "../post", "", "receipt.jinja"])
def test_only_mails_can_be_sent(mail: str) -> None:
    with pytest.raises(LookupError, match="There is no mail"):
        templates().check(mail)
    with pytest.raises(LookupError, match='Did you mean "receipt"'):
        templates().check("recipt")


@pytest.mark.parametrize(
    ("mail", "told", "said"),
    [
        ("receipt", {}, "order"),
        ("receipt", {"order": ORDER, "extra": 1}, "no value extra"),
        ("receipt", {"order": {"number": "1"}}, "placed_at"),
        ("refund", {"number": "1", "amount": 5}, "amount"),
        ("own", {"money": 1}, "cannot be called money"),
        ("own", {"thing": object()}, "plain or frozen"),
    ],
)
def test_values_are_checked_where_a_mail_is_written(mail: str, told: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        plain_values(mail, told)


def test_the_german_catalogue_is_whole() -> None:
    """Each sentence of our templates has its translation with the same places for values, and there is no other."""
    said: set[str] = set()
    for file in LETTERS.glob("*.jinja"):
        said |= set(re.findall(r'_\("([^"]+)"', file.read_text()))
    german = Languages().of("de")
    assert set(german.words) == said
    for sentence, translated in german.words.items():
        assert sorted(re.findall(r"%\((\w+)\)s", sentence)) == sorted(re.findall(r"%\((\w+)\)s", translated))
        assert translated != sentence


def test_the_blocks_are_the_same_in_both_forms() -> None:
    html, text = ((LETTERS / f"blocks.{form}.jinja").read_text() for form in ("html", "text"))
    assert re.findall(r"macro (\w+\(.*?\))", html) == re.findall(r"macro (\w+\(.*?\))", text)


@dataclass
class Accepted:
    header: str
    code: str


@pytest.mark.parametrize(
    "accepted",
    [
        Accepted("", "en"), Accepted("de", "de"), Accepted("DE-at", "de"), Accepted("fr, de;q=0.5", "de"),
        Accepted("de;q=0.5, en;q=0.8", "en"), Accepted("de;q=0, fr", "en"), Accepted("*", "en"),
        Accepted("de-DE-1996,en;q=0.1", "de"), Accepted(";;,,=q", "en"), Accepted("d" * 5_000, "en"),
    ],
    ids=lambda one: one.header[:20],
)  # fmt: skip
def test_the_language_that_a_request_accepts(accepted: Accepted) -> None:
    assert Languages().accepted(accepted.header) == accepted.code


def test_a_language_falls_back_to_what_it_is_a_kind_of(tmp_path: Path) -> None:
    (tmp_path / "pt-BR.toml").write_text("")
    known = Languages(tmp_path)
    assert [known.of(code).code for code in ("pt-BR", "pt", "de-CH-1901", "", "xx")] == [
        "pt-BR",
        "en",
        "de",
        "en",
        "en",
    ]
    assert Languages(tmp_path, "de").of("xx").code == "de"
    with pytest.raises(ValueError, match="There is no language 'xx'"):
        Languages(tmp_path, "xx")


@pytest.mark.parametrize(("name", "text"), [("de.toml", "a = "), ("de.toml", "a = 1"), ("German.toml", "")])
def test_a_catalogue_that_is_none_is_told_of_at_start(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=f"mails/{name}"):
        Languages(tmp_path)


@pytest.mark.parametrize(
    ("code", "money", "said"),
    [
        ("en", Money(123_456, "EUR"), "€1,234.56"),
        ("de", Money(123_456, "EUR"), "1.234,56\xa0€"),
        ("de", Money(-5, "EUR"), "-0,05\xa0€"),
        ("en", Money(1_234, "JPY"), "¥1,234"),
        ("en", Money(1_234_567, "KWD"), "KWD1,234.567"),
        ("xx", Money(1, "USD"), "$0.01"),
    ],
)
def test_money_is_shown_to_the_unit(code: str, money: Money, said: str) -> None:
    assert Language(code, {}).money(money) == said
