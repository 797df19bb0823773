"""One training on several pods: the Trainer's step starts a job, whose pods train in its place.

    compiling -> JointTraining -> the Trainer's step: start.run_fn -> TrainJob or TFJob
                                     |  ^                                |
                                     v  |                                v
                          exchange: a folder on the claim <-> worker, in each pod of the job

KFP starts one pod a step. What the workers have trained becomes the step's own model, so that
Evaluator and Pusher follow as after any training.
"""
