import { createPublicKey } from "node:crypto";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { connect as plainConnect } from "node:net";
import { join } from "node:path";
import { type ConnectionOptions, connect, type TLSSocket } from "node:tls";
import { expect } from "chai";
import { Agent } from "undici";
import { issuerOf, newest } from "../certs/authorities.ts";
import { issueClient, revoke, rotateServer } from "../certs/authority.ts";
import { retire, rotateIssuing } from "../certs/rotation.ts";
import { buildCertificate, newKey } from "../certs/x509.ts";
import { EchoEngine } from "../models/echo-engine.ts";
import { clientAgent, contentOf, prepareData, prose, send, startTestAppliance, type TestAppliance, userSays } from "./support/appliance.ts";
import { handOf } from "./support/stream.ts";
import { pause, until } from "./support/until.ts";

const chat = "/v1/chat/completions";
const hourMs = 3_600_000;

/** Not a byte of HTTP came back: the connection ended in TLS. */
const endedInTls = /^[A-Z_\d]*$/u;

describe("mutual TLS", () => {
  let appliance: TestAppliance;
  before(async () => {
    appliance = await startTestAppliance({ engines: [new EchoEngine("echo", { tokenDelayMs: 20 })] });
  });
  after(() => appliance[Symbol.asyncDispose]());

  const read = (...path: string[]): string => readFileSync(join(appliance.certsDir, ...path), "utf8");
  const shown = (dir: string, name: string): ConnectionOptions => ({
    cert: readFileSync(join(dir, "clients", name, "cert.pem")),
    key: readFileSync(join(dir, "clients", name, "key.pem")),
  });

  /** What comes back for `GET /healthz` over a raw connection, or the error that ended it. */
  async function answerTo(options: ConnectionOptions): Promise<string> {
    const port = Number(new URL(appliance.url).port);
    const socket = connect({ host: "127.0.0.1", port, ca: read("ca.pem"), ...options });
    socket.on("secureConnect", () => socket.write("GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
    let got = "";
    socket.on("data", (data) => {
      got += String(data);
    });
    await once(socket, "close").catch((error: NodeJS.ErrnoException) => {
      got += error.code;
    });
    return got;
  }

  it("answers a client of its own CA", async () => expect(await answerTo(shown(appliance.certsDir, "app"))).to.match(/^HTTP\/1.1 200/u));

  it("refuses no certificate, and one of another CA, before HTTP", async () => {
    expect(await answerTo({})).to.match(endedInTls);
    expect(await answerTo(shown(join(prepareData(), "certs"), "app"))).to.match(endedInTls);
  });

  it("refuses an expired certificate, and one that is not valid yet", async () => {
    const issuer = issuerOf(newest(appliance.certsDir, "issuing"));
    for (const [fromMs, toMs] of [
      [-2 * hourMs, -hourMs],
      [hourMs, 2 * hourMs],
    ] as const) {
      const key = newKey();
      const life = { notBefore: new Date(Date.now() + fromMs), notAfter: new Date(Date.now() + toMs) };
      const cert = buildCertificate(
        { commonName: "app", organizationalUnit: "app" },
        createPublicKey(key),
        life,
        { kind: "client" },
        issuer,
      );
      expect(await answerTo({ cert, key: String(key.export({ type: "pkcs8", format: "pem" })) })).to.match(endedInTls);
    }
  });

  it("refuses the server's own certificate as a client's", async () => {
    expect(await answerTo({ cert: read("server", "cert.pem"), key: read("server", "key.pem") })).to.match(endedInTls);
  });

  it("refuses TLS 1.2 unless the configuration allows it", async () => {
    expect(await answerTo({ ...shown(appliance.certsDir, "app"), maxVersion: "TLSv1.2" })).to.match(/PROTOCOL_VERSION/u);
    await using older = await startTestAppliance({ config: (config) => ({ ...config, tls: { ...config.tls, version_min: "TLSv1.2" } }) });
    const socket = connect({
      port: Number(new URL(older.url).port),
      host: "127.0.0.1",
      maxVersion: "TLSv1.2",
      ca: readFileSync(join(older.certsDir, "ca.pem")),
      ...shown(older.certsDir, "app"),
    });
    await once(socket, "secureConnect");
    expect(socket.getProtocol()).to.equal("TLSv1.2");
    socket.destroy();
  });

  it("takes up a new server certificate while a stream goes on", async () => {
    const words = prose(100);
    const stream = appliance.call("POST", chat, { ...userSays(words), stream: true });
    const before = await serial(appliance);
    rotateServer(appliance.certsDir, ["localhost", "127.0.0.1"]);
    await until(async () => (await serial(appliance)) !== before);
    const { text } = await stream;
    expect(contentOf(text)).to.equal(words);
    expect(text).to.include("[DONE]");
  });

  it("ends the streams, the kept connections and the resumed sessions of a revoked certificate, and no other's", async () => {
    issueClient(appliance.certsDir, "leaver", "app");
    const leaver = clientAgent(appliance.certsDir, "leaver");
    const port = Number(new URL(appliance.url).port);
    const options = { host: "127.0.0.1", port, ca: read("ca.pem"), ...shown(appliance.certsDir, "leaver") };
    const session = await sessionOf(options);
    expect(await isResumed({ ...options, session })).to.equal(true);
    expect(await answerTo({ ...shown(appliance.certsDir, "leaver"), session })).to.match(/^HTTP\/1.1 200/u);
    const words = userSays(prose(200));
    const lost = send(`${appliance.url}${chat}`, "POST", { ...words, stream: true }, { dispatcher: leaver }).then(
      ({ text }) => text,
      (error: Error) => `ended: ${error.message}`,
    );
    const other = appliance.call("POST", chat, { ...words, stream: true });
    await send(`${appliance.url}/healthz`, "GET", undefined, { dispatcher: leaver });
    const revokedMs = performance.now();
    revoke(appliance.certsDir, "leaver");
    expect(await lost).to.match(/^ended: /u);
    expect(performance.now() - revokedMs).to.be.below(2_000);
    expect(await answerTo({ ...shown(appliance.certsDir, "leaver") })).to.match(endedInTls);
    expect(await answerTo({ ...shown(appliance.certsDir, "leaver"), session })).to.match(endedInTls);
    const { text } = await other;
    expect(contentOf(text)).to.equal(prose(200));
    expect(text).to.include("[DONE]");
    await leaver.destroy();
  });

  it("ends a revoked certificate also while the server's own files do not fit together", async () => {
    await using other = await startTestAppliance();
    issueClient(other.certsDir, "leaver", "app");
    const options = { host: "127.0.0.1", port: Number(new URL(other.url).port), ca: readFileSync(join(other.certsDir, "ca.pem")) };
    const leaver = { ...options, ...shown(other.certsDir, "leaver") };
    const session = await sessionOf(leaver);
    const open = connect(leaver);
    await once(open, "secureConnect");
    const closed = once(open, "close");
    writeFileSync(join(other.certsDir, "server", "key.pem"), String(newKey().export({ type: "pkcs8", format: "pem" })));
    revoke(other.certsDir, "leaver");
    await closed;
    expect(await answerTo(leaver)).to.match(endedInTls);
    // TLS itself resumes the session still, and asks nobody.
    expect(await isResumed({ ...leaver, session })).to.equal(true);
    expect(await answerTo({ ...leaver, session })).to.match(endedInTls);
    expect((await other.call("GET", "/healthz")).status).to.equal(200);
  });

  it("lets a running answer of a retired CA's client end, and refuses the next request on the same connection", async () => {
    await using other = await startTestAppliance({ engines: [new EchoEngine("echo", { tokenDelayMs: 20 })] });
    const agent = new Agent({ connections: 1, connect: { ...handOf(other.certsDir, "app") } });
    const stream = send(`${other.url}${chat}`, "POST", { ...userSays(prose(120)), stream: true }, { dispatcher: agent });
    await pause(300);
    rotateIssuing(other.certsDir, ["localhost", "127.0.0.1"]);
    retire(other.certsDir);
    expect(contentOf((await stream).text)).to.equal(prose(120));
    const next = await send(`${other.url}/v1/models`, "GET", undefined, { dispatcher: agent });
    expect([next.status, next.body.error.code]).to.deep.equal([403, "identity_refused"]);
    await agent.destroy();
  });

  for (const [policy, whole] of [
    ["finish", true],
    ["end", false],
  ] as const) {
    it(`${whole ? "lets a running answer end" : "ends a running answer within a second"} when its caller's certificate expires (\`expired_streams: ${policy}\`), and refuses the next request`, async () => {
      await using other = await startTestAppliance({
        engines: [new EchoEngine("echo", { tokenDelayMs: 20 })],
        config: (config) => ({ ...config, tls: { ...config.tls, expired_streams: policy } }),
      });
      const key = newKey();
      // In whole seconds, as certificates have it.
      const notAfter = new Date(Math.ceil(Date.now() / 1_000) * 1_000 + 2_000);
      const subject = { commonName: "brief", organizationalUnit: "app" };
      const life = { notBefore: new Date(Date.now() - hourMs), notAfter };
      const cert = buildCertificate(subject, createPublicKey(key), life, { kind: "client" }, issuerOf(newest(other.certsDir, "issuing")));
      const ca = readFileSync(join(other.certsDir, "ca.pem"), "utf8");
      const agent = new Agent({ connections: 1, connect: { ca, cert, key: String(key.export({ type: "pkcs8", format: "pem" })) } });
      const stream = send(`${other.url}${chat}`, "POST", { ...userSays(prose(220)), stream: true }, { dispatcher: agent }).then(
        ({ text }) => contentOf(text),
        () => `broken ${Date.now() < notAfter.getTime() + 1_500 ? "in time" : "too late"}`,
      );
      expect(await stream).to.equal(whole ? prose(220) : "broken in time");
      expect(Date.now()).to.be.above(notAfter.getTime());
      const next = await send(`${other.url}/v1/models`, "GET", undefined, { dispatcher: agent }).then(
        ({ status }) => status,
        () => "no connection",
      );
      expect(next).to.equal(whole ? 403 : "no connection");
      await agent.destroy();
    });
  }

  it("answers callers while hundreds who show no certificate hold connections open", async () => {
    await using other = await startTestAppliance({ config: (config) => ({ ...config, limits: { ...config.limits, connections_max: 5 } }) });
    const silent = Array.from({ length: 300 }, () => plainConnect(Number(new URL(other.url).port), "127.0.0.1"));
    const oldestEnded = once(silent[0] ?? expect.fail(), "close");
    await Promise.all(silent.slice(1).map((socket) => (socket.connecting ? once(socket, "connect") : undefined)));
    const startedMs = performance.now();
    expect((await other.call("GET", "/healthz")).status).to.equal(200);
    await oldestEnded;
    expect(performance.now() - startedMs, "long before its time for a handshake is over").to.be.below(2_000);
    for (const socket of silent) socket.destroy();
  });

  it("gives a newcomer a place of whoever holds most when all are taken, an idle one first, and none of who holds as many", async () => {
    await using other = await startTestAppliance({
      engines: [new EchoEngine("echo", { tokenDelayMs: 20 })],
      config: (config) => ({ ...config, limits: { ...config.limits, connections_max: 4 } }),
    });
    const sockets: TLSSocket[] = [];
    /** Whether a new connection is answered; it stays open. */
    const isAnswered = async (name: string): Promise<boolean> => {
      const address = { host: "127.0.0.1", port: Number(new URL(other.url).port), ca: readFileSync(join(other.certsDir, "ca.pem")) };
      const socket = connect({ ...address, ...shown(other.certsDir, name) }).on("error", () => {});
      sockets.push(socket);
      socket.write("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
      return await new Promise((resolve) => socket.once("data", () => resolve(true)).once("close", () => resolve(false)));
    };
    const stream = other.call("POST", chat, { ...userSays(prose(120)), stream: true });
    await pause(300);
    const tried: string[] = [];
    for (const name of ["app", "app", "app", "app", "operator", "auditor", "operator"]) tried.push(`${name} ${await isAnswered(name)}`);
    expect(tried).to.deep.equal([
      "app true",
      "app true",
      "app true",
      "app false",
      "operator true",
      "auditor true",
      "operator false", // two of app's are left, and it has one
    ]);
    await until(() => sockets.slice(0, 2).every(({ destroyed }) => destroyed));
    expect(sockets[2]?.destroyed).to.equal(false);
    expect(contentOf((await stream).text)).to.equal(prose(120));
    for (const socket of sockets) socket.destroy();
  });

  it("stops within a second although somebody never began the handshake", async () => {
    const other = await startTestAppliance();
    const silent = plainConnect(Number(new URL(other.url).port), "127.0.0.1");
    await once(silent, "connect");
    const startedMs = performance.now();
    await other[Symbol.asyncDispose]();
    expect(performance.now() - startedMs).to.be.below(2_000);
    silent.destroy();
  });
});

/** Serial number of the certificate that the server shows to a new connection. */
async function serial({ url, certsDir }: TestAppliance): Promise<string> {
  const socket = connect({
    host: "127.0.0.1",
    port: Number(new URL(url).port),
    ca: readFileSync(join(certsDir, "ca.pem")),
    cert: readFileSync(join(certsDir, "clients", "app", "cert.pem")),
    key: readFileSync(join(certsDir, "clients", "app", "key.pem")),
  });
  await once(socket, "secureConnect");
  const { serialNumber } = socket.getPeerCertificate();
  socket.destroy();
  return serialNumber;
}

async function isResumed(options: ConnectionOptions): Promise<boolean> {
  const socket = connect(options);
  await once(socket, "secureConnect");
  const reused = socket.isSessionReused();
  socket.destroy();
  return reused;
}

async function sessionOf(options: ConnectionOptions): Promise<Buffer> {
  const socket: TLSSocket = connect(options);
  const session = once(socket, "session");
  socket.write("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const [ticket] = await session;
  socket.destroy();
  return ticket;
}
