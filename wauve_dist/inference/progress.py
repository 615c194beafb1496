"""A progress bar in frames, as rich draws it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

_Passing = TypeVar("_Passing")


class _SpeedColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f} frames/s", style="progress.data.speed")


class FrameProgress(Progress):
    """Counts the frames that all passes over all videos take; shows frames/s and the time that remains."""

    def __init__(self, num_frames: int) -> None:
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _SpeedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task = self.add_task("", total=num_frames)
        self._expected = 0

    def start_video(self, video_id: str, num_frames: int) -> None:
        """Name the video at work, and the frames that its passes take at most."""
        self.update(self._task, description=video_id, completed=self._expected)
        self._expected += num_frames

    def end_video(self, video_id: str, num_frames: int) -> None:
        """Count a whole video that another process has done."""
        self.update(self._task, description=video_id, advance=num_frames)

    def count(self, frames: Iterator[_Passing]) -> Iterator[_Passing]:
        """Pass frames through, whole or cut, counting them."""
        for frame in frames:
            yield frame
            self.advance(self._task)
