"""What OpenAI's 1.x and Anthropic's 0.x SDKs do with address and key changed by the environment alone."""

from anthropic import Anthropic
from openai import OpenAI

ASK = [{"role": "user", "content": "[[in=10 out=5]]"}]
client, claude = OpenAI(), Anthropic()
assert client.chat.completions.create(model="gpt-4o-mini", messages=ASK).usage.prompt_tokens == 10
chunks = list(client.chat.completions.create(model="gpt-4o-mini", messages=ASK, stream=True))
assert all(chunk.choices for chunk in chunks)
assert client.responses.create(model="gpt-5-mini", input="[[in=10 out=5]]").usage.output_tokens == 5
assert client.embeddings.create(model="text-embedding-3-small", input="a").usage.prompt_tokens == 3
assert claude.messages.create(model="claude-haiku-4-5", max_tokens=9, messages=ASK).usage.output_tokens == 5
with claude.messages.stream(model="claude-haiku-4-5", max_tokens=9, messages=ASK) as stream:
    assert stream.get_final_message().usage.output_tokens == 5
assert claude.messages.count_tokens(model="claude-haiku-4-5", messages=ASK).input_tokens == 10
assert [one.id for one in claude.models.list()] == ["claude-haiku-4-5"]
