"""
Holds each `aws …` command of pages against botocore's models of the services: service, operation, options, what is
required, and the syntax of --query. Prints what is wrong, a line each, and ends 1 then.
"""
import re
import shlex
import sys

import jmespath
from botocore import xform_name
from botocore.session import Session

GLOBAL = {'query', 'output', 'region', 'profile'}
# What the command line adds to the services' operations.
OWN = {('logs', 'tail'), ('s3', 'ls'), ('s3', 'cp'), ('s3', 'rm')}
# What it calls otherwise than they do.
RENAMED = {('sns', 'subscribe'): {'notification-endpoint': 'endpoint'}}

session = Session()
models = {}


def model_of(service):
    if service not in models:
        models[service] = session.get_service_model(service)
    return models[service]


def code_of(page):
    """The shell's blocks, and code in the text, with continued lines joined."""
    text = open(page, encoding='utf-8').read()
    blocks = re.findall(r'^ *```sh\n(.*?)^ *```', text, re.S | re.M)
    prose = re.sub(r'^ *```.*?^ *```', '', text, flags=re.S | re.M)
    inline = [code for code in re.findall(r'`([^`]+)`', prose) if code.startswith('aws ')]
    return [*(re.sub(r'\\\n\s*', ' ', block) for block in blocks), *inline]


def commands_in(code):
    """From each `aws` to the end of its command, whatever it is nested in."""
    for start in re.finditer(r'(?:^|[\s(])(aws [a-z0-9-]+ .*)', code, re.M):
        words, depth, quote, end = start.group(1), 0, '', 0
        for end, char in enumerate(words):
            if quote:
                quote = '' if char == quote else quote
            elif char in '\'"':
                quote = char
            elif char == '(':
                depth += 1
            elif char == ')':
                depth -= 1
                if depth < 0:
                    break
            elif char in '|;&\n' and depth == 0:
                break
        else:
            end = len(words)
        yield words[:end]


def options_of(shape):
    if shape is None:
        return {}, set()
    names = {xform_name(name, '-'): name for name in shape.members}
    return names, {xform_name(name, '-') for name in shape.required_members}


def faults_of(command):
    _, service, operation, *words = shlex.split(re.sub(r'\$\([^()]*\)', 'VALUE', command))
    renamed = RENAMED.get((service, operation), {})
    given = [word[2:].split('=')[0] for word in words if word.startswith('--')]
    given = [renamed.get(name, name) for name in given]
    for option, value in zip(words, words[1:]):
        if option == '--query':
            jmespath.compile(value)
    if operation == 'wait':
        waiters = {xform_name(name, '-') for name in session.get_waiter_model(service).waiter_names}
        return [] if words[0] in waiters else [f'no waiter {words[0]}']
    if (service, operation) in OWN:
        return []
    names = {xform_name(name, '-'): name for name in model_of(service).operation_names}
    if operation not in names:
        return [f'no operation {operation}']
    known, required = options_of(model_of(service).operation_model(names[operation]).input_shape)
    positive = {name if name in known else name.removeprefix('no-') for name in given} - GLOBAL
    unknown = positive - set(known)
    missing = required - positive
    return [f'no option --{name}' for name in sorted(unknown)] + [f'--{name} is missing' for name in sorted(missing)]


def check(pages):
    count = 0
    for page in pages:
        for code in code_of(page):
            for command in commands_in(code):
                count += 1
                try:
                    faults = faults_of(command)
                except Exception as error:  # A command that cannot be read is what this looks for.
                    faults = [f'{type(error).__name__}: {error}']
                for fault in faults:
                    print(f'{page}: {command}\n  {fault}')
                    yield fault
    print(f'{count} commands of the AWS CLI')


sys.exit(1 if list(check(sys.argv[1:])) else 0)
