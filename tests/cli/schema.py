"""Prints how many complaints a JSON Schema validator has about each TOML file: schema.py SCHEMA FILE..."""

import json
import sys
import tomllib

import jsonschema

with open(sys.argv[1], "rb") as file:
    schema = json.load(file)
validator_class = jsonschema.validators.validator_for(schema)
validator_class.check_schema(schema)
validator = validator_class(schema)
counts = {}
for name in sys.argv[2:]:
    with open(name, "rb") as file:
        counts[name] = len(list(validator.iter_errors(tomllib.load(file))))
json.dump(counts, sys.stdout)
