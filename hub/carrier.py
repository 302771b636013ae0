"""Carriers: greenlets that run one green thread after another (rule 2.5).

Owns the reuse: what a tenant may leave behind (nothing) and where a carrier
goes when its tenant has ended. Entered for the first time by the hub's
greenlet only (rule 2.4).
"""

from __future__ import annotations

from sys import getprofile, gettrace, setprofile, settrace

from greenlet import greenlet

from greenworld.hub.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from greenworld.hub.greenthread import GreenThread

__all__ = ["Carrier"]


class Carrier(greenlet):
    """One reused greenlet. `task` is its present tenant, None while it is idle."""

    __slots__ = ("task",)

    task: Any

    def run(self, tenant: GreenThread[Any] | None) -> None:
        """Run tenants until told to end (by a None)."""
        assert tenant is not None
        hub = tenant.hub
        hub.carriers.add(self)
        ready = hub.ready
        fresh = hub.fresh
        starter = hub.starter
        idle = hub.idle
        switch = self.switch
        trace = gettrace()
        profile = getprofile()
        while tenant is not None:
            self.task = tenant
            tenant.greenlet = self
            tenant.switch = switch
            self.gr_context = tenant.context
            tenant.execute()
            # What the tenant set ends with it; what was turned off meanwhile stays off.
            if gettrace() is not trace and gettrace() is not None:
                settrace(trace)
            if getprofile() is not profile and getprofile() is not None:
                setprofile(profile)
            if hub.guests:
                hub.orphan_guests(self)
            hub.credit = credit = hub.credit - 1
            if credit > 0 and ready:
                entry = ready.popleft()
                if entry is starter:  # a fresh green thread: no switch at all
                    tenant = fresh.popleft()
                    continue
                self.task = self.gr_context = tenant = None
                idle.append(self)
                tenant = entry.switch()
                del entry
            else:
                self.task = self.gr_context = tenant = None
                idle.append(self)
                tenant = hub.enter()
            trace = gettrace()
            profile = getprofile()
        hub.carriers.discard(self)
