import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { authorities, newest } from "../certs/authorities.ts";
import { initAuthority, issueClient, revoke, rotateServer } from "../certs/authority.ts";
import { listIssued } from "../certs/register.ts";
import { notRenewed, renewClients, retire, rotateIssuing, rotateRoot } from "../certs/rotation.ts";
import { readTlsMaterial } from "../certs/tls-material.ts";
import { EchoEngine } from "../models/echo-engine.ts";
import { prose, startTestAppliance, type TestAppliance } from "./support/appliance.ts";
import { scratchDir } from "./support/scratch.ts";
import { type Hand, handOf, noGuards, streamBack } from "./support/stream.ts";
import { pause } from "./support/until.ts";

const names = ["localhost", "127.0.0.1", "::1"];

/** Longer than a service needs to take up new files. */
const takenUpMs = 700;

const refusal = (error: NodeJS.ErrnoException): string => String((error.cause as NodeJS.ErrnoException | undefined)?.code ?? error.code);

describe("rotating under load", () => {
  let appliance: TestAppliance;
  before(async () => {
    appliance = await startTestAppliance({ engines: [new EchoEngine("echo", { tokenDelayMs: 8 })], policy: noGuards });
  });
  after(() => appliance[Symbol.asyncDispose]());

  it("server's certificate, issuing CA and root in turn, three times, drops no stream of 50 clients and refuses the old root afterwards", async () => {
    const { certsDir, url } = appliance;
    const clients = Array.from({ length: 50 }, (_, index) => `client-${index}`);
    for (const name of clients) issueClient(certsDir, name, "app");
    const first = handOf(certsDir, "client-0");
    let ca = first.ca;
    const stop = new AbortController();
    const failures: string[] = [];
    let streams = 0;
    const callers = clients.map(async (name) => {
      while (!stop.signal.aborted) {
        await streamBack(url, handOf(certsDir, name, ca), prose(40)).catch((error) =>
          failures.push(`${name}: ${refusal(error)} ${error.message}`),
        );
        streams += 1;
      }
    });
    /** Lets every stream that began before end, and others begin. */
    const meanwhile = async (): Promise<void> => {
      const before = streams;
      while (streams < before + 2 * clients.length) await pause(50);
    };
    const retired: Hand[] = [];
    for (let round = 0; round < 3; round += 1) {
      rotateServer(certsDir, names);
      await pause(takenUpMs);

      retired.push(handOf(certsDir, "client-0"));
      rotateIssuing(certsDir, names);
      await meanwhile();
      renewClients(certsDir);
      await meanwhile();
      expect(notRenewed(certsDir)).to.deep.equal([]);
      expect(retire(certsDir)).to.have.length(1);
      await pause(takenUpMs);

      retired.push(handOf(certsDir, "client-0"));
      rotateRoot(certsDir, names);
      await meanwhile(); // trusting the old root only
      ca = readFileSync(join(certsDir, "ca.pem"), "utf8");
      renewClients(certsDir);
      await meanwhile();
      expect(retire(certsDir)).to.have.length(2);
      ca = readFileSync(join(certsDir, "ca.pem"), "utf8");
      await pause(takenUpMs);
    }
    await meanwhile();
    stop.abort();
    await Promise.all(callers);
    expect(failures).to.deep.equal([]);
    expect(streams).to.be.above(50 * 12);
    for (const hand of retired) {
      const why = await streamBack(url, { ...hand, ca }, "one").then(() => "let in", refusal);
      expect(why).to.match(/^(?:ERR_SSL_|ECONNRESET|UND_ERR_SOCKET)/u);
    }
    const distrusting = await streamBack(url, { ...handOf(certsDir, "client-0"), ca: first.ca }, "one").then(() => "trusted", refusal);
    expect(distrusting).to.match(/CERT|SIGNATURE/u);
  }).timeout(240_000);

  it("one hundred revocations end every stream of that serial within two seconds, and no other", async () => {
    const { certsDir, url } = appliance;
    const [leavers, stayers] = ["leaver", "stayer"].map((kind) =>
      Array.from({ length: kind === "leaver" ? 100 : 20 }, (_, index) => `${kind}-${index}`),
    ) as [string[], string[]]; // two in, two out
    for (const name of [...leavers, ...stayers]) issueClient(certsDir, name, "app");
    const revokedMs = new Map<string, number>();
    const tookMs: number[] = [];
    const ended = leavers.map((name) =>
      streamBack(url, handOf(certsDir, name), prose(8_000)).then(
        () => expect.fail(`${name} went on`),
        () => tookMs.push(performance.now() - (revokedMs.get(name) ?? Number.NaN)),
      ),
    );
    const stayed = Promise.all(stayers.map((name) => streamBack(url, handOf(certsDir, name), prose(1_200))));
    await pause(2_000);
    expect(tookMs).to.deep.equal([]);
    for (const name of leavers) {
      revokedMs.set(name, performance.now());
      revoke(certsDir, name);
      await pause(20);
    }
    await Promise.all(ended);
    await stayed;
    expect(tookMs).to.have.length(100);
    expect(Math.max(...tookMs)).to.be.below(2_000);
  }).timeout(120_000);
});

