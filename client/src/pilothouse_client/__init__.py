"""Reports the runs, steps, errors, token usage and events of a program to Pilothouse; standard library only."""

from pilothouse_client.client import Client
from pilothouse_client.commands import Cancelled, Command
from pilothouse_client.executions import Execution, Step, current_execution, current_step

__all__ = ["Cancelled", "Client", "Command", "Execution", "Step", "current_execution", "current_step"]
