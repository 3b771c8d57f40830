"""The language model: loading it, its parts, and what one run of it shows. Imports of the library only
`errors`.

The import below runs before any module that computes with torch, because all of them import something from
this package. It sets how Intel's library multiplies matrices (see `device`).
"""

from circuitstore.models import device as device
