"""Where a number comes from: versions, commit, device."""

from __future__ import annotations

import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from esgd.errors import ConfigError

__all__ = ["describe_device", "now", "pick_device", "provenance"]


def pick_device(name: str = "auto") -> torch.device:
    """The device of that name; ``"auto"`` takes CUDA, else Apple's MPS, else the CPU.

    Raises:
        ConfigError: no such device here.
    """
    has_mps = torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if has_mps else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"unknown device {name!r}: choose auto, cpu, cuda, cuda:1… or mps") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device {name!r} asked for, but torch sees no CUDA GPU here: use --device cpu or auto")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"device {name!r} asked for, but there are only {torch.cuda.device_count()} GPUs here")
    if device.type == "mps" and not has_mps:
        raise ConfigError("device 'mps' asked for, but it is not available here: use --device cpu or auto")
    if device.type not in ("cpu", "cuda", "mps"):
        raise ConfigError(f"unknown device {name!r}: choose auto, cpu, cuda, cuda:1… or mps")
    return device


def describe_device(device: torch.device) -> str:
    """The device in words: the GPU's name, or the processor's with what decides its rounding.

    That is the number of threads and the instruction set in use: either changes the order of sums.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return f"Apple GPU ({platform.processor() or platform.machine()})"
    threads = f"{torch.get_num_threads()} thread{'s' * (torch.get_num_threads() > 1)}"
    return f"{_processor()}, {threads}, {torch.backends.cpu.get_cpu_capability()}"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def now() -> str:
    """The time as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def provenance(device: torch.device) -> dict[str, Any]:
    """Versions, commit and device, for a manifest; it names no user, host or folder."""
    return {
        "versions": {
            "esgd": _version("esgd"),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
        "platform": f"{platform.system()} {platform.machine()}",
        "device": describe_device(device),
        "device_type": device.type,
        **_commit(),
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed (run from a checkout)"


def _commit() -> dict[str, Any]:
    """The commit of the checkout that esgd runs from, and whether its files were changed since; None: unknown."""
    folder = Path(__file__).resolve().parent

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    if git("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return {"commit": None, "changed": None}
    status = git("status", "--porcelain", "--", ".")  # may take long where the disk is slow
    return {"commit": git("rev-parse", "HEAD"), "changed": None if status is None else bool(status)}
