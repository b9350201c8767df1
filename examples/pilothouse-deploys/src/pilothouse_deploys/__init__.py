"""Deployments, beside the executions that ran on them."""
