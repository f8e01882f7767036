// openai for node reads every format: node transcribe.mjs ADDRESS FOLDER_WITH_OPENAI FILE; tells it as one JSON object.
import fs from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [address, packages, file] = process.argv.slice(2);
const entry = createRequire(pathToFileURL(`${packages}/`)).resolve("openai");
const { default: OpenAI } = await import(pathToFileURL(entry).href);
const client = new OpenAI({ baseURL: `${address}/v1`, apiKey: "any", maxRetries: 0 });
const ask = (options) =>
  client.audio.transcriptions.create({ file: fs.createReadStream(file), model: "whisper-1", ...options });

const seen = { events: [] };
for (const response_format of ["json", "text", "srt", "vtt", "verbose_json"]) {
  seen[response_format] = await ask({ response_format });
}
seen.logprobs = await ask({ response_format: "json", include: ["logprobs"] });
seen.vad = await ask({
  response_format: "verbose_json",
  chunking_strategy: { type: "server_vad", silence_duration_ms: 1900, threshold: 0.4 },
});
for await (const event of await ask({ stream: true })) seen.events.push(event);
console.log(JSON.stringify(seen));
