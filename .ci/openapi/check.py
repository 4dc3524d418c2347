"""Says whether a file is a valid OpenAPI 3.1 document whose examples fit their schemas.

    check.py docs/openapi.json
"""

import json
import sys

import jsonschema_rs
from openapi_spec_validator import OpenAPIV31SpecValidator


def examples(document):
    """Each example with the schema it is of, and where it stands."""

    def walk(node, at):
        if isinstance(node, list):
            for index, item in enumerate(node):
                yield from walk(item, f"{at}/{index}")
            return
        if not isinstance(node, dict):
            return
        schema = node.get("schema")
        if isinstance(schema, dict):  # a media type, a parameter, a header
            if "example" in node:
                yield f"{at}/example", schema, node["example"]
            for name, example in node.get("examples", {}).items():
                if "$ref" in example:
                    example = resolved(document, example["$ref"])
                yield f"{at}/examples/{name}", schema, example["value"]
        elif is_schema(node):
            if "example" in node:
                yield f"{at}/example", node, node["example"]
            for index, example in enumerate(node.get("examples", [])):
                yield f"{at}/examples/{index}", node, example
            if "default" in node:
                yield f"{at}/default", node, node["default"]
        for key, value in node.items():
            if key not in ("example", "examples", "default", "enum", "const"):
                yield from walk(value, f"{at}/{key}")

    yield from walk(document["paths"], "paths")
    yield from walk(document["components"], "components")


def resolved(document, reference):
    for part in reference.removeprefix("#/").split("/"):
        document = document[part]
    return document


def is_schema(node):
    return isinstance(node.get("type"), (str, list)) or "$ref" in node or "anyOf" in node


def main(path):
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    wrong = [
        f"{'/'.join(map(str, error.absolute_path))}: {error.message}"
        for error in OpenAPIV31SpecValidator(document).iter_errors()
    ]
    count = 0
    for at, schema, example in examples(document):
        count += 1
        # The schema within the document, so that its references lead somewhere.
        whole = {"allOf": [schema], "components": document["components"]}
        validator = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
        for error in validator.iter_errors(example):
            wrong.append(f"{at}: {error.message}")
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"{path}: {len(document['paths'])} paths, {count} examples, {len(wrong)} wrong")
    return 1 if wrong or count < 100 else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
