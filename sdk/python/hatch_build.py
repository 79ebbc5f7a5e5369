"""Puts the program `handstamp` into the wheel, if the environment names one.

Without `HANDSTAMP_PROGRAM` the wheel has the library alone, and is for every system.
"""

import os

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ProgramHook(BuildHookInterface):
    """The hook that the build calls by the name `custom`."""

    def initialize(self, version, build_data):
        """Adds the program, and the systems that it runs on."""
        program = os.environ.get("HANDSTAMP_PROGRAM")
        if program and self.target_name == "wheel":
            build_data["shared_scripts"] = {program: "handstamp"}
            build_data["pure_python"] = False
            build_data["tag"] = os.environ["HANDSTAMP_WHEEL_TAG"]
