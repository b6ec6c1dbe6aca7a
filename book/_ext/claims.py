"""The claims ledger in the book: a badge beside a theorem, and the page that prints every row.

The role ``claim`` makes the badge, the directive ``claims-ledger`` the page. The rows come from
``book/claims.yml``, the tests from the markers under ``tests/``. Each row shows its tests' source in the page
itself, so that it can be read offline; where the repository's address is known, it links there.
"""

from __future__ import annotations

import html
from pathlib import Path

import ledger
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective, SphinxRole

LEDGER_PAGE = "book/appendix-ledger"
SLUGS = {v: v.replace(" ", "-") for v in ledger.VERDICTS}


def _root(app: Sphinx) -> Path:
    return Path(app.srcdir)


def _claims(app: Sphinx) -> list[ledger.Claim]:
    return ledger.load(_root(app) / "book" / "claims.yml")


def _anchor(claim_id: str) -> str:
    return f"claim-{claim_id.lower()}"


def _document(target: str, text: str, docname: str) -> addnodes.pending_xref:
    """A link to a document of the book, with a text of its own."""
    link = addnodes.pending_xref(
        "", refdomain="std", reftype="doc", reftarget=f"/{target}", refexplicit=True, refwarn=True, refdoc=docname
    )
    link += nodes.inline("", text)
    return link


