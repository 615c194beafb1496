"""The sweep of a stand-in for W&B's server: a grid, given out point by point to agents that run nothing."""

import itertools
import json
import threading


class WandbGrid:
    """Answers what concerns one sweep, as W&B's server does.

    Args:
        points: parameter to its values.

    Attributes:
        points: the same.
        given: run id to the parameters that an agent was given.
        to_stop: run ids to be stopped by whoever runs them.
        offered_again: run ids of preempted runs, for the next agent that runs nothing.
    """

    def __init__(self, points):
        self.points = points
        names, values = zip(*points.items(), strict=True)
        self._left = [dict(zip(names, point, strict=True)) for point in itertools.product(*values)]
        self._lock = threading.Lock()
        self._num_agents = itertools.count()
        self.given, self.to_stop, self.offered_again = {}, set(), []
        self.config = None

    def answers(self):
        return {"UpsertSweep": self._upsert, "CreateAgent": self._create_agent, "Heartbeat": self._heartbeat}

    def _upsert(self, variables):
        self.config = variables["config"]
        project = {"id": "1", "name": variables["projectName"], "entity": {"id": "1", "name": "me"}}
        return {"upsertSweep": {"sweep": {"name": "sweep1", "project": project}, "configValidationWarnings": []}}

    def _create_agent(self, variables):
        assert variables["sweep"] == "sweep1"
        return {"createAgent": {"agent": {"id": f"agent{next(self._num_agents)}"}}}

    def _heartbeat(self, variables):
        running = set(json.loads(variables["runState"]))
        with self._lock:
            commands = [{"type": "stop", "run_id": run_id} for run_id in running & self.to_stop]
            if not running:
                commands = [self._next()]
        return {"agentHeartbeat": {"agent": {"id": variables["id"]}, "commands": json.dumps(commands)}}

    def _next(self):
        if self.offered_again:
            return self._command("resume", self.offered_again.pop())
        if not self._left:
            return {"type": "exit"}
        run_id = f"given{len(self.given)}"
        self.given[run_id] = self._left.pop(0)
        return self._command("run", run_id)

    def _command(self, kind, run_id):
        arguments = {name: {"value": value} for name, value in self.given[run_id].items()}
        return {"type": kind, "run_id": run_id, "program": "launch/train.py", "args": arguments}
