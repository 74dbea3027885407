"""Holds configs against the schema: `validate.py SCHEMA CONFIG…`. For each config a line of JSON: the
places of what does not fit. First the schema is held against its own draft."""

import json
import sys
import tomllib

from jsonschema import Draft202012Validator

schema = json.load(open(sys.argv[1]))
Draft202012Validator.check_schema(schema)
validator = Draft202012Validator(schema)
for path in sys.argv[2:]:
    with open(path, "rb") as file:
        config = tomllib.load(file)
    places = [".".join(map(str, error.absolute_path)) for error in validator.iter_errors(config)]
    print(json.dumps(sorted(places)))