class ClaimRole(SphinxRole):
    """A badge with the verdict, linked to the row: ``{claim}`T2` ``."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """The badge, or an error that names the unknown claim."""
        self.env.note_dependency(str(_root(self.env.app) / "book" / "claims.yml"))
        found = {c.id: c for c in _claims(self.env.app)}
        if self.text not in found:
            message = self.inliner.reporter.error(f"no claim {self.text!r} in book/claims.yml", line=self.lineno)
            return [], [message]
        claim = found[self.text]
        link = addnodes.pending_xref(
            "", refdomain="std", reftype="ref", reftarget=_anchor(claim.id), refexplicit=True, refwarn=True,
            refdoc=self.env.docname,
        )  # fmt: skip
        link += nodes.inline("", f"{claim.id} · {claim.label}")
        # the classes stand outside: resolving a link replaces what is in it
        return [nodes.inline("", "", link, classes=["claim-badge", SLUGS[claim.verdict]])], []


class LedgerDirective(SphinxDirective):
    """The whole ledger, a card a claim, with a filter by verdict."""

    def run(self) -> list[nodes.Node]:
        """The filter and the cards."""
        app = self.env.app
        self.env.note_dependency(str(_root(app) / "book" / "claims.yml"))
        claims, tests = _claims(app), ledger.find_tests(_root(app) / "tests")
        counts = {v: sum(c.verdict == v for c in claims) for v in ledger.VERDICTS}
        labels = "".join(
            f'<label class="claim-badge {SLUGS[v]}"><input type="radio" name="claim-verdict" value="{SLUGS[v]}"> '
            f"{v} ({counts[v]})</label>"
            for v in ledger.VERDICTS
            if counts[v]
        )
        bar = (
            '<fieldset class="claim-filter"><legend>Show the rows with the verdict</legend>'
            '<label class="claim-badge"><input type="radio" name="claim-verdict" value="" checked> '
            f"all ({len(claims)})</label>{labels}</fieldset>"
        )
        out: list[nodes.Node] = [nodes.raw("", bar, format="html")]
        for claim in claims:
            out += self._card(claim, tests.get(claim.id, []))
        return out

    def _card(self, claim: ledger.Claim, tests: list[ledger.TestCase]) -> list[nodes.Node]:
        anchor = _anchor(claim.id)
        card = nodes.container(ids=[anchor], classes=["claim-card", SLUGS[claim.verdict]])
        domain = self.env.get_domain("std")
        domain.labels[anchor] = (self.env.docname, anchor, claim.id)
        domain.anonlabels[anchor] = (self.env.docname, anchor)
        head = nodes.paragraph(classes=["claim-head"])
        head += nodes.strong("", claim.id)
        head += nodes.inline("", claim.label, classes=["claim-badge", SLUGS[claim.verdict]])
        head += nodes.inline("", claim.place, classes=["claim-place"])
        card += head
        for name, text in (("Printed", claim.printed), ("True", claim.correct), ("Would decide it", claim.decides)):
            if text and not text.startswith("(no counterpart"):
                card += nodes.paragraph("", "", nodes.strong("", f"{name}. "), nodes.Text(text))
        foot = nodes.paragraph(classes=["claim-foot"])
        chapter = f"book/{claim.chapter}"
        if chapter in self.env.found_docs:
            foot += nodes.Text("Chapter ")
            foot += _document(chapter, claim.chapter.split("-")[0].lstrip("0") or "0", self.env.docname)
            foot += nodes.Text(". ")
        if claim.run:
            foot += nodes.Text("Recorded run: ")
            for number, run in enumerate(claim.runs):
                foot += nodes.Text(", " * (number > 0))
                foot += nodes.literal("", run)
        if foot.children:
            card += foot
        if tests:
            card += nodes.raw("", self._sources(tests), format="html")
        return [card]

    def _sources(self, tests: list[ledger.TestCase]) -> str:
        """The tests, folded: their place, a link where the repository is known, and their source."""
        config = self.env.app.config
        url = (getattr(config, "html_theme_options", None) or {}).get("repository_url") or ""
        branch = (getattr(config, "html_theme_options", None) or {}).get("repository_branch") or "main"
        parts = []
        for test in tests:
            name = html.escape(f"{test.path}::{test.name}")
            if url:
                name = f'<a href="{html.escape(url)}/blob/{branch}/{test.path}#L{test.line}">{name}</a>'
            parts.append(
                f'<p><code>{name}</code></p><pre class="claim-test" tabindex="0">{html.escape(test.source)}</pre>'
            )
        count = f"{len(tests)} test" + "s" * (len(tests) > 1)
        return f"<details class='claim-tests'><summary>{count}</summary>{''.join(parts)}</details>"


class ErrataDirective(SphinxDirective):
    """What the paper prints and what it should read, by the ledger's sections, each with its badge's link."""

    def run(self) -> list[nodes.Node]:
        """A definition list: place, printed, true."""
        out = nodes.definition_list(classes=["claim-errata"])
        for claim in _claims(self.env.app):
            if claim.verdict in ("holds", "undecided") or claim.place.startswith("new"):
                continue
            link = addnodes.pending_xref(
                "", refdomain="std", reftype="ref", reftarget=_anchor(claim.id), refexplicit=True, refwarn=True,
                refdoc=self.env.docname,
            )  # fmt: skip
            link += nodes.inline("", claim.id)
            badge = nodes.inline("", "", link, classes=["claim-badge", SLUGS[claim.verdict]])
            term = nodes.term("", "", nodes.Text(claim.place + " "), badge)
            body = nodes.definition(
                "",
                nodes.paragraph("", "", nodes.strong("", "Printed. "), nodes.Text(claim.printed)),
                nodes.paragraph("", "", nodes.strong("", "Should read. "), nodes.Text(claim.correct)),
            )
            out += nodes.definition_list_item("", term, body)
        return [out]


class TallyDirective(SphinxDirective):
    """How many rows have which verdict, in one sentence a verdict, with the rows' badges."""

    def run(self) -> list[nodes.Node]:
        """A bullet list, one verdict a line."""
        claims = _claims(self.env.app)
        out = nodes.bullet_list()
        for verdict in ledger.VERDICTS:
            rows = [c for c in claims if c.verdict == verdict]
            if not rows:
                continue
            line = nodes.paragraph("", "", nodes.strong("", f"{verdict}: {len(rows)} of {len(claims)}. "))
            for claim in rows:
                link = addnodes.pending_xref(
                    "", refdomain="std", reftype="ref", reftarget=_anchor(claim.id), refexplicit=True,
                    refwarn=True, refdoc=self.env.docname,
                )  # fmt: skip
                link += nodes.inline("", claim.id)
                line += [link, nodes.Text(" ")]
            out += nodes.list_item("", line)
        return [out]


def setup(app: Sphinx) -> dict[str, object]:
    app.add_role("claim", ClaimRole())
    app.add_directive("claims-ledger", LedgerDirective)
    app.add_directive("claims-errata", ErrataDirective)
    app.add_directive("claims-tally", TallyDirective)
    app.add_css_file("claims.css")
    app.add_js_file("claims.js", loading_method="defer")
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
