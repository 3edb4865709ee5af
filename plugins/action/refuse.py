# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Shows every finding in one message and stops the run. Touches nothing."""

from __future__ import annotations

from ansible.plugins.action import ActionBase
from ansible_collections.hardway.kubernetes.plugins.plugin_utils.sentences import by_sentence


class ActionModule(ActionBase):
    """Fails when there are findings."""

    TRANSFERS_FILES = False

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        findings = {
            host: list(sentences) for host, sentences in (self._task.args.get("findings") or {}).items() if sentences
        }
        result.update(changed=False, findings=findings)
        if findings:
            untouched = self._task.args.get("untouched") or "Nothing was changed on any host."
            lines = ["%s. %s" % (self._task.args["what"], untouched)]
            lines += ["- " + line for line in by_sentence(findings)]
            result.update(failed=True, msg="\n".join(lines))
        return result
