"""Says which answers are none of AWS's, by the output shapes of botocore, from which moto and the AWS CLI work.

Reads a JSON array of {service, operation, output} from stdin; prints a JSON array of complaints.
"""
import datetime
import json
import re
import sys

import botocore.session
from botocore.validate import ParamValidator

session = botocore.session.get_session()


def typed(value, shape):
    """The value with times as botocore has them; JSON has none."""
    if shape.type_name == "timestamp" and isinstance(value, str):
        return datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
    if shape.type_name == "structure" and isinstance(value, dict):
        return {name: typed(each, shape.members[name]) if name in shape.members else each for name, each in value.items()}
    if shape.type_name == "list" and isinstance(value, list):
        return [typed(each, shape.member) for each in value]
    if shape.type_name == "map" and isinstance(value, dict):
        return {name: typed(each, shape.value) for name, each in value.items()}
    return value


def enums(value, shape, path):
    """Values that no enum of the shape lists; ParamValidator does not look at them."""
    if shape.type_name == "string" and getattr(shape, "enum", None) and value not in shape.enum:
        yield f"{path}: {value!r} is none of {shape.enum}"
    if shape.type_name == "structure":
        for name, each in value.items():
            if name in shape.members:
                yield from enums(each, shape.members[name], f"{path}.{name}")
    if shape.type_name == "list":
        for each in value:
            yield from enums(each, shape.member, path)


complaints = []
for answer in json.load(sys.stdin):
    model = session.get_service_model(answer["service"])
    # JavaScript begins operations with a small letter.
    operation = next(n for n in model.operation_names if n.lower() == answer["operation"].lower())
    shape = model.operation_model(operation).output_shape
    output = typed(answer["output"], shape)
    where = f"{answer['service']} {operation}"
    report = ParamValidator().validate(output, shape)
    if report.has_errors():
        complaints.append(f"{where}: {re.sub(chr(10), '; ', report.generate_report())}")
    complaints.extend(enums(output, shape, where))
print(json.dumps(complaints))
