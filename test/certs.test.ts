import { execFile, spawnSync } from "node:child_process";
import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { connect, createServer } from "node:tls";
import { promisify } from "node:util";
import { expect } from "chai";
import { issuerOf, newest } from "../certs/authorities.ts";
import { addRoot, initAuthority, issueClient, revoke, rotateServer } from "../certs/authority.ts";
import { identityOf, roleFrom } from "../certs/identity.ts";
import { listIssued } from "../certs/register.ts";
import { renewClients, retire, rotateIssuing, rotateRoot } from "../certs/rotation.ts";
import { readTlsMaterial } from "../certs/tls-material.ts";
import { buildCertificate, newKey } from "../certs/x509.ts";
import { scratchDir } from "./support/scratch.ts";

const run = promisify(execFile);
const names = ["localhost", "127.0.0.1", "::1"];
const hour = 3_600_000;

interface Shown {
  readonly cert: string;
  readonly key: string;
}

function newAuthority(): string {
  const dir = scratchDir();
  initAuthority(dir, names);
  return dir;
}

function client(dir: string, name = "app"): Shown {
  issueClient(dir, name, "app");
  const read = (file: string): string => readFileSync(join(dir, "clients", name, file), "utf8");
  return { cert: read("cert.pem"), key: read("key.pem") };
}

const pem = (key: KeyObject): string => String(key.export({ type: "pkcs8", format: "pem" }));

/** A client certificate with a life of its own choosing, signed by the CA of `dir`. */
function forgedLife(dir: string, fromMs: number, toMs: number): Shown {
  const key = newKey();
  const issuer = issuerOf(newest(dir, "issuing"));
  const life = { notBefore: new Date(Date.now() + fromMs), notAfter: new Date(Date.now() + toMs) };
  return {
    cert: buildCertificate({ commonName: "x", organizationalUnit: "app" }, createPublicKey(key), life, { kind: "client" }, issuer),
    key: pem(key),
  };
}

/** Shakes hands with a server of `dir`: who it saw, or why there was no handshake. OpenSSL judges. */
async function handshake(
  dir: string,
  { ca: trusted, ...shown }: Partial<Shown & { ca: string }>,
  version: "TLSv1.2" | "TLSv1.3" = "TLSv1.3",
): Promise<string> {
  const { ca, crl, cert, key } = readTlsMaterial(dir);
  const server = createServer(
    { ca, crl: [...crl], cert, key, requestCert: true, rejectUnauthorized: true, minVersion: "TLSv1.3" },
    (socket) => {
      socket.end(JSON.stringify(identityOf(socket.getPeerX509Certificate() ?? expect.fail())));
    },
  ).listen(0, "127.0.0.1");
  await once(server, "listening");
  const socket = connect({
    ...shown,
    ca: trusted ?? ca,
    port: (server.address() as AddressInfo).port,
    host: "127.0.0.1",
    maxVersion: version,
  });
  try {
    const chunks = await Array.fromAsync(socket as AsyncIterable<Buffer>);
    return Buffer.concat(chunks).toString() || "closed";
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  } finally {
    server.close();
  }
}

