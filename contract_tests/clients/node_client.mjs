// openai for node against the server whose address is the argument; what it saw goes out as one JSON object.
import fs from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [address, packages, recording] = process.argv.slice(2);
const find = createRequire(pathToFileURL(packages + "/"));
const { default: OpenAI, toFile } = await import(pathToFileURL(find.resolve("openai")).href);
const client = new OpenAI({ baseURL: `${address}/v1`, apiKey: "any", maxRetries: 0, timeout: 30_000 });
const chat = (content, options = {}) =>
  client.chat.completions.create({ model: "scripted", messages: [{ role: "user", content }], ...options });
const refusal = async (promise) => {
  try {
    return { answered: await promise };
  } catch (error) {
    return { kind: error.constructor.name, status: error.status, code: error.code, param: error.param };
  }
};
const collect = async (stream) => {
  const items = [];
  for await (const item of await stream) items.push(item);
  return items;
};
const transcribe = (file, options = {}) =>
  client.audio.transcriptions.create({ file, model: "scripted-speech", prompt: "say hello there", ...options });
const stream = () => fs.createReadStream(recording);

const seen = {};
seen.chat = await chat("hello", { max_tokens: 3 });
seen.requestId = seen.chat._request_id;
seen.chunks = await collect(chat("hello", { max_tokens: 3, stream: true, stream_options: { include_usage: true } }));
seen.final = await client.chat.completions
  .stream({ model: "scripted", messages: [{ role: "user", content: "say one two" }] })
  .finalContent();
seen.left = await (async () => {
  for await (const chunk of await chat("tick 0.02", { stream: true })) if (chunk.choices[0].delta.content) break;
  return true;
})();
seen.streamError = await refusal(collect(chat("fail", { stream: true })));
seen.bad = await refusal(chat("hello", { temperature: 9 }));
seen.unknown = await refusal(chat("hello", { model: "gpt-9" }));
seen.models = (await collect(client.models.list())).map((model) => model.id);
seen.model = await client.models.retrieve("scripted");
seen.conflict = await refusal(client.models.delete("tiny-asr"));
seen.json = await transcribe(stream());
seen.text = await transcribe(await toFile(Buffer.from("RIFFxxxx"), "a.wav"), { response_format: "text" });
seen.verbose = await transcribe(stream(), { response_format: "verbose_json", timestamp_granularities: ["segment"] });
seen.srt = await transcribe(stream(), { response_format: "srt" });
seen.events = await collect(transcribe(stream(), { stream: true, include: ["logprobs"] }));
seen.language = await refusal(transcribe(stream(), { language: "klingon" }));
console.log(JSON.stringify(seen));
