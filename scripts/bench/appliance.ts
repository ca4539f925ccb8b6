import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Models, startAppliance } from "../../server/appliance.ts";
import type { Config } from "../../server/config.ts";
import { testEgress } from "../../server/egress.ts";
import { Events } from "../../server/events.ts";
import { ApiClient } from "../api-client.ts";

/** A policy without guards, but for the length of a prompt. */
export const guardsOff = `input: { control_characters: off, injection: off, invisible_text: off, repetition: off, delicate: off, personal_data: off }
output: { control_characters: off, invisible_text: off, canary: off, repetition: off, active_content: off, links: off, delicate: off, personal_data: off }
`;

/** A configuration for measuring: a port of its own, and data of its own in `scratch`. */
export function benchConfig(config: Config, scratch: string, guards: "on" | "off"): Config {
  const own: Config = { ...config, dataDir: join(scratch, guards), listen: { host: "127.0.0.1", port: 0 } };
  if (guards === "on") return own;
  const policy = join(scratch, "off.yaml");
  writeFileSync(policy, guardsOff);
  return { ...own, policy };
}

/** The appliance, and a client of it. */
export async function openBenchAppliance(config: Config, models: Models): Promise<AsyncDisposable & { client: ApiClient }> {
  const appliance = await startAppliance(config, models, await testEgress(), new Events("silent"));
  const client = ApiClient.installed(appliance.url, join(config.dataDir, "certs"), "app");
  return {
    client,
    async [Symbol.asyncDispose]() {
      client.close();
      await appliance[Symbol.asyncDispose]();
    },
  };
}
