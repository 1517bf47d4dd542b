"""params.yaml as frozen, validated types: one module for each group of stages that reads it.

The modules are apart so that a stage depends on the sections it reads and on nothing else: a change to how
the analysis is configured must not retrain a cell.
"""
