"""Damaged videos through all that decodes, each in a child process with a time limit.

Outcomes, of every tool but the doctor, from worst to best:
    crash     the process died
    hang      the time limit was reached
    wrong     another frame, or fewer frames than the video holds, passed for right
    altered   all frames in their places, but pixels of some differ and nothing said so
    refused   an error; no frame before it was another than the one it passed for
    right     every frame as in the whole video
The doctor finds a fault ("refused") or none ("right").
"""

import json
import os
import resource
import selectors
import subprocess
import sys
from collections import Counter
from pathlib import Path

TOOLS = ("doctor", "transcode", "crop", "predict")
OUTCOMES = ("crash", "hang", "wrong", "altered", "refused", "right")

_MAX_BYTES = 6 << 30  # address space of a child: what asks for more is a crash


def run_campaign(videos, folder, limit_s):
    """Return the outcome of every tool on every video: {(number of the video, tool): outcome}."""
    jobs = [(number, tool) for number in range(len(videos)) for tool in TOOLS]
    outcomes = {}
    while len(outcomes) < len(jobs):
        waiting = [job for job in jobs if job not in outcomes]
        with _child(folder) as child, selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            for number, tool in waiting:
                video = videos[number]
                job = {"tool": tool, "path": str(video.path), "reference": video.reference and str(video.reference)}
                child.stdin.write(json.dumps(job) + "\n")
                child.stdin.flush()
                if not selector.select(limit_s):
                    outcomes[number, tool] = "hang"
                    child.kill()
                    break
                answer = child.stdout.readline()
                if not answer:
                    outcomes[number, tool] = "crash"
                    break
                outcomes[number, tool] = json.loads(answer)
            child.stdin.close()
    return outcomes


def table(videos, outcomes):
    """Lay the campaign out in Markdown: a row per kind of damage, the outcomes of a tool in a cell."""
    lines = ["| damage | files | " + " | ".join(TOOLS) + " |", "|---|---|" + "---|" * len(TOOLS)]
    kinds = list(dict.fromkeys(video.kind for video in videos))
    for kind in kinds:
        numbers = [number for number, video in enumerate(videos) if video.kind == kind]
        cells = [_cell(Counter(outcomes[number, tool] for number in numbers)) for tool in TOOLS]
        lines.append(f"| {kind} | {len(numbers)} | " + " | ".join(cells) + " |")
    totals = [_cell(Counter(outcomes[number, tool] for number in range(len(videos)))) for tool in TOOLS]
    return "\n".join([*lines, f"| all | {len(videos)} | " + " | ".join(totals) + " |"])


def _cell(counts):
    return ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES if counts[outcome])


def _child(folder):
    here = Path(__file__).resolve()
    environment = os.environ | {"PYTHONPATH": str(here.parents[3]), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, str(here)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=folder,
        env=environment,
    )


def _serve():
    """Answer jobs from standard input, one line each, in the child."""
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_BYTES, _MAX_BYTES))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print where they like
    for line in sys.stdin:
        job = json.loads(line)
        outcome = _run(job["tool"], Path(job["path"]), job["reference"] and Path(job["reference"]))
        answers.write(json.dumps(outcome) + "\n")
        answers.flush()


def _run(tool, path, reference):
    import numpy as np

    from wauve_dist.data.decoding import VideoError, check_video, decode_frames

    expected = np.load(reference) if reference else np.zeros((0, 1, 1), np.uint8)
    height, width = expected.shape[1:]
    target = Path(f"out{path.suffix if tool == 'predict' else '.mp4' if tool == 'transcode' else '.npy'}")
    try:
        if tool == "doctor":
            from wauve_dist.data.video_health import diagnose, examine_video

            problems = diagnose(examine_video(path), Path("manifest.csv"))
            return "refused" if any(problem.severity == "fault" for problem in problems) else "right"
        if tool == "predict":
            check_video(path)
            return _judge(decode_frames(path), expected)
        if tool == "transcode":
            from wauve_dist.data.transcoding import TranscodeSettings, transcode_video

            codec = "hevc" if max(height, width) > 4096 else "h264"
            transcode_video(path, target, TranscodeSettings(codec, 45.0))
            frames = (frame[:height, :width] for frame in decode_frames(target))
            return _judge(frames, expected, max_rmse=2.0)
        from wauve_dist.data.array_cache import OnlineArray
        from wauve_dist.data.crop_cache import CropRecipe
        from wauve_dist.data.crops import crop_roi

        box, numbers = [0.0, 0.0, float(width), float(height)], list(range(max(1, len(expected))))
        crops = OnlineArray(CropRecipe(path, [0] * len(numbers), numbers, [box] * len(numbers), 96, 1.0)).make()
        return _judge(crops, np.stack([crop_roi(frame, np.array(box), 96, 1.0) for frame in expected]))
    except VideoError:
        return "refused"
    except ValueError as error:  # the recipe: boxes beyond the last frame
        return "refused" if str(path) in str(error) else "crash"


def _judge(frames, expected, max_rmse=0.0):
    """Compare what is delivered as frame k with frame k, and with all others: which is it nearest to?"""
    import numpy as np

    from wauve_dist.data.decoding import VideoError

    num_frames, outcome = 0, "right"
    try:
        for frame in frames:
            if num_frames == len(expected) or frame.shape != expected.shape[1:]:
                return "wrong"
            rmse = [float(np.sqrt(np.mean((frame.astype(np.float32) - other) ** 2))) for other in expected]
            if int(np.argmin(rmse)) != num_frames:
                return "wrong"
            if rmse[num_frames] > max_rmse:
                outcome = "altered"
            num_frames += 1
    except VideoError:
        return "refused"  # nothing of it is kept
    return outcome if num_frames == len(expected) else "wrong"


if __name__ == "__main__":
    _serve()
