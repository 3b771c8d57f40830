"""What the explorer shows of each phase: records, which `circuitstore.viewer` turns into pages.

A record is asked for by its key:

    store                        phases × behaviours of a profile, with keys, contents and times
    status/BEHAVIOUR             the state of each phase and its reason, as `circuitstore status` says it
    behaviour/BEHAVIOUR          prompts, baseline, gate, summaries, names of figures
    graph/BEHAVIOUR/PROMPT       one attribution graph
    text/NAME                    the graph of one text
    circuit/BEHAVIOUR            the aggregated graph, in the form of a graph
    features/BEHAVIOUR           all features: layer, feature, labels, activity
    feature/BEHAVIOUR/L/F        all that is known of feature F of layer L
    figure/BEHAVIOUR/NAME        one picture with title, caption and what it was drawn from
    provenance/BEHAVIOUR/PHASE   what a result was made from, down to the files of the model
"""
