"""The phases that train transcoders on a corpus. They are built only when asked for."""
