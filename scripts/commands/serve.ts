import { once } from "node:events";
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import { type Config, readConfig } from "../../server/config.ts";
import { type Egress, testEgress } from "../../server/egress.ts";
import type { Command } from "../command.ts";
import { openConfiguredClassifiers, openEngines, unlessStopped } from "../engines.ts";
import { step } from "../progress.ts";
import { shellWord } from "../shell-word.ts";
import { stopSignal } from "../stop-signal.ts";

export const serve: Command = {
  usage: `Usage: npx sallyport serve [--setup]

Loads the configured models and answers over mutual TLS until Ctrl-C, SIGTERM or a closed terminal (SIGHUP); then running
answers get limits.shutdown_grace_ms to finish, are settled in the audit log, and the exit status is 0.

  --setup   first do what is missing: fetch the models, make CA, certificates and keys (npm start does this)

Environment: SALLYPORT_CONFIG (default sallyport.yaml), PORT, SALLYPORT_HOST, SALLYPORT_DATA (default ./data),
SALLYPORT_MODELS (default models), LOG_LEVEL (default info).`,

  async run(args) {
    const { values } = parseArgs({ args, options: { setup: { type: "boolean", default: false } } });
    const stop = stopSignal();
    const config = readConfig();
    if (values.setup) await (await import("./setup.ts")).setUp(config, stop);
    await using opened = new AsyncDisposableStack();
    const leaving = testEgress();
    const [{ startAppliance }, classifiers, engines] = await step("Loading the models", async () => {
      const answers = openEngines(config, stop);
      const judges = unlessStopped(openConfiguredClassifiers(config), stop);
      const server = import("../../server/appliance.ts"); // takes long enough to read not to keep the models waiting
      const [judging, answering] = await Promise.allSettled([judges, answers]);
      if (answering.status === "rejected") throw answering.reason;
      for (const engine of answering.value) opened.use(engine);
      if (judging.status === "rejected") throw judging.reason;
      return [await server, opened.use(judging.value), answering.value] as const;
    });
    const egress = await leaving;
    const appliance = opened.use(await startAppliance(config, { engines, classifiers }, egress));
    console.log(howToCall(appliance.url, config));
    for (const { id, device } of engines.map(({ model }) => model))
      if (device !== undefined) console.log(`${id} is computed on: ${device}.`);
    console.log(aboutEgress(egress));
    if (!stop.aborted) await once(stop, "abort");
    console.log("Stopping …");
    await opened.disposeAsync();
    console.log("Stopped.");
    return 0;
  },
};

function aboutEgress({ refused, ways }: Egress): string {
  return refused
    ? "Egress refused: nothing leads out of where this service runs."
    : `WARNING: egress is open (${ways.join(", ")}). Run the service where nothing leads out: systemd units or PREFIX/run, see docs/install.md.`;
}

/** The other terminal does not have this one's settings. */
function howToCall(url: string, { dataDir, models }: Config): string {
  const near = relative(process.cwd(), join(dataDir, "certs"));
  const certs = near.startsWith("..") ? join(dataDir, "certs") : near;
  const file = (...path: string[]): string => shellWord(join(certs, ...path));
  const port = process.env.PORT && { PORT: /\d+$/u.exec(url)?.[0] };
  const { SALLYPORT_CONFIG, SALLYPORT_DATA } = process.env;
  const settings = Object.entries({ ...port, SALLYPORT_CONFIG, SALLYPORT_DATA })
    .flatMap(([name, value]) => (value ? [`${name}=${shellWord(value)} `] : []))
    .join("");
  return `
Sallyport answers at ${url} (model ${models[0]?.id}). Try it from another terminal:

  ${settings}npx sallyport call "Say hello."

  curl --cacert ${file("ca.pem")} --cert ${file("clients", "app", "cert.pem")} --key ${file("clients", "app", "key.pem")} \\
    -H 'Content-Type: application/json' ${url}/v1/chat/completions \\
    -d '{"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 64}'

Ctrl-C stops it.
`;
}
