"""The face towards the triggerer: one trigger for all workloads."""
