import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Agent } from "undici";
import { contentOf, send, userSays } from "./appliance.ts";

/** What a client has in its hands: copies, which nobody renews but itself. */
export interface Hand {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export function handOf(certsDir: string, name: string, ca = readFileSync(join(certsDir, "ca.pem"), "utf8")): Hand {
  const read = (file: string): string => readFileSync(join(certsDir, "clients", name, file), "utf8");
  return { ca, cert: read("cert.pem"), key: read("key.pem") };
}

/** Streams `words` back over a connection of its own. Throws when the handshake fails or the stream breaks off. */
export async function streamBack(url: string, hand: Hand, words: string): Promise<void> {
  const dispatcher = new Agent({ connect: { ...hand } });
  try {
    const { status, text } = await send(`${url}/v1/chat/completions`, "POST", { ...userSays(words), stream: true }, { dispatcher });
    if (status !== 200 || contentOf(text) !== words || !text.includes("[DONE]")) throw new Error(`status ${status}: ${text.slice(-200)}`);
  } finally {
    await dispatcher.destroy();
  }
}

/** A policy whose guards cost nothing, for tests about connections. */
export const noGuards = `
input: { tokens_max: 1000000, control_characters: off, injection: off, invisible_text: off, repetition: off, delicate: off, personal_data: off }
output: { control_characters: off, invisible_text: off, canary: off, repetition: off, links: off, delicate: off, personal_data: off }
`;
