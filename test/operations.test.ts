import { chmodSync, cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { expect } from "chai";
import { echoConfig, prepareData, root, startTestAppliance, userSays } from "./support/appliance.ts";
import { defaultModelFile } from "./support/model.ts";
import { startOwnCa } from "./support/own-ca.ts";
import { type Ran, run } from "./support/run.ts";
import { scratchDir } from "./support/scratch.ts";
import { type Service, startService } from "./support/service.ts";

/** The commands of a document, in order: lines of its `sh` blocks, and what stands in its tables. */
function commandsOf(document: string): string[] {
  const text = readFileSync(join(root, "docs", document), "utf8");
  const found = [...text.matchAll(/```sh\n([\s\S]*?)```|^\|.*?\| `(npx sallyport [^`]*)` +\|/gmu)];
  return found.flatMap(([, block, cell]) => (block ?? cell ?? "").trim().split("\n"));
}

type Shell = (command: string, more?: Record<string, string>) => Promise<Ran>;

/** A directory as an operator has it, with a `npx` that runs this repository. */
function shellIn(dir: string): Shell {
  const bin = join(scratchDir(), "bin");
  const dataDir = join(dir, "data");
  mkdirSync(bin);
  writeFileSync(join(bin, "npx"), `#!/bin/sh\nshift\nexec ${process.execPath} ${join(root, "scripts/sallyport.ts")} "$@"\n`);
  chmodSync(join(bin, "npx"), 0o755);
  const env = { PATH: `${bin}${delimiter}${process.env.PATH}`, SALLYPORT_DATA: dataDir, SALLYPORT_CONFIG: join(dataDir, "sallyport.yaml") };
  return (command, more) => run("bash", ["-c", `cd '${dir}'; umask 077; ${command}`], { ...env, ...more });
}

async function newHost(): Promise<{ dir: string; dataDir: string; sh: Shell }> {
  const dir = scratchDir();
  const dataDir = join(dir, "data");
  cpSync(prepareData(echoConfig), dataDir, { recursive: true });
  await using service = await startTestAppliance({ dataDir });
  await service.call("POST", "/v1/chat/completions", userSays("Hello."));
  return { dir, dataDir, sh: shellIn(dir) };
}

describe("every command of the documentation", () => {
  it("on operations works as it stands, in its order", async () => {
    const { dataDir, sh } = await newHost();
    const env = { SALLYPORT_MODELS: scratchDir() };
    writeFileSync(join(env.SALLYPORT_MODELS, "catalogue.yaml"), "models: []\n");
    let service: Service | undefined;
    const stop = async (): Promise<void> => void (await service?.end("SIGTERM"));
    /** What the document says to do, and is no command. */
    const before: Record<string, () => Promise<void>> = {
      "npx sallyport call --ready --as operator": async () => {
        service = await startService(dataDir);
      },
      "npx sallyport models verify mine": async () => {
        await stop();
        service = await startService(dataDir, "models: [{ id: mine }, { id: echo, engine: echo }]\n", { env });
      },
      // What the service writes when it stops would be lost by the restoration, which is refused then.
      "npx sallyport backup sallyport.age --to PUBLIC_KEY": stop,
    };
    let publicKey = "";
    const commands = commandsOf("operations.md");
    expect(commands).to.include.members(Object.keys(before)).and.to.have.length.above(20);
    for (const command of commands) {
      await before[command]?.();
      const words = command.replace("PUBLIC_KEY", publicKey).replace("MODEL.gguf", defaultModelFile);
      const { status, stdout, stderr } = await sh(words, { ...env, PORT: service === undefined ? "0" : new URL(service.url).port });
      expect([command, status, status === 0 ? "" : stderr]).to.deep.equal([command, 0, ""]);
      if (command.includes("--new-key")) publicKey = stdout.split("\n")[0] ?? "";
    }
    expect((await sh("npx sallyport audit verify")).stderr).to.match(/audit\.key is missing/u);
    expect(
      readdirSync(dataDir, { recursive: true, encoding: "utf8" }).filter((path) => /audit\.key|replaced-|\.backup-/u.test(path)),
      "no key of the log is left",
    ).to.deep.equal([]);
  }).timeout(180_000);

  it("on certificates works as it stands, in its order", async () => {
    const { dir, sh } = await newHost();
    writeFileSync(join(dir, "password"), "a long password\n");
    const before: Record<string, () => Promise<unknown>> = {
      // A client whose key is elsewhere has not renewed.
      "npx sallyport certs retire": () => sh("npx sallyport certs revoke ward-7"),
      "npx sallyport certs install signed.pem": async () =>
        writeFileSync(join(dir, "signed.pem"), startOwnCa().sign(readFileSync(join(dir, "issuing.csr"), "utf8"))),
    };
    const commands = commandsOf("certificates.md");
    expect(commands.length).to.be.above(12);
    for (const command of commands) {
      await before[command]?.();
      const { status, stderr } = await sh(command);
      expect([command, status, status === 0 ? "" : stderr]).to.deep.equal([command, 0, ""]);
    }
    expect((await sh("npx sallyport doctor")).stdout).to.match(/ok {4}certificate +server/u);
  }).timeout(180_000);
});
