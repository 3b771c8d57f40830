"""The explorer: graphs, features and experiments as pages of a browser, from a file or from a local server.

What a page shows comes as *records*, each with a key such as "graph/plural/ID". A phase's name means nothing
here: what the records hold is said in `tasks/exploring`. `src/` has the sources of the page in JavaScript,
and `built/` what `node build.mjs` makes of them. The built files are committed, so that users need no Node.
"""
