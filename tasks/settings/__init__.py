"""Every setting: one frozen struct a phase, and the profiles that fill them."""
