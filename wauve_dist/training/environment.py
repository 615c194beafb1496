"""The machine under examination: what training would find here, what follows from it, and what puts it right."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import av
import torch
from av.codec.codec import UnknownCodecError
from packaging.requirements import Requirement
from packaging.version import Version

_GIB = 1 << 30

# Codecs that ultrasound archives were seen to hold.
_DECODERS = ("h264", "hevc", "mpeg4", "msmpeg4v2", "msmpeg4", "mjpeg", "vp8", "vp9", "av1", "wmv2", "rawvideo", "ffv1")
_ENCODERS = ("libx264", "libx265", "mjpeg", "ffv1")

_CONV3D_FAULT = Version("2.9.0")
_FIRST_WITH_BF16 = (8, 0)  # compute capability of Ampere


class Check(NamedTuple):
    """One thing that was looked at.

    Attributes:
        name: of the thing.
        status: a fault keeps training from starting; a warning makes it slower or leaves something out.
        found: what is there.
        consequence: what comes of it; empty where all is well.
        remedy: what to do; likewise.
    """

    name: str
    status: Literal["ok", "warning", "fault"]
    found: str
    consequence: str = ""
    remedy: str = ""


def check_environment(out: Path) -> list[Check]:
    """Look at packages, GPUs, codecs, cluster and disk.

    Args:
        out: folder that runs will be written to; it need not exist.
    """
    return [
        _packages(),
        _conv3d(str(torch.__version__)),
        *_gpus(),
        _gpu_decoding(),
        _codecs(),
        _nccl(),
        _slurm(),
        _wandb(),
        *_disks(out),
    ]


def _packages() -> Check:
    wrong = []
    for line in importlib.metadata.requires("wauve-dist") or []:
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{requirement.name} {version} is not {requirement.specifier}")
    found = f"Python {platform.python_version()}, torch {torch.__version__}, CUDA {torch.version.cuda or 'none'}"
    if not wrong:
        return Check("packages", "ok", found)
    text = f"{'; '.join(wrong)}: not what this was tested with."
    return Check("packages", "fault", found, text, "make env")


def _conv3d(torch_version: str) -> Check:
    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    found = f"cuDNN {cudnn or 'none'}"
    if Version(torch_version).release == _CONV3D_FAULT.release:
        text = "torch 2.9.0 runs Conv3d without cuDNN, 4 times slower (pytorch issue 166122)."
        return Check("cuDNN", "fault", found, text, "pip install 'torch>=2.11'")
    if torch.cuda.is_available() and cudnn is None:
        return Check("cuDNN", "fault", found, "Convolutions run without cuDNN, several times slower.", "make env")
    return Check("cuDNN", "ok", found)


def _gpus() -> Iterator[Check]:
    if not torch.cuda.is_available():
        if not Path("/proc/driver/nvidia/version").exists():
            text = "Everything runs on the CPU: fit for the demo, not for the full-scale configs."
            yield Check("GPU", "warning", "none", text, "Use a machine with NVIDIA GPUs for full-scale training.")
            return
        text = f"There is an NVIDIA driver, but torch (CUDA {torch.version.cuda}) cannot use it."
        remedy = "Update the driver (nvidia-smi shows the CUDA version it supports), or see CUDA_VISIBLE_DEVICES."
        yield Check(
            "GPU", "fault", f"driver, CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES')}", text, remedy
        )
        return
    for index in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(index)
        found = f"{card.name}, {card.total_memory / _GIB:.0f} GiB, compute capability {card.major}.{card.minor}"
        if (card.major, card.minor) < _FIRST_WITH_BF16:
            text = "It has no bf16."
            yield Check(f"GPU {index}", "warning", found, text, "Train with --trainer.precision 16-mixed.")
        else:
            yield Check(f"GPU {index}", "ok", found)


def _gpu_decoding() -> Check:
    installed = [
        f"{name} {distribution.version}"
        for distribution in importlib.metadata.distributions()
        if (name := str(distribution.metadata["Name"]).lower()).startswith("nvidia-dali-cuda")
    ]
    try:
        ctypes.CDLL("libnvcuvid.so.1")
        nvdec = True
    except OSError:
        nvdec = False
    found = f"NVDEC {'there' if nvdec else 'absent'}, {', '.join(installed) or 'DALI absent'}"
    if nvdec and installed:
        return Check("GPU decoding", "ok", found)
    remedy = "pip install 'wauve-dist[gpu]'" if nvdec else "In a container, ask for NVIDIA_DRIVER_CAPABILITIES=all."
    if not torch.cuda.is_available():
        return Check("GPU decoding", "ok", found)
    return Check("GPU decoding", "warning", found, "Videos are decoded on the CPU (PyAV).", remedy)


def _codecs() -> Check:
    lacking = [f"decoder {name}" for name in _DECODERS if not _has_codec(name, "r")]
    lacking += [f"encoder {name}" for name in _ENCODERS if not _has_codec(name, "w")]
    found = f"PyAV {av.__version__}, FFmpeg {av.ffmpeg_version_info}"
    if not lacking:
        return Check("video codecs", "ok", found)
    text = f"No {', '.join(lacking)}: such videos are refused."
    return Check("video codecs", "warning", found, text, "pip install --force-reinstall --only-binary av av")


def _has_codec(name: str, mode: Literal["r", "w"]) -> bool:
    try:
        av.Codec(name, mode)
    except UnknownCodecError:
        return False
    return True


def _nccl() -> Check:
    if not torch.distributed.is_available() or not torch.distributed.is_nccl_available():
        status: Literal["ok", "fault"] = "fault" if torch.cuda.device_count() > 1 else "ok"
        text = "Several GPUs cannot train together." if status == "fault" else ""
        return Check("NCCL", status, "absent", text, "make env" if text else "")
    if not torch.cuda.is_available():
        return Check("NCCL", "ok", "there, no GPU to use it")
    version = torch.cuda.nccl.version()  # type: ignore[no-untyped-call]
    return Check("NCCL", "ok", ".".join(map(str, version)))


def _slurm() -> Check:
    if shutil.which("scontrol") is None:
        return Check("Slurm", "ok", "none on this machine")
    try:
        answer = subprocess.run(["scontrol", "ping"], capture_output=True, text=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        text, remedy = "The controller does not answer.", "Ask the cluster's administrators."
        return Check("Slurm", "warning", "scontrol ping timed out", text, remedy)
    first_line = (answer.stdout or answer.stderr).strip().partition("\n")[0]
    if answer.returncode:
        return Check("Slurm", "warning", first_line, "Jobs cannot be queued from here.", "Check SLURM_CONF and munge.")
    tasks, gpus = os.environ.get("SLURM_NTASKS_PER_NODE"), torch.cuda.device_count()
    if tasks and gpus and tasks != str(gpus):
        text = f"This job has {tasks} tasks a node and {gpus} GPUs: Lightning waits for ever where they differ."
        return Check("Slurm", "fault", first_line, text, f"#SBATCH --ntasks-per-node={gpus}")
    return Check("Slurm", "ok", first_line)


def _wandb() -> Check:
    mode = os.environ.get("WANDB_MODE", "not set")
    found = f"wandb {importlib.metadata.version('wandb')}, WANDB_MODE {mode}"
    return Check("W&B", "ok", found)


def _disks(out: Path) -> Iterator[Check]:
    folder = next(parent for parent in (out.absolute(), *out.absolute().parents) if parent.exists())
    free = shutil.disk_usage(folder).free / _GIB
    found = f"{free:.0f} GiB free at {folder}"
    if not os.access(folder, os.W_OK):
        yield Check("disk", "fault", found, "Runs cannot be written there.", "Choose another --out.")
    elif free < 1:
        yield Check(
            "disk", "fault", found, "Checkpoints and crops will not fit.", "Make room, or choose another --out."
        )
    elif free < 20:
        yield Check("disk", "warning", found, "Crops of a large data set may not fit.", "Choose another --out.")
    else:
        yield Check("disk", "ok", found)
    shared = Path("/dev/shm")
    if shared.exists():
        size = shutil.disk_usage(shared).total / _GIB
        if size < 1:
            text = "Loader processes hand batches over in shared memory and die with a bus error when it is full."
            remedy = "Start the container with --shm-size=8g, or train with --data.num_workers 0."
            yield Check("shared memory", "warning", f"{size:.2f} GiB", text, remedy)
        else:
            yield Check("shared memory", "ok", f"{size:.0f} GiB")
