import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { expect } from "chai";
import { prepareData, root, userSays } from "./support/appliance.ts";
import { startOwnCa } from "./support/own-ca.ts";
import { type Ran, run } from "./support/run.ts";
import { scratchDir } from "./support/scratch.ts";
import { startService } from "./support/service.ts";

/** The commands of a document, in order: lines of its `sh` blocks, and what stands in its tables. */
function commandsOf(document: string): string[] {
  const text = readFileSync(join(root, "docs", document), "utf8");
  const found = [...text.matchAll(/```sh\n([\s\S]*?)```|^\|.*?\| `(npx sallyport [^`]*)` +\|/gmu)];
  return found.flatMap(([, block, cell]) => (block ?? cell ?? "").trim().split("\n"));
}

/** A directory as an operator has it, with a `npx` that runs this repository. */
async function hostWith(dataDir: string): Promise<(command: string) => Promise<Ran>> {
  const dir = join(dataDir, "..");
  const bin = join(scratchDir(), "bin");
  mkdirSync(bin);
  writeFileSync(join(bin, "npx"), `#!/bin/sh\nshift\nexec ${process.execPath} ${join(root, "scripts/sallyport.ts")} "$@"\n`);
  chmodSync(join(bin, "npx"), 0o755);
  const env = { PATH: `${bin}${delimiter}${process.env.PATH}`, SALLYPORT_DATA: dataDir, SALLYPORT_CONFIG: join(dataDir, "sallyport.yaml") };
  return (command) => run("bash", ["-c", `cd '${dir}'; umask 077; ${command}`], env);
}

async function newHost(): Promise<{ dir: string; sh: (command: string) => Promise<Ran> }> {
  const dir = scratchDir();
  const dataDir = join(dir, "data");
  const { cpSync } = process.getBuiltinModule("node:fs");
  cpSync(prepareData(), dataDir, { recursive: true });
  const service = await startService(dataDir);
  await service.call("POST", "/v1/chat/completions", userSays("Hello."));
  await service.end("SIGTERM");
  return { dir, sh: await hostWith(dataDir) };
}

describe("every command of the documentation", () => {
  it("on operations works as it stands, in its order", async () => {
    const { sh } = await newHost();
    let publicKey = "";
    const commands = commandsOf("operations.md").filter((command) => /back|restor|audit|doctor|attest|certs|shred/u.test(command));
    expect(commands.length).to.be.above(15);
    for (const command of commands) {
      const { status, stdout, stderr } = await sh(command.replace("PUBLIC_KEY", publicKey));
      expect([command, status, status === 0 ? "" : stderr]).to.deep.equal([command, 0, ""]);
      if (command.includes("--new-key")) publicKey = stdout.split("\n")[0] ?? "";
    }
    expect((await sh("npx sallyport audit verify")).stderr).to.match(/audit\.key is missing/u);
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
