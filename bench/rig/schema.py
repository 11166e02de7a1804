"""Checks JSON against a schema: the part of JSON Schema (draft 2020-12) that bench/result.schema.json uses, and nothing else."""

TYPES = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
}
KEYWORDS = {"$ref", "type", "enum", "const", "minimum", "minLength", "required", "properties", "additionalProperties", "items",
            "anyOf"}
ANNOTATIONS = {"$schema", "$id", "$defs", "$comment", "title", "description", "examples"}


def _type_name(value):
    return next(name for name in ("null", "boolean", "integer", "number", "string", "array", "object") if TYPES[name](value))


def _shown(value):
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


class Schema:
    def __init__(self, root):
        self.root = root

    def definition(self, name):
        return self.root["$defs"][name]

    def _resolved(self, schema):
        while "$ref" in schema:
            schema = self.definition(schema["$ref"].removeprefix("#/$defs/"))
        return schema

    def fault(self, value, schema=None, where=""):
        """What is wrong and where, such as "summary[3].rate: is string, not object or null"; None when nothing is."""
        schema = self._resolved(self.root if schema is None else schema)
        unknown = schema.keys() - KEYWORDS - ANNOTATIONS
        if unknown:
            raise ValueError(f"the schema uses {', '.join(sorted(unknown))}, which is not checked")
        at = where or "it"
        types = schema.get("type", [])
        types = [types] if isinstance(types, str) else types
        if types and not any(TYPES[name](value) for name in types):
            return f"{at}: is {_type_name(value)}, not {' or '.join(types)}"
        if "enum" in schema and value not in schema["enum"]:
            return f"{at}: is {_shown(value)}, not one of {', '.join(map(repr, schema['enum']))}"
        if "const" in schema and value != schema["const"]:
            return f"{at}: is {_shown(value)}, not {schema['const']!r}"
        if TYPES["number"](value) and value < schema.get("minimum", value):
            return f"{at}: is {value}, less than {schema['minimum']}"
        if isinstance(value, str) and len(value) < schema.get("minLength", 0):
            return f"{at}: is empty"
        if "anyOf" in schema:
            faults = [self.fault(value, one, where) for one in schema["anyOf"]]
            if all(faults):
                return faults[0]
        return self._fault_inside(value, schema, where)

    def _fault_inside(self, value, schema, where):
        if isinstance(value, dict):
            members = schema.get("properties", {})
            missing = [name for name in schema.get("required", []) if name not in value]
            if missing:
                return f"{where or 'it'}: {missing[0]} is missing"
            others = schema.get("additionalProperties", {})
            inside = [(members.get(name, others if isinstance(others, dict) else {}), one, f"{where}.{name}" if where else name)
                      for name, one in value.items()]
        elif isinstance(value, list):
            inside = [(schema.get("items", {}), one, f"{where}[{index}]") for index, one in enumerate(value)]
        else:
            return None
        return next((fault for fault in (self.fault(one, its, at) for its, one, at in inside) if fault), None)
