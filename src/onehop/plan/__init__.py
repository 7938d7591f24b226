"""Make the plan: once per process, from the layers that Django has loaded."""

from onehop.plan.affinity import make_plan

__all__ = ["make_plan"]