describe("a rotation", () => {
  const newAuthority = (): string => {
    const dir = scratchDir();
    initAuthority(dir, names);
    issueClient(dir, "app", "app");
    return dir;
  };
  const statusOf = (dir: string, name: string): string[] =>
    listIssued(dir)
      .filter((one) => one.name === name)
      .map(({ status }) => status);

  it("of the issuing CA keeps the root, and retires nobody before `retire`", () => {
    const dir = newAuthority();
    const ca = readFileSync(join(dir, "ca.pem"), "utf8");
    rotateIssuing(dir, names);
    expect(readFileSync(join(dir, "ca.pem"), "utf8")).to.equal(ca);
    expect(notRenewed(dir).map(({ name }) => name)).to.deep.equal(["app"]);
    expect(statusOf(dir, "app")).to.deep.equal(["valid"]);
    expect(renewClients(dir).map(({ name, role }) => `${name} ${role}`)).to.deep.equal(["app app"]);
    expect(renewClients(dir)).to.deep.equal([]);
    expect(retire(dir)).to.deep.equal(["issuing/1 (CN=Sallyport issuing CA 1)"]);
    expect(statusOf(dir, "app").toSorted()).to.deep.equal(["retired", "valid"]);
    expect(retire(dir)).to.deep.equal([]);
    readTlsMaterial(dir);
  });

  it("ends with `retire` where no client was issued, too", () => {
    const dir = scratchDir();
    initAuthority(dir, names);
    rotateIssuing(dir, names);
    expect(retire(dir)).to.deep.equal(["issuing/1 (CN=Sallyport issuing CA 1)"]);
    readTlsMaterial(dir);
  });

  it("of the root puts both into ca.pem, and `retire` leaves the new one, without the old one's key", () => {
    const dir = newAuthority();
    const old = readFileSync(join(dir, "ca.pem"), "utf8");
    rotateRoot(dir, names);
    const both = readFileSync(join(dir, "ca.pem"), "utf8");
    expect(both.endsWith(old) && both !== old).to.equal(true);
    expect(retire(dir)).to.have.length(2);
    expect(readFileSync(join(dir, "ca.pem"), "utf8")).to.equal(both.slice(0, -old.length));
    expect(authorities(dir, "roots").map(({ number }) => number)).to.deep.equal([2]);
    readTlsMaterial(dir);
  });

  it("that was interrupted after the new issuing CA is finished by init", () => {
    const dir = newAuthority();
    rotateServer(dir, names);
    const before = readFileSync(join(dir, "server", "cert.pem"));
    rotateIssuing(dir, names);
    writeFileSync(join(dir, "server", "cert.pem"), before); // as if the power had gone; its key is another one already
    expect(() => readTlsMaterial(dir)).to.throw(/do not belong together/u);
    expect(initAuthority(dir, names)).to.deep.equal(["server/cert.pem"]);
    expect(newest(dir, "issuing").number).to.equal(2);
    readTlsMaterial(dir);
  });
});
