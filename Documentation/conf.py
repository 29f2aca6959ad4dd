# SPDX-License-Identifier: GPL-2.0
"""What `make docs` tells Sphinx, and checks that Sphinx leaves out.

The source directory is the repository, so that README.md is a page and links are written as
they are for the forge and an editor: relative names of files.
"""

import html.parser
import pathlib
import posixpath
import re
import subprocess
import urllib.parse

import docutils.nodes
import sphinx.addnodes
import sphinx.errors
import sphinx.transforms
import sphinx.util.logging

log = sphinx.util.logging.getLogger(__name__)
repository = pathlib.Path(__file__).parent.parent
tracked = subprocess.run(
    ["git", "ls-files"], cwd=repository, check=True, capture_output=True, text=True
).stdout.split("\n")

project = "rtshm"
version = release = re.search(
    r'^version = "(.*)"$', (repository / "Cargo.toml").read_text(encoding="utf-8"), re.M
).group(1)
extensions = ["myst_parser"]
root_doc = "Documentation/index"
include_patterns = ["README.md", "Documentation/*.rst"]
# Only so that nobody walks them.
exclude_patterns = [".git", "abi", "build", "module", "scripts", "target", "userspace"]
nitpicky = True
# Commands, tables and C without a language: plain, as in the terminal.
highlight_language = "none"
smartquotes = False

html_theme = "alabaster"
html_theme_options = {
    "body_max_width": "auto",
    "font_family": "sans-serif",
    "font_size": "15px",
    "page_width": "80em",
    "show_powered_by": False,
    "sidebar_width": "16em",
}
html_sidebars = {"**": ["about.html", "searchbox.html", "navigation.html"]}
html_static_path = ["docs.css"]
html_css_files = ["docs.css"]
html_copy_source = False
html_show_copyright = False

# Names of files in the text that no commit has: they are built.
built = re.compile(r"module/rtshm(\.k?o|_main\.rsi)")
in_repository = re.compile(r"(\.ci|abi|Documentation|module|scripts|userspace)/[\w./-]+")

# All that a program of ours may say, with the strings in one piece that go over lines.
sources = re.sub(
    r"\\\n\s*",
    "",
    "".join(
        (repository / name).read_text(encoding="utf-8", errors="replace")
        for name in tracked
        if re.match(r"Makefile|(module|scripts|userspace)/", name) and "tests" not in name
    ),
)


class Links(sphinx.transforms.SphinxTransform):
    """Makes a relative name of a file a link to its page, or to the file."""

    # Before the files to copy are collected.
    default_priority = 50

    def apply(self):
        here = pathlib.PurePosixPath(self.env.docname).parent
        links = [(link, link.get("refuri", "")) for link in self.all(docutils.nodes.reference)]
        # What the parser of Markdown has made of them.
        downloads = self.all(sphinx.addnodes.download_reference)
        links += [(link, link["reftarget"]) for link in downloads]
        for link, target in links:
            self.resolve(link, here, target)
        for text in self.all(docutils.nodes.title_reference):
            log.warning("not a link: %s", text.astext(), location=text)
        for text in self.all(docutils.nodes.literal):
            self.check(text)
        for table in self.all(docutils.nodes.table):
            if "messages" in table["classes"]:
                self.check_messages(table)

    def all(self, kind):
        return list(self.document.findall(kind))

    def resolve(self, link, here, target):
        url = urllib.parse.urlsplit(target)
        if url.scheme or not url.path:
            return
        name = pathlib.PurePosixPath(posixpath.normpath(here / url.path))
        if str(name) not in tracked:
            log.warning("no such file: %s", target, location=link)
            return
        if name.suffix in (".rst", ".md"):
            page = str(pathlib.PurePosixPath(url.path).with_suffix(".html"))
        elif re.fullmatch(r"\.[1-8]", name.suffix):
            # scripts/docs makes a page of each manual.
            page = url.path + ".html"
        else:
            page = None
        if page:
            # Whether it is there, and has this place, is seen when all pages are.
            new = docutils.nodes.reference(refuri=url._replace(path=page).geturl())
        else:
            new = sphinx.addnodes.download_reference(refdoc=self.env.docname, reftarget=f"/{name}")
        new += docutils.nodes.inline("", "", *link.children)
        link.replace_self(new)

    def check(self, text):
        name = text.astext()
        if not in_repository.fullmatch(name) or built.fullmatch(name):
            return
        name = name.rstrip("/")
        if not any(file == name or file.startswith(name + "/") for file in tracked):
            log.warning("no such file: %s", name, location=text)

    def check_messages(self, table):
        """What programs of ours are said to say has to be in their source."""
        for row in next(table.findall(docutils.nodes.tbody)):
            for text in row[0].findall(docutils.nodes.literal):
                for part in text.astext().split("..."):
                    if part not in sources:
                        log.warning("no program says: %s", part, location=text)


class Page(html.parser.HTMLParser):
    """What a page links to, and what can be linked to in it."""

    def __init__(self, file):
        super().__init__()
        self.names, self.links = set(), set()
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.names.add(attrs.get("id"))
        for key in ("href", "src"):
            if attrs.get(key):
                self.links.add((tag, attrs[key]))


def check_pages(app, exception):
    """Follows the links of all pages as a browser would."""
    if exception:
        return
    broken = []
    pages = {file: Page(file) for file in pathlib.Path(app.outdir).rglob("*.html")}
    for file, page in sorted(pages.items()):
        for tag, link in sorted(page.links):
            url = urllib.parse.urlsplit(link)
            if url.scheme or url.netloc:
                # Whoever clicks it wants it; the page itself is to need no network.
                if tag != "a":
                    broken.append(f"{file}: not on this machine: {link}")
                continue
            target = (file.parent / urllib.parse.unquote(url.path)).resolve() if url.path else file
            if not target.is_file():
                broken.append(f"{file}: no such page: {link}")
            elif url.fragment and target in pages and url.fragment not in pages[target].names:
                broken.append(f"{file}: no such place: {link}")
    # A warning would come too late to be an error.
    if broken:
        raise sphinx.errors.SphinxError("\n".join(broken))


def setup(app):
    app.add_transform(Links)
    app.connect("build-finished", check_pages)
    return {"parallel_read_safe": True}
