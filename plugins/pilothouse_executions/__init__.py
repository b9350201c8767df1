"""Executions: workflows, their runs, the steps of each run, and the live page over them."""
