"""What figures are made of: one file of drawing code a kind of figure, and what they share.

`style` holds sizes, colours and fonts; `plate` turns a drawing into bytes that are the same each time;
`tables` are the phases' results as plain columns; every other file draws. No file here knows of stores or
reads anything.
"""
