# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a host's clock is wrong. The controller judges it: it knows when a look at the host began and when the answer came."""

from __future__ import annotations

import time

from ansible.plugins.action import ActionBase


def look(execute, allowed):
    """Looks at a host, and judges its clock.

    :arg execute: function that runs a module there and returns its result, with the host's time as clock, in seconds since 1970.
    :arg allowed: seconds by which the clock may differ, or None, and it is not judged.
    :returns: the result without clock, and a list with the finding, empty where there is none.
    """
    began = time.time()
    seen = execute()
    ended = time.time()
    told = seen.pop("clock", None)  # missing where the module failed
    skew = 0 if told is None else wrong_by(told, began, ended)
    if allowed is None or abs(skew) <= int(allowed):
        return seen, []
    return seen, [
        "has a clock that differs by %d s from the controller's; host__maximum_clock_skew allows %d. "
        "Set its clock and see that its time service runs: timedatectl." % (skew, int(allowed))
    ]


def wrong_by(told, began, ended):
    """Seconds by which a clock surely differs from the controller's: it was read at some moment between these two.

    :arg told: the host's time, began and ended: the controller's time before and after, all in seconds since 1970.
    """
    return min(told - began, 0) or max(told - ended, 0)


class ClockAction(ActionBase):
    """Runs a module that tells findings and the host's time, and adds the finding on its clock to them."""

    MODULE = ""

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        args = self._task.args
        seen, wrong = look(
            lambda: self._execute_module(module_name=self.MODULE, module_args=args, task_vars=task_vars),
            args.get("maximum_clock_skew"),
        )
        return dict(seen, findings=seen["findings"] + wrong) if "findings" in seen else seen
