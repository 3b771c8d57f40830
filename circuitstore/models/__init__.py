"""The language model: loading it, its parts, and what one run of it shows.

Of the library this package imports only `errors`. The import below sets how Intel's library multiplies
matrices, before any module of this package computes (see `device`). Every package that computes has this
import, so that no module can be used without it.
"""

from circuitstore.models import device as device
