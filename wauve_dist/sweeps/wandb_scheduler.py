"""Takes trials from W&B's server, in the words of W&B's own agent.

W&B's client has no function for this that does not also run the trial, in a loop of its own which ends at the third
failure of its first minute. What its agent says to the server are two GraphQL mutations: who it is, once, and every
few seconds what it runs; the answers are commands.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import requests
import yaml

from wauve_dist.structures.provenance import atomic_write
from wauve_dist.sweeps.sweep import Sweep
from wauve_dist.sweeps.sweep_file import SweepRefused
from wauve_dist.sweeps.trials import NoTrialYet, Trial
from wauve_dist.sweeps.wandb_sweep import WandbSweep

_HEARTBEAT_S = 5.0  # as W&B's agent
_TIMEOUT_S = 5.0  # a signal to stop waits as long
_CREATE_AGENT = """
mutation CreateAgent($host: String!, $projectName: String, $entityName: String, $sweep: String!) {
    createAgent(input: {host: $host, projectName: $projectName, entityName: $entityName, sweep: $sweep}) {
        agent { id }
    }
}"""
_HEARTBEAT = """
mutation Heartbeat($id: ID!, $metrics: JSONString, $runState: JSONString) {
    agentHeartbeat(input: {id: $id, metrics: $metrics, runState: $runState}) { commands }
}"""


class WandbScheduler:
    """The scheduler of a sweep whose configurations W&B chooses, and whose hopeless trials W&B stops.

    Args:
        sweep: to choose for.
        at: where W&B has it.
    """

    def __init__(self, sweep: Sweep, at: WandbSweep) -> None:
        self._sweep, self._at = sweep, at
        self._agent: str | None = None
        self._commands: list[dict[str, Any]] = []
        self._last_heartbeat_s = -_HEARTBEAT_S

    def propose(self, number: int, begun: Sequence[Trial]) -> Trial | None:
        """Return the trial that W&B wants run next; None where the sweep has ended there.

        Raises:
            NoTrialYet: W&B does not answer, or has nothing to run just now.
            SweepRefused: W&B does not know the sweep or its user, or its parameters are not the sweep file's.
        """
        if not self._commands:
            self._commands = self._heartbeat({})
        while self._commands:
            command = self._commands.pop(0)
            if command["type"] == "exit":
                return None
            # One that was preempted is offered again; it has ended, or another agent has taken it up.
            is_known = any(trial.run_id == command.get("run_id") for trial in begun)
            if command["type"] in ("run", "resume") and not is_known:
                return self._trial(number, command)
        raise NoTrialYet("W&B has no trial to run just now")

    def gives_up(self, trial: Trial) -> bool:
        """Tell W&B every few seconds that a trial runs, and whether W&B wants it stopped."""
        now_s = time.monotonic()
        if now_s < self._last_heartbeat_s + _HEARTBEAT_S:
            return False
        self._last_heartbeat_s = now_s
        assert trial.run_id is not None
        try:
            commands = self._heartbeat({trial.run_id: True})
        except (NoTrialYet, SweepRefused):
            return False  # it goes on, whatever ails the server; the next trial will tell
        return any(
            command["type"] == "exit" or (command["type"] == "stop" and command["run_id"] == trial.run_id)
            for command in commands
        )

    def variables(self, trial: Trial) -> Mapping[str, str]:
        """Return the environment variables by which W&B's client finds the run that the server has made."""
        assert trial.run_id is not None
        path = self._sweep.run_folder(trial.number).with_suffix(".wandb.yaml")
        with atomic_write(path) as temporary:
            values = {name: {"value": value} for name, value in trial.parameters.items()}
            temporary.write_text(yaml.safe_dump({"wandb_version": 1, **values}))
        return {
            "WANDB_BASE_URL": self._at.server,
            "WANDB_ENTITY": self._at.entity,
            "WANDB_PROJECT": self._at.project,
            "WANDB_SWEEP_ID": self._at.name,
            "WANDB_RUN_ID": trial.run_id,
            "WANDB_SWEEP_PARAM_PATH": str(path),
        }

    def _trial(self, number: int, command: Mapping[str, Any]) -> Trial:
        parameters = {name: given["value"] for name, given in command["args"].items()}
        if parameters.keys() != self._sweep.file.parameters.keys():
            raise SweepRefused(
                f"W&B wants a trial of {', '.join(sorted(parameters))}, which is not what {self._sweep.folder} has as "
                "parameters. Was the sweep edited there? Create a new one."
            )
        return Trial(number, parameters, run_id=command["run_id"])

    def _heartbeat(self, running: Mapping[str, bool]) -> list[dict[str, Any]]:
        if self._agent is None:
            whose = {"host": "wauve_dist", "projectName": self._at.project, "entityName": self._at.entity}
            answer = self._answer("CreateAgent", _CREATE_AGENT, {**whose, "sweep": self._at.name})
            self._agent = answer["createAgent"]["agent"]["id"]
        told = {"id": self._agent, "metrics": "{}", "runState": json.dumps(running)}
        commands: list[dict[str, Any]] = json.loads(
            self._answer("Heartbeat", _HEARTBEAT, told)["agentHeartbeat"]["commands"]
        )
        return commands

    def _answer(self, name: str, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        key = os.environ.get("WANDB_API_KEY")
        try:
            response = requests.post(
                f"{self._at.server}/graphql",
                json={"operationName": name, "query": query, "variables": variables},
                auth=("api", key) if key else None,  # else requests looks into ~/.netrc, where `wandb login` writes
                timeout=_TIMEOUT_S,
            )
            answer: dict[str, Any] = response.json() if response.ok else {"errors": response.text}
        except requests.RequestException as error:
            raise NoTrialYet(f"W&B does not answer ({type(error).__name__})") from error
        if response.status_code == requests.codes.too_many_requests or response.status_code >= 500:
            raise NoTrialYet(f"W&B does not answer (status {response.status_code})")
        if answer.get("errors"):
            raise SweepRefused(
                f"{self._at.server} refuses an agent of {self._at.entity}/{self._at.project}/{self._at.name}: status "
                f"{response.status_code}, {answer['errors']}. Is WANDB_API_KEY set on this machine?"
            )
        data: dict[str, Any] = answer["data"]
        return data
