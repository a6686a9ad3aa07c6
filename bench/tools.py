"""Other programs' commands, as bench/compare and bench/accuracy call them."""
import argparse
import os
import shlex
import subprocess
import sys


class ToolError(Exception):
    """A command that did not do what it was asked; the text is for a person."""


class Peer:
    """NAME=COMMAND of the command line. COMMAND is split as a shell does; options are appended to it."""

    def __init__(self, text):
        self.name, equals, command = text.partition("=")
        self.command = shlex.split(command)
        if not equals or not self.name or not self.command:
            raise argparse.ArgumentTypeError(f"'{text}' is not NAME=COMMAND")

    def sibling(self, tool, other):
        """The command with the program `tool` replaced by `other` of the same folder; ToolError if it is not in it."""
        for at, word in enumerate(self.command):
            if os.path.basename(word) == tool:
                return [*self.command[:at], os.path.join(os.path.dirname(word), other), *self.command[at + 1:]]
        raise ToolError(f"{self.name}: '{shlex.join(self.command)}' does not name {tool}, so that {other} cannot be found")


def run(name, command, stdin=None):
    """(standard output, standard error) of a command; ToolError with its last words if it fails."""
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, errors="replace")
    except OSError as error:
        raise ToolError(f"{name}: cannot run {command[0]}: {error.strerror}") from error
    if done.returncode != 0:
        last = "\n  ".join((done.stderr.strip() or done.stdout.strip() or "(it said nothing)").splitlines()[-8:])
        raise ToolError(f"{name}: exit status {done.returncode} of: {shlex.join(command)}\n  {last}")
    return done.stdout, done.stderr


def main(program, body):
    """Runs body(); a ToolError becomes a message and exit status 1."""
    try:
        body()
    except ToolError as error:
        sys.exit(f"{program}: {error}")
