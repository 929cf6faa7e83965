"""AWS's own models of its requests, as botocore carries them, taken at their word."""

import re
import uuid
from collections.abc import Iterator
from functools import cache
from typing import Any

import botocore.session
from botocore.model import OperationModel, Shape
from botocore.validate import ParamValidator


@cache
def _model(service: str, operation: str) -> OperationModel:
    model = botocore.session.get_session().get_service_model(service)
    return model.operation_model(operation)


def problems(service: str, operation: str, params: dict[str, Any]) -> list[str]:
    """Return what AWS would refuse in a request.

    A client of boto3 checks names, types and what is required before it sends anything, and leaves
    enumerations, patterns and sizes to the service. An emulator leaves them out. What makes a
    request idempotent it gives by itself, after the record is made.
    """
    model = _model(service, operation)
    shape = model.input_shape
    if shape is None:
        return []
    given = {**dict.fromkeys(model.idempotent_members, str(uuid.uuid4())), **params}
    report = ParamValidator().validate(given, shape)
    return [*([report.generate_report()] if report.has_errors() else []), *_strict(shape, params)]


def _strict(shape: Shape, value: Any, path: str = "") -> Iterator[str]:
    if shape.type_name == "structure":
        for name in value.keys() & shape.members.keys():
            yield from _strict(shape.members[name], value[name], f"{path}.{name}")
    elif shape.type_name == "list":
        yield from _size(shape, len(value), path)
        for number, one in enumerate(value):
            yield from _strict(shape.member, one, f"{path}[{number}]")
    elif shape.type_name == "map":
        yield from _size(shape, len(value), path)
        for key, one in value.items():
            yield from _strict(shape.key, key, f"{path}.{key}")
            yield from _strict(shape.value, one, f"{path}.{key}")
    elif shape.type_name == "string":
        yield from _size(shape, len(value), path)
        yield from _text(shape, value, path)
    elif shape.type_name in {"integer", "long", "float", "double"}:
        yield from _size(shape, value, path)


def _size(shape: Shape, size: float, path: str) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if (least is not None and size < least) or (most is not None and size > most):
        yield f"{path}: {size} is not between {least} and {most}"


def _text(shape: Shape, value: str, path: str) -> Iterator[str]:
    if shape.enum and value not in shape.enum:
        yield f"{path}: {value!r} is none of {', '.join(shape.enum)}"
    pattern = shape.metadata.get("pattern")
    if pattern and not re.search(f"^(?:{_python(pattern)})$", value, re.DOTALL):
        yield f"{path}: {value!r} does not match {pattern}"


def _python(pattern: str) -> str:
    """Return a pattern of the models, which are Java's, as Python spells it."""
    pattern = pattern.replace(r"\p{L}", "A-Za-z").replace(r"\p{Z}", r"\s").replace(r"\p{N}", "0-9")
    return re.sub(r"\\p\{\w+\}", "", pattern).strip("^$")
