"""Keep the compiled code of Ansible's templates, and load once what they use.

Ansible runs each task in a fork, and what a fork has made is gone with it: the next one compiles
the same templates and loads the same plugins again, a third of what a task takes. Here the code is
kept in a folder, and the plugins are there before the first fork.
"""

import hashlib
from pathlib import Path
from typing import Any

from ansible._internal._templating import _jinja_bits as bits
from ansible.plugins.loader import filter_loader, lookup_loader, test_loader

from local.ansible.kept_code import kept

_LOOKUPS = ("env", "file", "template")  # of Ansible itself, that our plays use


def keep(folder: Path) -> None:
    """Let the forks of this process find what others have compiled, and what is loaded.

    Args:
        folder: of this Ansible, this Jinja and these collections: the code of a template depends
            on what its filters and tests are.

    """
    _compile_once(folder)
    for loader in (filter_loader, test_loader):
        list(loader.all())
    for name in _LOOKUPS:
        lookup_loader.get(name, class_only=True)


def _compile_once(folder: Path) -> None:
    """Have each text compiled once; what is no text is left to Jinja."""
    compile_ = bits.AnsibleEnvironment.compile

    def compile_once(
        self: Any, source: Any, name: Any = None, filename: Any = None, *more: Any, **options: Any
    ) -> Any:
        def made() -> Any:
            return compile_(self, source, name, filename, *more, **options)

        if not isinstance(source, str) or more or options:
            return made()
        return kept(folder / _digest(self, source, name, filename), made)

    bits.AnsibleEnvironment.compile = compile_once


def _digest(environment: Any, source: str, name: Any, filename: Any) -> str:
    """Return what identifies a text's code: the text, and how Ansible has Jinja read it."""
    context = bits._TemplateCompileContext.current(optional=True)  # noqa: SLF001 (it decides)
    made_of = (
        str(source),
        name,
        filename,
        bool(context and context.escape_backslashes),
        bits._TemplateConfig.allow_embedded_templates,  # noqa: SLF001
        *(getattr(environment, field) for field in bits._TEMPLATE_OVERRIDE_FIELD_NAMES),  # noqa: SLF001
        *sorted(environment.extensions),
    )
    return hashlib.sha256(repr(made_of).encode()).hexdigest()
