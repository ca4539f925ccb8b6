import { spawnSync } from "node:child_process";
import { createPrivateKey } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { buildPkcs12 } from "../certs/pkcs12.ts";
import { root, startTestAppliance, type TestAppliance } from "./support/appliance.ts";
import { run } from "./support/run.ts";
import { scratchDir } from "./support/scratch.ts";
import { handOf } from "./support/stream.ts";

describe("the clients of docs/certificates.md", () => {
  let appliance: TestAppliance;
  const dir = scratchDir();
  before(async () => {
    appliance = await startTestAppliance();
    const { cert, key } = handOf(appliance.certsDir, "app");
    writeFileSync(join(dir, "password"), "a long password\n");
    writeFileSync(join(dir, "billing.p12"), buildPkcs12("billing", createPrivateKey(key), cert, "a long password"));
  });
  after(() => appliance[Symbol.asyncDispose]());

  const snippet = (language: string, file: string): string => {
    const [, code = ""] =
      new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, "u").exec(readFileSync(join(root, "docs/certificates.md"), "utf8")) ?? [];
    const path = join(dir, file);
    writeFileSync(path, code.replaceAll("https://127.0.0.1:8443", appliance.url).replaceAll("data/certs", appliance.certsDir));
    return path;
  };

  for (const [language, program, file] of [
    ["java", "java", "Call.java"],
    ["go", "go", "call.go"],
  ] as const) {
    it(`in ${language} get an answer`, async function () {
      const found = [program, `/usr/local/${program}/bin/${program}`].find(
        (one) => spawnSync(one, [language === "go" ? "version" : "-version"]).status === 0,
      );
      if (found === undefined) this.skip();
      const path = snippet(language, file);
      const { status, stdout, stderr } = await run(
        "bash",
        ["-c", `cd "$1"; shift; "$@"`, "bash", dir, found, ...(language === "go" ? ["run", path] : [path])],
        { GOFLAGS: "-mod=mod" },
      );
      expect([status, stderr]).to.deep.equal([0, stderr]);
      expect(JSON.parse(stdout).choices[0].message.content).to.equal("Say hello.");
    }).timeout(120_000);
  }
});
