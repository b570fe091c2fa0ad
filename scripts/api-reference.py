#!/usr/bin/env python3
"""Writes docs/api.md and proto/tasktally.v1.binpb from the comments and definitions of the protos.

    PYTHONPATH=.tools/python python3 scripts/api-reference.py [--check]

With --check nothing is written: exit code 1 where one of them is not what the protos say.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf import descriptor_pb2

ROOT = Path(__file__).resolve().parent.parent
DESCRIPTORS = ROOT / "proto/tasktally.v1.binpb"
REFERENCE = ROOT / "docs/api.md"
# Field numbers in descriptor.proto, of which the paths of comments are made.
MESSAGE, ENUM, SERVICE, FIELD, NESTED, METHOD, VALUE = 4, 5, 6, 2, 3, 2, 2
SCALARS = {kind.number: kind.name.removeprefix("TYPE_").lower() for kind in descriptor_pb2.FieldDescriptorProto.Type.DESCRIPTOR.values}
Field = descriptor_pb2.FieldDescriptorProto


def built():
    """The descriptor set with comments, and without what only its maker needs."""
    with tempfile.NamedTemporaryFile(suffix=".binpb") as file:
        command = [ROOT / ".tools/bin/buf", "build", ROOT, "--as-file-descriptor-set", "-o", file.name]
        subprocess.run(command, check=True)
        return Path(file.name).read_bytes()


class File:
    def __init__(self, proto):
        self.proto = proto
        self.comments = {
            tuple(location.path): location.leading_comments.rstrip()
            for location in proto.source_code_info.location
            if location.leading_comments
        }

    def comment(self, *path):
        lines = self.comments.get(path, "").split("\n")
        return "\n".join(line.removeprefix(" ") for line in lines)


def anchor(name):
    return name.lower().replace(".", "")


def link(full):
    """A type as the text shows it; those of the contract lead to their section."""
    name = full.removeprefix(".")
    if not name.startswith("tasktally.v1."):
        return f"`{name}`"
    short = name.removeprefix("tasktally.v1.")
    return f"[{short}](#{anchor(short)})"


def type_of(field, maps):
    if field.type_name in maps:
        key, value = maps[field.type_name].field
        return f"map of {type_of(key, {})} to {type_of(value, {})}"
    kind = link(field.type_name) if field.type_name else f"`{SCALARS[field.type]}`"
    if field.label == Field.LABEL_REPEATED:
        return f"repeated {kind}"
    return f"optional {kind}" if field.proto3_optional else kind


def cell(text):
    return " ".join(text.split()).replace("|", "\\|")


def services(file):
    for number, service in enumerate(file.proto.service):
        yield f"## {service.name}\n\n{file.comment(SERVICE, number)}\n"
        for index, method in enumerate(service.method):
            sides = [(method.client_streaming, method.input_type), (method.server_streaming, method.output_type)]
            takes, gives = ("stream of " * streams + link(kind) for streams, kind in sides)
            yield f"### {service.name}.{method.name}\n\n{takes} → {gives}\n\n{file.comment(SERVICE, number, METHOD, index)}\n"


def messages(file, found, path=(), prefix="", within=MESSAGE):
    for number, message in enumerate(found):
        here = (*path, within, number)
        maps = {
            f".tasktally.v1.{prefix}{message.name}.{nested.name}": nested
            for nested in message.nested_type
            if nested.options.map_entry
        }
        yield f"### {prefix}{message.name}\n\n{file.comment(*here)}\n"
        if message.field:
            rows = [
                f"| {field.number} | `{field.name}` | {type_of(field, maps)} | {cell(file.comment(*here, FIELD, index))} |"
                for index, field in enumerate(message.field)
            ]
            yield "\n".join(["| no. | field | type | what it is |", "|---:|---|---|---|", *rows]) + "\n"
        nested = [nested for nested in message.nested_type if not nested.options.map_entry]
        assert not nested or len(nested) == len(message.nested_type), "paths count map entries, too"
        yield from messages(file, nested, here, f"{prefix}{message.name}.", NESTED)


def enums(file):
    for number, enum in enumerate(file.proto.enum_type):
        yield f"### {enum.name}\n\n{file.comment(ENUM, number)}\n"
        rows = [
            f"| {value.number} | `{value.name}` | {cell(file.comment(ENUM, number, VALUE, index))} |"
            for index, value in enumerate(enum.value)
        ]
        yield "\n".join(["| no. | value | what it is |", "|---:|---|---|", *rows]) + "\n"


def reference(descriptors):
    ours = [
        File(proto)
        for proto in descriptor_pb2.FileDescriptorSet.FromString(descriptors).file
        if proto.package == "tasktally.v1"
    ]
    parts = [
        "# API reference\n",
        "Made from the comments of [`proto/tasktally/v1`](../proto/tasktally/v1) by `scripts/api-reference.py`; edit them, not this\n"
        "page. [`proto/tasktally.v1.binpb`](../proto/tasktally.v1.binpb) is the same as a descriptor set.\n",
    ]
    for file in ours:
        parts += services(file)
    parts.append("## Messages\n")
    for file in ours:
        parts += messages(file, file.proto.message_type)
    parts.append("## Enums\n")
    for file in ours:
        parts += enums(file)
    return "\n".join(parts)


def main():
    descriptors = built()
    made = {DESCRIPTORS: descriptors, REFERENCE: reference(descriptors).encode()}
    stale = [path for path, content in made.items() if not path.exists() or path.read_bytes() != content]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not what the protos say: run scripts/api-reference.py", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.write_bytes(made[path])
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
