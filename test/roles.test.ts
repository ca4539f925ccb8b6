import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "chai";
import { type Role, roles } from "../certs/identity.ts";
import type { Service as Parts } from "../server/http/app.ts";
import { operationsOf } from "../server/http/operations.ts";
import { echoConfig, prepareData, root, startTestAppliance, type TestAppliance, userSays } from "./support/appliance.ts";
import { startOwnCa } from "./support/own-ca.ts";
import { auditorFiles, commandRoles, commandsForAll, rolesTable } from "./support/roles-table.ts";
import type { Ran } from "./support/run.ts";
import { sallyport } from "./support/sallyport.ts";
import { scratchDir } from "./support/scratch.ts";
import { startService } from "./support/service.ts";

/** No part of the service is asked before the first request. */
const operations = operationsOf({ engines: new Map(), classifiers: {} } as unknown as Parts);

describe("the table of roles", () => {
  it("in docs/roles.md is what the code says", () =>
    expect(readFileSync(join(root, "docs/roles.md"), "utf8")).to.equal(rolesTable(operations)));

  it("has every command of the command line", async () => {
    const said = async (...args: string[]): Promise<string> => (await sallyport([...args, "--help"])).stdout;
    const commands = [...(await said()).matchAll(/^ {2}(\w+) {2,}/gmu)].map(([, name = ""]) => name);
    expect(commands).to.include.members(["serve", "certs", "bundle"]);
    const named = new Set([...Object.keys(commandRoles), ...commandsForAll]);
    const missing: string[] = [];
    for (const command of commands.filter((one) => !named.has(one))) {
      const [usage = ""] = (await said(command)).split("\n\n");
      const actions = usage.replace(`Usage: npx sallyport ${command}`, "").split("|");
      missing.push(...actions.map((one) => `${command} ${one.trim().split(/\s/u)[0]}`).filter((one) => !named.has(one)));
    }
    expect(missing).to.deep.equal([]);
  });

  it("holds at every endpoint, for every role", async () => {
    await using appliance = await startTestAppliance();
    for (const { method, path, roles: allowed = roles } of operations) {
      for (const as of roles) {
        // Whoever may go on is told that the body is missing, or that there is no such thing; or answered.
        const { status, body } = await appliance.call(method, path.replaceAll(/\{\w+\}/gu, "none"), method === "GET" ? undefined : {}, {
          as,
        });
        const cell = `${method} ${path} as ${as}`;
        if (allowed.includes(as)) expect(status, cell).to.not.equal(403);
        else expect([cell, status, body.error.code]).to.deep.equal([cell, 403, "role_not_allowed"]);
      }
    }
  });

  describe("for commands", () => {
    const hands: Record<string, string> = {};
    let service: TestAppliance;
    const out = scratchDir();
    const file = (name: string): string => join(out, name);
    before(async function () {
      this.timeout(120_000);
      const whole = prepareData(echoConfig);
      service = await startTestAppliance({ dataDir: whole });
      expect((await service.call("POST", "/v1/chat/completions", userSays("Hello"))).status).to.equal(200);
      await sallyport(["backup", "--new-key", join(whole, "backup.key")]);
      await sallyport(["certs", "request", "--out", file("issuing.csr")], { SALLYPORT_DATA: whole });
      writeFileSync(file("signed.pem"), startOwnCa().sign(readFileSync(file("issuing.csr"), "utf8")));
      const own = (role: Role): string[] => ["sallyport.yaml", "certs/ca.pem", `certs/clients/${role}`];
      const held: Record<Role, string[]> = {
        app: own("app"),
        auditor: [...own("auditor"), ...auditorFiles],
        operator: ["."],
      };
      for (const role of roles) {
        hands[role] = scratchDir();
        for (const path of held[role]) {
          mkdirSync(dirname(join(hands[role], path)), { recursive: true });
          cpSync(join(whole, path), join(hands[role], path), { recursive: true });
        }
      }
      writeFileSync(file("password"), "a long password\n");
      const { stdout } = await sallyport(["backup", "--new-key", file("some.key")]);
      const env = { SALLYPORT_DATA: whole, SALLYPORT_CONFIG: join(whole, "sallyport.yaml") };
      await sallyport(["backup", file("some.age"), "--to", stdout.split("\n")[0] ?? ""], env);
      await sallyport(["attest", "--out", file("some.html")], env);
    });
    after(() => service[Symbol.asyncDispose]());

    const argsOf = (command: string, role: Role): string[] => {
      const more: Record<string, string[]> = {
        call: ["Hello", "--url", service.url, "--as", role],
        "certs issue": ["somebody"],
        "certs revoke": [role],
        "certs install": [file("signed.pem")],
        "certs export": [role, "--out", file(`${role}.p12`), "--password-file", file("password")],
        "audit export": ["--format", "jsonl"],
        backup: [file(`${role}.age`), "--to", "age1lvyvwawkr0mcnnnncaghunadrqkmuf9e6507x9y920xxpp866cnql7dp2z"],
        restore: [
          file("some.age"),
          "--key",
          role === "operator" ? file("some.key") : join(hands[role] ?? "", "backup.key"),
          "--back-in-time",
        ],
        attest: ["--out", file(`${role}.html`)],
        "attest --verify": [file("some.html")],
        classify: ["--task", "pii", "--workers", "1"],
      };
      return [...command.split(" "), ...(more[command] ?? [])];
    };

    for (const [command, allowed] of Object.entries(commandRoles)) {
      it(`\`${command}\` works with the files of ${allowed.join(", ")} only`, async () => {
        const ran = await Promise.all(
          roles.map((role) => {
            const env = { SALLYPORT_DATA: hands[role] ?? "", SALLYPORT_CONFIG: join(hands[role] ?? "", "sallyport.yaml"), PORT: "0" };
            // A service that starts does not end by itself.
            return command === "serve" && allowed.includes(role)
              ? starts(hands[role] ?? "")
              : sallyport(argsOf(command, role), env, '{"id": 1, "text": "a"}\n');
          }),
        );
        const proof = { attest: "signed with key", "certs list": "SERIAL" }[command];
        const works = ran.map(({ status, stdout }) => (proof === undefined ? status === 0 : stdout.includes(proof)));
        expect(works, ran.map(({ stderr }) => stderr).join("")).to.deep.equal(roles.map((role) => allowed.includes(role)));
      }).timeout(180_000); // an attestation reads every file of the installation
    }

    async function starts(dataDir: string): Promise<Ran> {
      const started = await startService(dataDir);
      return { status: Number(await started.end("SIGTERM")), stdout: "", stderr: "" };
    }
  });
});
