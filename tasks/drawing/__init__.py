"""The drawing code of phase `figures`, one file for each kind of figure, and what these share.

`style` holds sizes, colours and fonts. `plate` turns a drawing into bytes that are the same each time. The
files `tables_…` hold the results of the phases as plain columns. Every other file draws. No file here knows
of stores or opens anything.
"""
