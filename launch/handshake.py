"""What ranks must have in common before a script starts, and the sentence when they do not."""

import hashlib
import os
import platform
from collections import Counter
from collections.abc import Sequence
from importlib import metadata

from launch import script
from launch.options import Options
from launch.script import Script

PACKAGES = (
    "unison-ddp",
    "numpy",
    "cupy-cuda12x",
    "cupy-cuda13x",
    "nvidia-nccl-cu12",
    "nvidia-nccl-cu13",
)
Facts = dict[str, str]


def facts(options: Options) -> Facts:
    """What this rank runs: versions, the script's content, the command line."""
    assert options.script is not None
    found = {"Python": platform.python_version()}
    found.update({name: version_of(name) for name in PACKAGES})
    found["script"] = _fingerprint(options.script)
    found["arguments"] = repr(list(options.script.arguments))
    shared = (options.timeout, options.shards, options.check, options.device, options.as_torch)
    found["options of launch"] = repr(shared)
    return found


def difference(all_facts: Sequence[Facts], hosts: Sequence[str]) -> str:
    """One sentence naming the odd rank and what differs, "" if all ranks agree.

    Example:
        >>> difference([{"numpy": "2.1"}, {"numpy": "2.4"}, {"numpy": "2.4"}], ["a", "b", "c"])
        'ranks differ: numpy is 2.1 on rank 0 (host a) and 2.4 on rank 1 (host b)'
    """
    parts: list[str] = []
    for name in all_facts[0]:
        values = [found.get(name, "") for found in all_facts]
        usual = Counter(values).most_common(1)[0][0]
        for odd, value in enumerate(values):
            if value != usual:
                normal = values.index(usual)
                parts.append(
                    f"{name} is {value or 'missing'} on rank {odd} (host {hosts[odd]}) and "
                    f"{usual or 'missing'} on rank {normal} (host {hosts[normal]})"
                )
                break
    return f"ranks differ: {'; '.join(parts)}" if parts else ""


def version_of(name: str) -> str:
    """The installed version of a distribution, "" if there is none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _fingerprint(wanted: Script) -> str:
    path = script.path_of(wanted)
    try:
        with open(path, "rb") as file:
            digest = hashlib.sha256(file.read()).hexdigest()
    except OSError:
        return ""
    return f"{os.path.basename(path)} {digest[:12]}"
