// What the SDKs for Node do with address and key changed by the environment alone.
import assert from "node:assert";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

const messages = [{ role: "user", content: "[[in=10 out=5]]" }];
const client = new OpenAI();
const claude = new Anthropic();
assert.equal((await client.chat.completions.create({ model: "gpt-4o-mini", messages })).usage.prompt_tokens, 10);
for await (const chunk of await client.chat.completions.create({ model: "gpt-4o-mini", messages, stream: true })) assert(chunk.choices.length);
assert.equal((await client.responses.create({ model: "gpt-5-mini", input: "[[in=10 out=5]]" })).usage.output_tokens, 5);
assert.equal((await client.embeddings.create({ model: "text-embedding-3-small", input: "a" })).usage.prompt_tokens, 3);
assert.equal((await claude.messages.create({ model: "claude-haiku-4-5", max_tokens: 9, messages })).usage.output_tokens, 5);
const last = await claude.messages.stream({ model: "claude-haiku-4-5", max_tokens: 9, messages }).finalMessage();
assert.equal(last.usage.output_tokens, 5);
assert.equal((await claude.messages.countTokens({ model: "claude-haiku-4-5", messages })).input_tokens, 10);
assert.equal((await claude.models.list()).data[0].id, "claude-haiku-4-5");
