"""Whether a model holds what its checkpoint says: `check_weights`."""

from .check import Report, check_weights, compare
from .findings import WeightFinding

__all__ = ["Report", "WeightFinding", "check_weights", "compare"]