describe("certificates", () => {
  it("let in a client with an issued certificate, as the name and role it was issued for", async () => {
    const dir = newAuthority();
    expect(JSON.parse(await handshake(dir, client(dir)))).to.include({ name: "app", role: "app" });
  });

  it("keep out whoever has none, an expired one, one of the future, one of another CA, or the server's own", async () => {
    const dir = newAuthority();
    const server = {
      cert: readFileSync(join(dir, "server", "cert.pem"), "utf8"),
      key: readFileSync(join(dir, "server", "key.pem"), "utf8"),
    };
    const refused = /ERR_SSL|ECONNRESET|closed/u;
    expect(await handshake(dir, {})).to.match(refused);
    expect(await handshake(dir, forgedLife(dir, -2 * hour, -hour))).to.match(refused);
    expect(await handshake(dir, forgedLife(dir, hour, 2 * hour))).to.match(refused);
    expect(await handshake(dir, client(newAuthority()))).to.match(refused);
    expect(await handshake(dir, server)).to.match(refused);
    expect(await handshake(dir, client(dir), "TLSv1.2"), "an old protocol version").to.match(refused);
    expect(JSON.parse(await handshake(dir, forgedLife(dir, -hour, hour))), "the same way, in time").to.include({ name: "x" });
  });

  it("keep out a revoked one, and only that one", async () => {
    const dir = newAuthority();
    const [first, second] = [client(dir, "first"), client(dir, "second")];
    revoke(dir, "first", "laptop lost");
    expect(await handshake(dir, first)).to.match(/ERR_SSL|ECONNRESET|closed/u);
    expect(JSON.parse(await handshake(dir, second))).to.include({ name: "second" });
    expect(listIssued(dir).map(({ name, status }) => `${name} ${status}`)).to.include.members(["first revoked", "second valid"]);
    expect(() => revoke(dir, "third")).to.throw(/no valid certificate/u);
  });

  it("are revoked whole by a second try when the first was interrupted", async () => {
    const dir = newAuthority();
    const leaver = client(dir, "leaver");
    const before = readFileSync(join(dir, "crl.pem"));
    const [serial] = revoke(dir, "leaver");
    writeFileSync(join(dir, "crl.pem"), before); // as if the power had gone before the list was written
    writeFileSync(join(dir, "revoked", `${serial}.json`), "{"); // and in the middle of the other file
    expect(revoke(dir, "leaver")).to.deep.equal([serial]);
    expect(await handshake(dir, leaver)).to.match(/ERR_SSL|ECONNRESET|closed/u);
  });

  it("satisfy OpenSSL's strict verification", async () => {
    const dir = newAuthority();
    client(dir);
    const verify = (purpose: string, file: string) =>
      run("openssl", [
        "verify",
        "-x509_strict",
        "-crl_check_all",
        "-CRLfile",
        join(dir, "crl.pem"),
        "-purpose",
        purpose,
        "-CAfile",
        join(dir, "ca.pem"),
        "-untrusted",
        join(dir, "issuing", "1", "cert.pem"),
        join(dir, file),
      ]);
    expect((await verify("sslclient", "clients/app/cert.pem")).stdout).to.match(/OK/u);
    expect((await verify("sslserver", "server/cert.pem")).stdout).to.match(/OK/u);
    const list = await run("openssl", [
      "crl",
      "-in",
      join(dir, "crl.pem"),
      "-CAfile",
      join(dir, "issuing", "1", "cert.pem"),
      "-noout",
      "-text",
    ]);
    expect(list.stdout + list.stderr).to.match(/verify OK[\s\S]*No Revoked Certificates|No Revoked Certificates[\s\S]*verify OK/u);
  });

  it("name the server by DNS name and by address", () => {
    const dir = newAuthority();
    rotateServer(dir, ["models.bank.example", "10.0.0.7", "fd00::7"]);
    const certificate = new X509Certificate(readFileSync(join(dir, "server", "cert.pem")));
    expect(certificate.checkHost("models.bank.example")).to.equal("models.bank.example");
    expect(certificate.checkIP("10.0.0.7")).to.equal("10.0.0.7");
    expect(certificate.checkIP("fd00::7")).to.equal("fd00::7");
    expect(certificate.checkHost("localhost")).to.equal(undefined);
    for (const name of ["not a name", "foo..bar", "bar:baz", "-x", ""]) expect(() => rotateServer(dir, [name])).to.throw(/not a DNS name/u);
    expect(() => rotateServer(dir, [])).to.throw(/tls\.names/u);
  });

  it("of the server are believed by whoever has an older root, also when the root was rotated twice, until `retire`", async () => {
    const dir = newAuthority();
    const app = client(dir);
    const ca = readFileSync(join(dir, "ca.pem"), "utf8");
    addRoot(dir); // a rotation that was interrupted
    rotateRoot(dir, names);
    expect(JSON.parse(await handshake(dir, { ...app, ca }))).to.include({ name: "app" });
    const second = readFileSync(join(dir, "roots", "2", "cert.pem"), "utf8");
    expect(JSON.parse(await handshake(dir, { ...app, ca: second }))).to.include({ name: "app" });
    retire(dir);
    expect(await handshake(dir, { ...client(dir), ca })).to.match(/CERT|SIGNATURE/u);
    expect(readTlsMaterial(dir).cert.match(/BEGIN CERTIFICATE/gu)).to.have.length(2);
  });

  it("of an old root are refused once `retire` is done again that was cut off before ca.pem was written", () => {
    const dir = newAuthority();
    rotateRoot(dir, names);
    const both = readFileSync(join(dir, "ca.pem"), "utf8");
    retire(dir);
    writeFileSync(join(dir, "ca.pem"), both);
    expect(retire(dir)).to.deep.equal(["what ca.pem still held"]);
    expect(readFileSync(join(dir, "ca.pem"), "utf8")).to.equal(newest(dir, "roots").pem);
    expect(retire(dir)).to.deep.equal([]);
  });

  it("never outlive the CA, and are due at two thirds of their life", () => {
    const dir = newAuthority();
    const caEnd = new Date(new X509Certificate(readFileSync(join(dir, "ca.pem"))).validTo);
    const { notAfter, notBefore, renewAt } = issueClient(dir, "app", "app", { lifeDays: 3_650 });
    expect(notAfter.getTime()).to.be.at.most(caEnd.getTime());
    expect((renewAt.getTime() - notBefore.getTime()) / (notAfter.getTime() - notBefore.getTime())).to.be.closeTo(2 / 3, 0.001);
  });

  it("keep private keys and the register to their owner", () => {
    const dir = newAuthority();
    client(dir);
    for (const file of ["roots/1/key.pem", "issuing/1/key.pem", "server/key.pem", "clients/app/key.pem"])
      expect(statSync(join(dir, file)).mode & 0o777, file).to.equal(0o600);
    for (const file of ["server", "clients/app", "issued"]) expect(statSync(join(dir, file)).mode & 0o777, file).to.equal(0o700);
  });

  it("go on where an interrupted init stopped, and leave a finished one alone", () => {
    const dir = newAuthority();
    const ca = readFileSync(join(dir, "ca.pem"), "utf8");
    expect(initAuthority(dir, names)).to.deep.equal([]);
    rmSync(join(dir, "server", "cert.pem"));
    rmSync(join(dir, "crl.pem"));
    expect(initAuthority(dir, names)).to.deep.equal(["crl.pem", "server/cert.pem"]);
    expect(readFileSync(join(dir, "ca.pem"), "utf8")).to.equal(ca);
    readTlsMaterial(dir);
  });

  it("go on after a rotation that was interrupted between key and certificate", () => {
    const dir = newAuthority();
    writeFileSync(join(dir, "server", "key.pem"), pem(newKey()));
    expect(() => readTlsMaterial(dir)).to.throw(/do not belong together/u);
    expect(initAuthority(dir, names)).to.deep.equal(["server/cert.pem"]);
    readTlsMaterial(dir);
  });

  it("go on where a revocation during a rotation left the new CA without a list", () => {
    const dir = newAuthority();
    const before = readFileSync(join(dir, "crl.pem"));
    rotateIssuing(dir, names);
    writeFileSync(join(dir, "crl.pem"), before);
    expect(() => readTlsMaterial(dir)).to.throw(/no revocation list of the CA CN=Sallyport issuing CA 2/u);
    expect(initAuthority(dir, names)).to.deep.equal(["crl.pem"]);
    readTlsMaterial(dir);
    expect(initAuthority(dir, names)).to.deep.equal([]);
  });

  it("fit together when one is revoked in the middle of a rotation", async function () {
    if (spawnSync("strace", ["--version"]).status !== 0) this.skip();
    const dir = newAuthority();
    client(dir);
    const list = readFileSync(join(dir, "crl.pem"));
    const module = JSON.stringify(new URL("../certs/authority.ts", import.meta.url));
    const rotation = `import { addIssuing } from ${module}; addIssuing(process.argv[1]);`;
    const node = [process.execPath, "--input-type=module", "--eval", rotation, dir];
    // So slow that the revocation comes between the new CA's list and the CA itself.
    const rotated = run("strace", ["-f", "-o", "/dev/null", "-e", "inject=rename,renameat,renameat2:delay_exit=400000", ...node]);
    while (readFileSync(join(dir, "crl.pem")).equals(list)) await pause(10);
    revoke(dir, "app");
    expect(newest(dir, "issuing").number, "the new CA is not there yet").to.equal(1);
    await rotated;
    expect(newest(dir, "issuing").number).to.equal(2);
    readTlsMaterial(dir);
  });

  it("of clients are renewed after an interruption: a pair that does not fit too, one without a certificate when it is named", () => {
    const dir = newAuthority();
    for (const name of ["fine", "half", "revoked"]) client(dir, name);
    issueClient(dir, "unfit", "auditor", { lifeDays: 30 });
    const file = (name: string, kind: string): string => join(dir, "clients", name, kind);
    rmSync(file("half", "cert.pem"));
    writeFileSync(file("unfit", "key.pem"), pem(newKey()));
    revoke(dir, "revoked");
    writeFileSync(file("revoked", "cert.pem"), "junk");
    const renewed = renewClients(dir);
    expect(renewed.map(({ name, role }) => [name, role])).to.deep.equal([["unfit", "auditor"]]);
    expect(renewed[0]?.notAfter.getTime()).to.be.closeTo(Date.now() + 30 * 24 * hour, hour);
    const key = createPrivateKey(readFileSync(file("unfit", "key.pem")));
    expect(new X509Certificate(readFileSync(file("unfit", "cert.pem"))).checkPrivateKey(key)).to.equal(true);
    expect(renewClients(dir)).to.deep.equal([]);
    expect(renewClients(dir, "half").map(({ name, role }) => [name, role])).to.deep.equal([["half", "app"]]);
  });

  it("are replaced in the last third of the server's life, unless the CA's key is kept elsewhere", () => {
    const dir = newAuthority();
    // A minute and a half from now, and backdated by five: nearly over.
    const { serial } = rotateServer(dir, names, { lifeDays: 0.001 });
    const serialNow = (): string => new X509Certificate(readFileSync(join(dir, "server", "cert.pem"))).serialNumber;
    const keyFile = join(dir, "issuing", "1", "key.pem");
    renameSync(keyFile, join(dir, "away"));
    expect(initAuthority(dir, names)).to.deep.equal([]);
    expect(serialNow()).to.equal(serial);
    renameSync(join(dir, "away"), keyFile);
    expect(initAuthority(dir, names)).to.deep.equal(["server/cert.pem"]);
    expect(serialNow()).to.not.equal(serial);
    expect(initAuthority(dir, names)).to.deep.equal([]);
  });

  it("stay good when ca.pem was lost", async () => {
    const dir = newAuthority();
    const app = client(dir);
    const before = readFileSync(join(dir, "ca.pem"), "utf8");
    rmSync(join(dir, "ca.pem"));
    expect(initAuthority(dir, names)).to.deep.equal(["ca.pem"]);
    expect(readFileSync(join(dir, "ca.pem"), "utf8")).to.equal(before);
    expect(JSON.parse(await handshake(dir, app))).to.include({ name: "app" });
  });

  it("need the issuing CA's key to be issued and the root's to rotate, but none of them to serve", () => {
    const dir = newAuthority();
    rmSync(join(dir, "roots", "1", "key.pem"));
    expect(initAuthority(dir, names)).to.deep.equal([]);
    issueClient(dir, "app", "app");
    revoke(dir, "app");
    expect(() => rotateIssuing(dir, names)).to.throw(/roots\/1\/key\.pem is missing: without the key of the root/u);
    rmSync(join(dir, "issuing", "1", "key.pem"));
    expect(initAuthority(dir, names)).to.deep.equal([]);
    expect(() => issueClient(dir, "app", "app")).to.throw(/issuing\/1\/key\.pem is missing/u);
    readTlsMaterial(dir);
  });

  it("name the file of the register that is damaged", () => {
    const dir = newAuthority();
    writeFileSync(join(dir, "issued", "AB.pem"), "junk");
    expect(() => listIssued(dir)).to.throw(/issued\/AB\.pem is no certificate/u);
  });

  it("lose nothing when many are issued and revoked at once", async () => {
    const dir = newAuthority();
    const script = join(import.meta.dirname, "..", "scripts", "sallyport.ts");
    const certs = (...args: string[]) => run(process.execPath, [script, "certs", ...args, "--dir", dir]);
    await Promise.all(Array.from({ length: 6 }, (_, index) => certs("issue", `client-${index}`)));
    await Promise.all([certs("revoke", "client-1"), certs("revoke", "client-2"), certs("issue", "client-9")]);
    const clients = listIssued(dir).filter((one) => one.kind === "client");
    expect(clients).to.have.length(7);
    expect(clients.filter((one) => one.status === "revoked")).to.have.length(2);
  });

  it("are never written in part: where the disk is full, what was there stays", async () => {
    const file = join(scratchDir(), "crl.pem");
    writeFileSync(file, "whole");
    const module = JSON.stringify(new URL("../certs/write-file.ts", import.meta.url));
    const write = `import { writeFileWhole } from ${module}; writeFileWhole(process.argv[1], "x".repeat(3_000), 0o600);`;
    const full = ["-c", "trap '' XFSZ; ulimit -f 1; exec \"$@\"", "bash", process.execPath, "--input-type=module", "--eval", write, file];
    const { stderr } = await run("bash", full).catch((error) => error);
    expect(readFileSync(file, "utf8")).to.equal("whole");
    expect(stderr).to.match(/EFBIG/u);
    expect(readdirSync(dirname(file))).to.deep.equal(["crl.pem"]);
  });

  it("are on disk under their name when the write returns: the directory is flushed after the rename", async function () {
    if (spawnSync("strace", ["--version"]).status !== 0) this.skip();
    const [dir, trace] = [scratchDir(), join(scratchDir(), "trace")];
    const module = JSON.stringify(new URL("../certs/write-file.ts", import.meta.url));
    const write = `import { writeFileWhole } from ${module}; writeFileWhole(process.argv[1], "x", 0o600);`;
    const node = [process.execPath, "--input-type=module", "--eval", write, join(dir, "a.pem")];
    await run("strace", ["-f", "-y", "-e", "trace=fsync,rename,renameat,renameat2", "-o", trace, ...node]);
    const calls = readFileSync(trace, "utf8")
      .split("\n")
      .filter((line) => line.includes(dir));
    expect(calls.map((line) => /(fsync|rename)/u.exec(line)?.[0])).to.deep.equal(["fsync", "rename", "fsync"]);
    expect(calls[2]).to.include(`<${dir}>`);
  });

  it("refuse names that are paths and roles that do not exist", () => {
    const dir = newAuthority();
    for (const name of ["../x", "a/b", "", "A", "a..b", "-x", "x".repeat(64), "x\ny"])
      expect(() => issueClient(dir, name, "app"), name).to.throw(/can't be a client's name/u);
    expect(() => roleFrom("root")).to.throw(/"root" is not a role: app, operator, auditor/u);
    expect(() => issueClient(scratchDir(), "app", "app")).to.throw(/certs init/u);
  });

  it("are refused as a pair that does not match, of another CA, damaged or missing, with the file's name", () => {
    const dir = newAuthority();
    const other = newAuthority();
    const file = (root: string, name: string): string => join(root, "server", name);
    const [cert, key] = [readFileSync(file(dir, "cert.pem")), readFileSync(file(dir, "key.pem"))];
    writeFileSync(file(dir, "key.pem"), readFileSync(file(other, "key.pem")));
    expect(() => readTlsMaterial(dir)).to.throw(/cert\.pem and .*key\.pem do not belong together/u);
    writeFileSync(file(dir, "cert.pem"), readFileSync(file(other, "cert.pem")));
    expect(() => readTlsMaterial(dir)).to.throw(/was not issued by/u);
    writeFileSync(file(dir, "cert.pem"), cert.subarray(0, 200));
    writeFileSync(file(dir, "key.pem"), key);
    expect(() => readTlsMaterial(dir)).to.throw(/cert\.pem is damaged/u);
    rmSync(join(dir, "crl.pem"));
    expect(() => readTlsMaterial(dir)).to.throw(/crl\.pem can't be read/u);
  });
});
