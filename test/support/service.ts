import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Agent } from "undici";
import { clientAgent, echoConfig, type Reply, root, send } from "./appliance.ts";
import { compiled } from "./run.ts";

/** `sallyport serve` as a process of its own. */
export interface Service {
  readonly child: ChildProcess;
  readonly url: string;
  readonly dataDir: string;
  readonly agent: Agent;
  /** Standard output and error so far. */
  output(): string;
  call(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<Reply>;
  /** Sends a signal and returns the exit status, or the signal that ended it. */
  end(signal: NodeJS.Signals): Promise<number | string>;
}

/** Each thread that judges opens every model, for a second after the start: what they do to each other is shown in this process (test/classifiers.test.ts). */
const oneJudges = "classifiers: { workers: 1 }\n";

/** `config`: the text of `sallyport.yaml`. `env`: what else it finds there. `fileBytesMax`: no file can grow beyond it, as on a full disk. */
export async function startService(
  dataDir: string,
  config = echoConfig,
  { fileBytesMax, env: more = {} }: { fileBytesMax?: number; env?: Record<string, string> } = {},
): Promise<Service> {
  const configFile = join(dataDir, "sallyport.yaml");
  writeFileSync(configFile, config + oneJudges);
  const env = { ...process.env, ...compiled, SALLYPORT_CONFIG: configFile, SALLYPORT_DATA: dataDir, PORT: "0", ...more };
  const command = [process.execPath, join(root, "scripts/sallyport.ts"), "serve"];
  // Without the trap the system would end a process that writes too much.
  const limited = ["bash", "-c", `trap '' XFSZ; ulimit -f ${(fileBytesMax ?? 0) / 1024}; exec "$@"`, "bash", ...command];
  const [program = "", ...args] = fileBytesMax === undefined ? command : limited;
  const child = spawn(program, args, { env, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (data) => {
      output += String(data);
    });
  const exited = once(child, "exit");
  const url = await new Promise<string>((resolve, reject) => {
    child.stderr.on("data", () => {
      const started = /"url":"(https:[^"]+)"/u.exec(output);
      if (started?.[1] !== undefined) resolve(started[1]);
    });
    void exited.then(() => reject(new Error(`the service ended:\n${output}`)));
  });
  const agent = clientAgent(join(dataDir, "certs"), "app");
  return {
    child,
    url,
    dataDir,
    agent,
    output: () => output,
    call: (method, path, body, signal) => send(`${url}${path}`, method, body, { dispatcher: agent, ...(signal ? { signal } : {}) }),
    async end(signal) {
      child.kill(signal);
      const [status, by] = await exited;
      await agent.destroy();
      return status ?? by;
    },
  };
}
