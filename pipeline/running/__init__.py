"""One run on this machine, from images to a model that has answered.

run -> ingests (ingesting) -> Job -> child, a process of its own -> local_runner -> results, query
child -> events.jsonl -> `pipeline.showing`, on the terminal
child -> result.json -> run -> summary.json -> history, for `signs runs`
"""
