import * as http from "node:http";
import * as https from "node:https";
import { join } from "node:path";
import * as tls from "node:tls";
import { EventSourceParserStream } from "eventsource-parser/stream";
import { brokenOff, type Connection, issueAgain, unanswered } from "./broken-connection.ts";
import { readKeyPair, readPem } from "./key-pair.ts";

/** The service said no, and its code. */
export class Refused extends Error {
  readonly code: string;

  constructor(message: string, code: string) {
    super(`${message} (${code})`);
    this.code = code;
  }
}

/** A client of an OpenAI-compatible server, over https or http as its URL says. What goes wrong is an error with a sentence, or the signal's reason. */
export class ApiClient {
  readonly #connection: Connection;
  readonly #agent: http.Agent;
  readonly #request: typeof http.request;

  constructor(connection: Connection, credentials: https.AgentOptions) {
    this.#connection = connection;
    const encrypted = connection.url.startsWith("https:");
    // Other servers end a connection after so many calls, without a word; a new one costs nothing where nothing is encrypted.
    this.#agent = encrypted ? new https.Agent({ ...credentials, keepAlive: true }) : new http.Agent({ keepAlive: false });
    this.#request = encrypted ? https.request : http.request;
  }

  /**
   * Of the appliance, with a certificate of this installation. `url`: base URL without a path. `name`: whose certificate, of those under `certs/clients`.
   * `serverNames`: one of them, or the URL's host, must be in the server's certificate.
   */
  static installed(url: string, certsDir: string, name: string, serverNames: readonly string[] = []): ApiClient {
    const caFile = join(certsDir, "ca.pem");
    const ca = readPem(caFile, "Make what is missing with `npx sallyport setup`, or set SALLYPORT_DATA.");
    const { cert, key } = readKeyPair(join(certsDir, "clients", name), issueAgain(name));
    const checkServerIdentity = (host: string, certificate: tls.PeerCertificate): Error | undefined => {
      const all = [host, ...serverNames].map((one) => tls.checkServerIdentity(one, certificate));
      return all.includes(undefined) ? undefined : all[0];
    };
    return new ApiClient({ url, caFile, name }, { ca, cert, key, checkServerIdentity });
  }

  /** An answer as it stands: what is no JSON. */
  async text(path: string, signal?: AbortSignal): Promise<string> {
    return await this.#text(await this.#send("GET", path, undefined, signal), signal);
  }

  /** Status and body of an answer that is not a stream. */
  async json(method: "GET" | "POST", path: string, body?: unknown, signal?: AbortSignal): Promise<{ status: number; body: unknown }> {
    const response = await this.#send(method, path, body, signal);
    return { status: response.statusCode ?? 0, body: await this.#whole(response, signal) };
  }

  /** The chunks of a streamed answer. Throws with the service's own words when it refuses. */
  async *stream(path: string, body: unknown, signal?: AbortSignal): AsyncGenerator<Chunk> {
    const response = await this.#send("POST", path, body, signal);
    if (response.statusCode !== 200) throw refusal(await this.#whole(response, signal));
    const bytes = ReadableStream.from(this.#pieces(response, signal));
    for await (const { data } of bytes.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream())) {
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data) as Chunk | ErrorBody; // the shape of OpenAI's API
      if ("error" in chunk) throw refusal(chunk);
      yield chunk;
    }
    throw brokenOff(this.#connection);
  }

  close(): void {
    this.#agent.destroy();
  }

  async #send(method: string, path: string, body: unknown, signal?: AbortSignal): Promise<http.IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>();
    const sent = this.#request(
      `${this.#connection.url}${path}`,
      { method, agent: this.#agent, headers: { "Content-Type": "application/json" }, ...(signal ? { signal } : {}) },
      resolve,
    );
    sent.on("error", (error) => reject(signal?.aborted ? signal.reason : unanswered(error, this.#connection)));
    sent.end(body === undefined ? undefined : JSON.stringify(body));
    return await promise;
  }

  async *#pieces(response: http.IncomingMessage, signal?: AbortSignal): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    try {
      yield* response;
    } catch {
      throw signal?.aborted ? signal.reason : brokenOff(this.#connection);
    }
  }

  async #text(response: http.IncomingMessage, signal?: AbortSignal): Promise<string> {
    return Buffer.concat(await Array.fromAsync(this.#pieces(response, signal))).toString("utf8");
  }

  async #whole(response: http.IncomingMessage, signal?: AbortSignal): Promise<unknown> {
    const text = await this.#text(response, signal);
    try {
      return JSON.parse(text);
    } catch {
      throw new Error(`What answers at ${this.#connection.url} is not Sallyport (status ${response.statusCode}): correct --url.`);
    }
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

function refusal(body: unknown): Refused {
  const { error } = body as Partial<ErrorBody>; // the shape of OpenAI's API
  return new Refused(error?.message ?? "It refuses, and does not say why", String(error?.code));
}
