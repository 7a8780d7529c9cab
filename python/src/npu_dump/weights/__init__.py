"""Whether a model holds what its checkpoint says: `check_weights`.

Rules, all stable:

- ``weights/missing``, ``weights/head-missing``: not in the checkpoint, hence as initialised
- ``weights/tied``, ``weights/untied``: the head is the embedding's tensor, or is not, and should not or should
- ``weights/transposed``, ``weights/permuted``, ``weights/halves-swapped``: the right values in the wrong order
- ``weights/swapped``: the values of another tensor of the checkpoint
- ``weights/values``, ``weights/shape``: other values for no reason known here, another shape
- ``weights/cast``, ``weights/rounded``, ``weights/overflow``, ``weights/underflow``: another precision
- ``weights/not-finite``: NaN or infinite elements
- ``weights/unused``: in the checkpoint alone
- ``weights/shard-absent``, ``weights/shard-damaged``: a file
- ``weights/not-compared``: not known to be right
- ``config/rope``, ``config/norm``, ``config/constant``, ``config/buffer``, ``config/value``: not as in config.json
"""

from .check import Report, check_weights, compare
from .findings import WeightFinding

__all__ = ["Report", "WeightFinding", "check_weights", "compare"]
