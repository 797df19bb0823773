"""Dynamic batching: requests that wait together run together.

batched_model (a Servable) -> queues (of tasks) -> a thread -> batch_rows -> the model -> tasks
                               window (how long?)
"""
