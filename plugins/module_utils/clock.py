# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How far this host's clock is from the controller's."""

from __future__ import annotations

import time

# Seconds that may pass, between two busy machines, from when the controller tells its time until a module reads it.
ARRIVES_WITHIN = 20


def wrong_by(controller_time, allowed):
    """Seconds by which the clock differs, where that is too much; None where it is not, or may only have been the way here.

    :arg controller_time: the controller's clock when it began, in seconds since 1970, or None.
    :arg allowed: seconds by which it may differ.
    """
    if not controller_time:
        return None
    skew = time.time() - controller_time
    return None if -allowed <= skew <= allowed + ARRIVES_WITHIN else skew
