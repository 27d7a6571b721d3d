"""Runs gcloud's own argument parser on many command lines in one process.

It runs in gcloud's Python, with the directory of the Google Cloud SDK as its
argument, and executes no command. Each input line is a JSON list of arguments;
the output has a JSON line for each:

  {"error": "what gcloud reports, or empty",
   "command": "tasks queues create",
   "flags": {"--location": "value", ...},   none, value or optional
   "required": ["--location"],
   "positionals": [least, most]}            most is -1 without a limit
"""

import contextlib
import io
import json
import os
import sys
import tempfile

ROOT = sys.argv[1]
sys.path.insert(0, os.path.join(ROOT, "lib"))
sys.path.insert(0, os.path.join(ROOT, "lib", "third_party"))

import argparse  # noqa: E402  gcloud has an argparse of its own
from googlecloudsdk import gcloud_main  # noqa: E402

CLI = gcloud_main.CreateCLI([])


def arity(action):
    if action.nargs == 0:
        return "none"
    return "optional" if action.nargs in ("?", "*") else "value"


def least_most(action):
    if isinstance(action.nargs, int):
        return action.nargs, action.nargs
    return {
        None: (1, 1),
        "?": (0, 1),
        "*": (0, -1),
        "+": (1, -1),
        argparse.REMAINDER: (0, -1),
        argparse.PARSER: (1, -1),  # a group without its command
    }[action.nargs]


def grammar(parser):
    """The flags and the number of positional arguments of a command."""
    flags, required, least, most = {}, [], 0, 0
    for action in parser._actions:  # pylint: disable=protected-access
        if action.option_strings:
            for name in action.option_strings:
                flags[name] = arity(action)
            if action.required:
                required.append(action.option_strings[0])
        else:
            low, high = least_most(action)
            least += low
            most = -1 if high < 0 or most < 0 else most + high
    return {
        "flags": dict(sorted(flags.items())),
        "required": sorted(required),
        "positionals": [least, most],
    }


def command_of(args):
    """The parser of the command that args begin with, and its name."""
    parser, words = CLI._CLI__parser, []  # pylint: disable=protected-access
    element = CLI._TopElement()  # pylint: disable=protected-access
    for arg in args:
        if not hasattr(element, "groups"):
            break
        child = element.LoadSubElement(arg.replace("-", "_"))
        if child is None:
            break
        element, parser = child, child._parser  # pylint: disable=protected-access
        words.append(arg)
    return parser, " ".join(words)


@contextlib.contextmanager
def stderr_to(file):
    """gcloud keeps its own reference to standard error."""
    sys.stderr.flush()
    saved = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(saved, 2)
        os.close(saved)


def check(args):
    parser = CLI._CLI__parser  # pylint: disable=protected-access
    error = ""
    with tempfile.TemporaryFile("w+") as log:
        with stderr_to(log), contextlib.redirect_stdout(io.StringIO()):
            try:
                parser.parse_args(args)
            except SystemExit as e:
                error = "exit status %s" % e.code if e.code else ""
            except Exception as e:  # pylint: disable=broad-except
                error = "%s: %s" % (type(e).__name__, e)
        log.seek(0)
        if error:
            error = log.read().strip() or error
    found, name = command_of(args)
    return dict(grammar(found), error=error, command=name)


for line in sys.stdin:
    print(json.dumps(check(json.loads(line))), flush=True)
