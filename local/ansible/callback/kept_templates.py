"""An Ansible callback that keeps the compiled code of templates, and loads once what they use.

Ansible runs each task in a fork, and what a fork has made is gone with it: the next one compiles
the same templates and loads the same plugins again, a third of what a task takes. Here the code is
kept in a folder, and the plugins are there before the first fork.
"""

import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ansible._internal._templating import _jinja_bits as bits
from ansible.plugins.callback import CallbackBase
from ansible.plugins.loader import filter_loader, lookup_loader, test_loader

from local.ansible.kept_code import home, kept

DOCUMENTATION = """
name: kept_templates
type: aggregate
short_description: keep the compiled code of templates, from one task and one run to the next
description: In LOCAL_CODE_CACHE, by what it is made of - the template and how it is read.
"""

_LOOKUPS = ("env", "file", "template")  # the ones that our plays use
_VERSIONS = tuple(version(name) for name in ("ansible-core", "jinja2"))


class CallbackModule(CallbackBase):  # type: ignore[misc] # Ansible has no types
    """Let the forks of the run find what others have compiled, and what is loaded."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "kept_templates"
    CALLBACK_NEEDS_ENABLED = False  # who names the folder wants it, whatever else is enabled

    def v2_playbook_on_start(self, _playbook: Any) -> None:
        """Keep from now on; no task has run."""
        folder = home()
        assert folder, "who names this callback names its folder"
        _keep(folder / "templates")
        for loader in (filter_loader, test_loader):
            list(loader.all())
        for name in _LOOKUPS:
            lookup_loader.get(name, class_only=True)


def _keep(folder: Path) -> None:
    """Let each of Ansible's templates be compiled once; what is no text is left to Jinja."""
    compile_ = bits.AnsibleEnvironment.compile

    def compile_once(
        self: Any, source: Any, name: Any = None, filename: Any = None, **options: Any
    ) -> Any:
        def made() -> Any:
            return compile_(self, source, name, filename, **options)

        if not isinstance(source, str) or options:
            return made()
        return kept(folder / _digest(self, source, name, filename), made)

    bits.AnsibleEnvironment.compile = compile_once


def _digest(environment: Any, source: str, name: Any, filename: Any) -> str:
    """Return what identifies the code: the text, and all that Jinja and Ansible heed of it."""
    context = bits._TemplateCompileContext.current(optional=True)  # noqa: SLF001 (it decides)
    made_of = (
        *_VERSIONS,
        str(source),
        name,
        filename,
        bool(context and context.escape_backslashes),
        bits._TemplateConfig.allow_embedded_templates,  # noqa: SLF001
        *(getattr(environment, field) for field in bits._TEMPLATE_OVERRIDE_FIELD_NAMES),  # noqa: SLF001
        *sorted(environment.extensions),
    )
    return hashlib.sha256(repr(made_of).encode()).hexdigest()
