import { readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { Agent, request } from "node:https";
import { join } from "node:path";
import { Readable } from "node:stream";
import { EventSourceParserStream } from "eventsource-parser/stream";
import { CommandError } from "./command.ts";

/** A client of the appliance, with a certificate of this installation. */
export class ApiClient {
  readonly #url: string;
  readonly #agent: Agent;

  /** `url`: base URL without a path. `name`: whose certificate, of those under `certs/clients`. */
  constructor(url: string, certsDir: string, name: string) {
    this.#url = url;
    const read = (...path: string[]): string => {
      const file = join(certsDir, ...path);
      try {
        return readFileSync(file, "utf8");
      } catch {
        throw new CommandError(`${file} can't be read. Issue it with \`npx sallyport certs issue ${name}\`, or set SALLYPORT_DATA.`);
      }
    };
    this.#agent = new Agent({
      ca: read("ca.pem"),
      cert: read("clients", name, "cert.pem"),
      key: read("clients", name, "key.pem"),
      keepAlive: true,
    });
  }

  /** Status and body of an answer that is not a stream. */
  async json(method: "GET" | "POST", path: string, body?: unknown, signal?: AbortSignal): Promise<{ status: number; body: unknown }> {
    const response = await this.#send(method, path, body, signal);
    const text = Buffer.concat(await Array.fromAsync(response as AsyncIterable<Buffer>)).toString("utf8");
    return { status: response.statusCode ?? 0, body: JSON.parse(text) };
  }

  /** The chunks of a streamed answer. Throws a `CommandError` with the service's own words when it refuses. */
  async *stream(path: string, body: unknown, signal?: AbortSignal): AsyncGenerator<Chunk> {
    const response = await this.#send("POST", path, body, signal);
    if (response.statusCode !== 200) {
      throw refusal(JSON.parse(Buffer.concat(await Array.fromAsync(response as AsyncIterable<Buffer>)).toString("utf8")));
    }
    const bytes = Readable.toWeb(response) as ReadableStream<Uint8Array<ArrayBuffer>>; // Node's own stream types name the same thing twice
    for await (const { data } of bytes.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream())) {
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data) as Chunk | ErrorBody; // the shape of our own API
      if ("error" in chunk) throw refusal(chunk);
      yield chunk;
    }
    throw new CommandError("The stream ended early: the service stopped, or the connection broke.");
  }

  close(): void {
    this.#agent.destroy();
  }

  async #send(method: string, path: string, body: unknown, signal?: AbortSignal): Promise<IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const sent = request(
      `${this.#url}${path}`,
      { method, agent: this.#agent, headers: { "Content-Type": "application/json" }, ...(signal ? { signal } : {}) },
      resolve,
    );
    sent.on("error", (error: NodeJS.ErrnoException) => {
      const advice =
        error.code === "ECONNREFUSED"
          ? "Is the service running? Start it with `npm start`, or name it with --url."
          : "Check the certificate with `npx sallyport certs list`.";
      reject(signal?.aborted ? error : new CommandError(`${this.#url} does not answer (${error.message}). ${advice}`));
    });
    sent.end(body === undefined ? undefined : JSON.stringify(body));
    return await promise;
  }
}

/** A chunk of OpenAI's `chat.completion.chunk`, as far as it is read here. */
export interface Chunk {
  readonly choices: readonly { readonly delta: { readonly content?: string }; readonly finish_reason: string | null }[];
  readonly usage?: { readonly prompt_tokens: number; readonly completion_tokens: number } | null;
}

interface ErrorBody {
  readonly error: { readonly message: string; readonly code: string };
}

function refusal(body: ErrorBody): CommandError {
  return new CommandError(`${body.error.message} (${body.error.code})`);
}
