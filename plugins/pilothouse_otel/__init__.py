"""OpenTelemetry, Langfuse and openai-agents: their wire formats become Pilothouse's signals."""
