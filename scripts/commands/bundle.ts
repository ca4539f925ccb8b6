import { existsSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { sha256Of } from "../../models/verify-file.ts";
import { readConfig } from "../../server/config.ts";
import { createBundle } from "../bundle/create.ts";
import { type BundleFacts, factsIn, readMember } from "../bundle/members.ts";
import { defaultKeyFile, makeReleaseKey, type ReleaseKey, readReleaseKey } from "../bundle/release-key.ts";
import { checkSeal, fingerprint, publicText, readSeal, sha256OfSealed } from "../bundle/seal.ts";
import { type Action, actionOf, type Command } from "../command.ts";
import { step } from "../progress.ts";
import { stopSignal } from "../stop-signal.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

const options = {
  key: { type: "string" },
  model: { type: "string", multiple: true },
  since: { type: "string" },
  succeeds: { type: "string" },
  trust: { type: "string" },
  json: { type: "boolean" },
} as const;

type Values = ReturnType<typeof parseArgs<{ options: typeof options }>>["values"];

const actions: Readonly<Record<string, Action<[values: Values, file?: string]>>> = {
  create: { options: ["key", "model", "since", "json"], argument: "[FILE]", run: create },
  verify: { options: ["trust", "json"], argument: "FILE", run: verify },
  key: { options: ["succeeds"], argument: "FILE", run: makeKey },
};

export const bundle: Command = {
  usage: `Usage: npx sallyport bundle create [FILE] [--key FILE] [--model ID]… [--since BUNDLE] [--json]
       npx sallyport bundle verify FILE [--trust FINGERPRINT] [--json]
       npx sallyport bundle key FILE [--succeeds FILE]

create   writes one signed file (sallyport-VERSION-linux-ARCH.bundle unless named) with the service, its packages, the runtime, classifiers,
         models (those sallyport.yaml names, or each --model), a bill of materials (CycloneDX) and the installer. The same commit, models and
         key give the same bytes. --since leaves out what an earlier bundle carried: only hosts that have that one can take it.
         --key names the release key; without it ${defaultKeyFile} is used, and made the first time.
verify   checks every byte and the signature; --trust also who signed, by the fingerprint of a release key.
key      makes a release key (Ed25519). --succeeds: one that hosts take in place of the older key, by a statement that the older key signs.

Take it up on the host:  tar -xf FILE install.sh && sh install.sh FILE`,

  async run(args) {
    const { values, positionals } = parseArgs({ args, options, allowPositionals: true });
    return await actionOf("bundle", actions, positionals, values).run(values, positionals[1]);
  },
};

async function create({ key: keyFile, model, since, json }: Values, file?: string): Promise<number> {
  const signal = stopSignal();
  const config = readConfig();
  const key = keyFile === undefined ? defaultKey() : readReleaseKey(keyFile);
  const models = model ?? config.models.filter(({ engine }) => engine === undefined).map(({ id }) => id);
  const facts = await step("Making the bundle", () => createBundle({ root, out: file, config, models, key, since, signal }));
  return report(facts.file, facts, json, "Write the SHA-256 down, and let whoever installs it compare: sha256sum FILE");
}

async function verify({ trust, json }: Values, file = ""): Promise<number> {
  const signal = stopSignal();
  const seal = readSeal(file);
  const sum = await step("Verifying", () => sha256OfSealed(file, statSync(file).size, signal));
  checkSeal(seal, sum);
  const signer = fingerprint(seal.key);
  if (trust !== undefined && trust !== signer) throw new Error(`${file} is signed by ${signer}, and not by ${trust}.`);
  const how =
    trust === undefined
      ? "Whole, and signed by this key. Compare the key with what the release's sheet says."
      : "Whole, and signed by a key you trust.";
  return report(file, factsIn(await readMember(file, "BUNDLE")), json, how);
}

async function report(
  file: string,
  { version, commit, target, base }: BundleFacts,
  json: boolean | undefined,
  advice: string,
): Promise<number> {
  const told = {
    file,
    version,
    commit,
    target,
    ...(base === undefined ? {} : { base }),
    bytes: statSync(file).size,
    sha256: await sha256Of(file),
    key: fingerprint(readSeal(file).key),
  };
  if (json) console.log(JSON.stringify(told));
  else
    console.log(
      `${Object.entries(told)
        .map(([name, value]) => `${name.padEnd(8)} ${value}`)
        .join("\n")}\n${advice}`,
    );
  return 0;
}

function makeKey({ succeeds }: Values, file = ""): number {
  const made = makeReleaseKey(file, succeeds === undefined ? undefined : readReleaseKey(succeeds));
  console.log(`Made the release key ${file}, fingerprint ${fingerprint(publicText(made.key))}. Keep it off the network, and back it up.`);
  return 0;
}

function defaultKey(): ReleaseKey {
  if (existsSync(defaultKeyFile)) return readReleaseKey(defaultKeyFile);
  const made = makeReleaseKey(defaultKeyFile);
  console.error(`Made a release key, ${defaultKeyFile}: back it up, every host that takes this bundle will trust it.`);
  return made;
}
