import { execFileSync, spawnSync } from "node:child_process";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { Agent } from "undici";
import { authorities } from "../certs/authorities.ts";
import { issueClient, issueRequested, revoke } from "../certs/authority.ts";
import { identityByRule } from "../certs/identity.ts";
import { installIssuing, requestIssuing } from "../certs/own-root.ts";
import { buildPkcs12 } from "../certs/pkcs12.ts";
import { revokedSerials } from "../certs/register.ts";
import { renewClients, retire } from "../certs/rotation.ts";
import { readTlsMaterial } from "../certs/tls-material.ts";
import { requestedKey } from "../certs/x509.ts";
import { EchoEngine } from "../models/echo-engine.ts";
import { prepareData, prose, send, startTestAppliance } from "./support/appliance.ts";
import { startOwnCa } from "./support/own-ca.ts";
import { sallyport } from "./support/sallyport.ts";
import { scratchDir } from "./support/scratch.ts";
import { handOf, streamBack } from "./support/stream.ts";
import { pause } from "./support/until.ts";

const names = ["localhost", "127.0.0.1"];
const certsOf = (): string => join(prepareData(), "certs");

async function statusFor(url: string, hand: { ca: string; cert: string; key: string }): Promise<number | string> {
  const dispatcher = new Agent({ connect: { ...hand } });
  try {
    return (await send(`${url}/v1/models`, "GET", undefined, { dispatcher })).status;
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code ?? error);
  } finally {
    await dispatcher.destroy();
  }
}

describe("a CA of your own", () => {
  it("lets its clients in by rule, in the role of the rule, and nobody by what its certificates say of a role", async () => {
    const bank = startOwnCa();
    const identities = [
      { san: "URI:spiffe://bank.example/app/*", role: "app" as const, name: "app-*" },
      { subject: "O=Bank,OU=Audit,CN=*", role: "auditor" as const, name: "*" },
    ];
    await using appliance = await startTestAppliance({ config: (config) => ({ ...config, tls: { ...config.tls, identities } }) });
    const ca = readFileSync(join(appliance.certsDir, "ca.pem"), "utf8");
    const billing = bank.client("/O=Bank/CN=whatever", "URI:spiffe://bank.example/app/billing");
    expect(await statusFor(appliance.url, { ca, ...billing }), "before it is trusted").to.match(/UND_ERR|ECONNRESET|ERR_SSL/u);
    mkdirSync(join(appliance.certsDir, "trust"));
    writeFileSync(join(appliance.certsDir, "trust", "bank.pem"), bank.pem);
    await pause(800);
    expect(await statusFor(appliance.url, { ca, ...billing })).to.equal(200);
    expect(await statusFor(appliance.url, { ca, ...bank.client("/O=Bank/OU=Audit/CN=kim") }), "an auditor calls no models").to.equal(403);
    expect(await statusFor(appliance.url, { ca, ...bank.client("/OU=operator/CN=operator") }), "a role of its own making").to.equal(403);
    expect(await statusFor(appliance.url, { ca, ...bank.client("/O=Bank/CN=x", "DNS:bank.example") })).to.equal(403);
    expect(await statusFor(appliance.url, handOf(appliance.certsDir, "app")), "ours go on").to.equal(200);
    revoke(appliance.certsDir, new X509Certificate(billing.cert).serialNumber);
    await pause(800);
    expect(await statusFor(appliance.url, { ca, ...billing })).to.match(/UND_ERR|ECONNRESET|ERR_SSL/u);
  }).timeout(30_000);

  it("revokes by its list: a kept connection ends, also when a CA above is on one, and the next request when a list has run out", async () => {
    const root = startOwnCa();
    const bank = startOwnCa("/O=Bank/CN=Issuing CA", [], { by: root });
    const identities = [{ subject: "O=Bank,CN=*", role: "app" as const, name: "*" }];
    await using appliance = await startTestAppliance({ config: (config) => ({ ...config, tls: { ...config.tls, identities } }) });
    const { certsDir, url } = appliance;
    const trusted = join(certsDir, "trust", "bank.pem");
    mkdirSync(join(certsDir, "trust"));
    const trust = async (pem: string): Promise<void> => {
      writeFileSync(trusted, pem);
      await pause(800);
    };
    const ca = readFileSync(join(certsDir, "ca.pem"), "utf8");
    const [leaver, stayer] = [bank.client("/O=Bank/CN=leaver"), bank.client("/O=Bank/CN=stayer")] as const;
    const gone = new Agent({ connect: { ca, ...leaver } });
    const kept = new Agent({ connect: { ca, ...stayer } });
    let connections = 0;
    kept.on("connect", () => (connections += 1));
    const statusOn = (dispatcher: Agent): Promise<number | string> =>
      send(`${url}/v1/models`, "GET", undefined, { dispatcher }).then(
        ({ status }) => status,
        (error) => String(error.code),
      );
    await trust(bank.pem);
    expect([await statusOn(gone), await statusOn(kept)]).to.deep.equal([200, 200]);
    await trust(bank.listing([leaver.cert]));
    expect(await statusOn(gone)).to.match(/UND_ERR|ECONNRESET|ERR_SSL/u);
    expect([await statusOn(kept), connections]).to.deep.equal([200, 1]);
    await trust(bank.listing([], 5 / 86_400));
    const statuses = new Set<number | string>();
    for (const end = Date.now() + 6_000; Date.now() < end; await pause(200)) if (connections === 1) statuses.add(await statusOn(kept));
    expect([...statuses].slice(0, 2)).to.deep.equal([200, 403]);
    await trust(bank.listing([]));
    expect(await statusOn(kept)).to.equal(200);
    await trust(bank.listing([]).replace(root.pem, root.listing([bank.cert])));
    expect(await statusOn(kept)).to.match(/UND_ERR|ECONNRESET|ERR_SSL/u);
    await Promise.all([gone.destroy(), kept.destroy()]);
  }).timeout(40_000);

  it("has short serials, which `revoke` takes in any spelling", () => {
    const dir = certsOf();
    expect(() => revoke(dir, "1")).to.throw(/no valid certificate/u);
    mkdirSync(join(dir, "trust"));
    expect(revoke(dir, "1")).to.deep.equal(["01"]);
    expect(revoke(dir, "00abc")).to.deep.equal(["0ABC"]);
    expect(revoke(dir, "0")).to.deep.equal(["00"]);
    expect([...revokedSerials(dir)].toSorted()).to.deep.equal(["00", "01", "0ABC"]);
    expect(() => revoke(dir, "1".repeat(41))).to.throw(/no valid certificate/u);
  });

  it("is not taken to be meant by a mistyped name, and `revoke` says when it is", async () => {
    const dir = certsOf();
    mkdirSync(join(dir, "trust"));
    expect(() => revoke(dir, "dad")).to.throw(/no valid certificate with the name "dad".* write it as 0dad/u);
    expect([...revokedSerials(dir)]).to.deep.equal([]);
    expect(revoke(dir, "0dad")).to.deep.equal(["0DAD"]);
    const said = async (name: string): Promise<string> => (await sallyport(["certs", "revoke", name, "--dir", dir])).stdout;
    expect(await said("1f")).to.match(/No certificate of ours has this serial: taken as one of another CA in trust\/\.\nRevoked 1F\./u);
    expect(await said("app")).to.match(/^Revoked /u);
  });

  it("reads no name out of one that was written to look like two", () => {
    const rules = [{ san: "URI:spiffe://bank.example/app/*", role: "app" as const, name: "*" }];
    const named = (subjectAltName: string): string => {
      try {
        return identityByRule({ subjectAltName, subject: "CN=x", serialNumber: "01" } as unknown as X509Certificate, rules).name;
      } catch {
        return "refused";
      }
    };
    expect(named("DNS:a, URI:spiffe://bank.example/app/billing")).to.equal("billing");
    for (const text of [
      'DNS:"a, URI:spiffe://bank.example/app/billing"',
      "URI:spiffe://bank.example/app/",
      "URI:spiffe://bank.example/app/a/b",
      'DNS:"a, URI:spiffe://bank.example/app/b',
    ])
      expect(named(text), text).to.equal("refused");
  });

  it("is refused without a revocation list, and a certificate that is no CA too; what was at work stays", () => {
    const dir = certsOf();
    const bank = startOwnCa();
    mkdirSync(join(dir, "trust"));
    const trusted = join(dir, "trust", "bank.pem");
    writeFileSync(trusted, bank.pem.slice(0, bank.pem.indexOf("-----BEGIN X509 CRL")));
    expect(() => readTlsMaterial(dir)).to.throw(/no revocation list of the CA O=Bank, CN=Bank root/u);
    writeFileSync(trusted, bank.client("/CN=x").cert);
    expect(() => readTlsMaterial(dir)).to.throw(/is no CA/u);
    writeFileSync(trusted, bank.pem.slice(0, 300));
    expect(() => readTlsMaterial(dir)).to.throw(/bank\.pem is damaged|no revocation list/u);
    writeFileSync(trusted, bank.pem);
    readTlsMaterial(dir);
  });

  it("signs the issuing CA: streams go on, old clients until `retire`, and clients trust the new root through the old one", async () => {
    await using appliance = await startTestAppliance({ engines: [new EchoEngine("echo", { tokenDelayMs: 10 })] });
    const { certsDir, url } = appliance;
    const old = handOf(certsDir, "app");
    const stream = streamBack(url, old, prose(150));
    const bank = startOwnCa();
    const { csr } = requestIssuing(certsDir);
    const signed = bank.sign(csr);
    const untouched = readFileSync(join(certsDir, "crl.pem"), "utf8");
    expect(() => installIssuing(certsDir, bank.pem, names)).to.throw(/for a key that waits for one/u);
    expect(() => installIssuing(certsDir, signed.slice(0, signed.indexOf("-----BEGIN X509 CRL")), names)).to.throw(
      /no revocation list of O=Bank, CN=Bank root/u,
    );
    expect(() =>
      installIssuing(certsDir, startOwnCa("/CN=other").pem + signed.slice(0, signed.indexOf("-----END CERTIFICATE") + 26), names),
    ).to.throw(/lacks the CA that signed/u);
    expect(readFileSync(join(certsDir, "crl.pem"), "utf8")).to.equal(untouched);
    installIssuing(certsDir, signed, names);
    readTlsMaterial(certsDir);
    await pause(800);
    await stream;
    await streamBack(url, old, "one two"); // trusts the old root only
    issueClient(certsDir, "new", "app");
    revoke(certsDir, "auditor"); // with lists of a CA whose key is not here
    await pause(800);
    await streamBack(url, { ...handOf(certsDir, "new"), ca: bank.pem }, "one two"); // trusts the bank's only
    renewClients(certsDir);
    retire(certsDir);
    await pause(800);
    readTlsMaterial(certsDir);
    expect(authorities(certsDir, "roots").map(({ certificate }) => certificate.subject)).to.deep.equal(["O=Bank\nCN=Bank root"]);
    await streamBack(url, handOf(certsDir, "app"), "one two");
    expect(await statusFor(url, { ...old, ca: bank.pem })).to.match(/UND_ERR|ECONNRESET|ERR_SSL/u);
    const newer = startOwnCa().pem;
    expect(() =>
      installIssuing(
        certsDir,
        newer.slice(newer.indexOf("-----BEGIN X509 CRL")).replace(/[\s\S]*/u, bank.pem.slice(bank.pem.indexOf("-----BEGIN X509 CRL"))),
        names,
      ),
    ).to.not.throw();
  }).timeout(30_000);
});

describe("a CA between a root of your own and ours", () => {
  it("names nobody: its own clients are let in by a rule alone, and ours go on", async () => {
    const root = startOwnCa();
    const enterprise = startOwnCa("/O=Bank/CN=Enterprise CA", [], { by: root });
    const identities = [{ subject: "O=Bank,CN=*", role: "app" as const, name: "*" }];
    await using appliance = await startTestAppliance({ config: (config) => ({ ...config, tls: { ...config.tls, identities } }) });
    const { certsDir, url } = appliance;
    installIssuing(certsDir, enterprise.sign(requestIssuing(certsDir).csr), names);
    issueClient(certsDir, "billing", "app");
    await pause(800);
    const { ca } = handOf(certsDir, "billing");
    const mallory = { ca, ...enterprise.client("/OU=operator/CN=mallory") };
    const kim = { ca, ...enterprise.client("/O=Bank/CN=kim") };
    expect(await statusFor(url, handOf(certsDir, "billing"))).to.equal(200);
    expect(await statusFor(url, mallory), "a role of its own making").to.match(/UND_ERR|ECONNRESET|ERR_SSL/u);
    expect(await statusFor(url, kim), "before it is trusted").to.match(/UND_ERR|ECONNRESET|ERR_SSL/u);
    mkdirSync(join(certsDir, "trust"));
    writeFileSync(join(certsDir, "trust", "enterprise.pem"), enterprise.pem);
    await pause(800);
    expect(await statusFor(url, kim)).to.equal(200);
    expect(await statusFor(url, mallory)).to.equal(403);
    expect(await statusFor(url, handOf(certsDir, "billing"))).to.equal(200);
  }).timeout(30_000);
});

describe("a request for a certificate", () => {
  const made = (...args: string[]): { csr: string; key: string } => {
    const dir = scratchDir();
    execFileSync(
      "openssl",
      ["req", "-new", "-noenc", "-subj", "/CN=somebody-else/OU=operator", "-keyout", "k.pem", "-out", "a.csr", ...args],
      { cwd: dir, stdio: "pipe" },
    );
    return { csr: readFileSync(join(dir, "a.csr"), "utf8"), key: readFileSync(join(dir, "k.pem"), "utf8") };
  };
  const ec = (curve: string): string[] => ["-newkey", "ec", "-pkeyopt", `ec_paramgen_curve:${curve}`];

  it("of EC, RSA and Ed25519 gets a certificate for its key, under the operator's name and role", async () => {
    await using appliance = await startTestAppliance();
    for (const [index, args] of [ec("P-256"), ec("P-384"), ["-newkey", "rsa:3072"], ["-newkey", "ed25519"]].entries()) {
      const { csr, key } = made(...args);
      const { name, role } = issueRequested(appliance.certsDir, `remote-${index}`, "app", csr);
      expect([name, role]).to.deep.equal([`remote-${index}`, "app"]);
      const dir = join(appliance.certsDir, "clients", name);
      const hand = { ca: readFileSync(join(appliance.certsDir, "ca.pem"), "utf8"), cert: readFileSync(join(dir, "cert.pem"), "utf8"), key };
      expect(await statusFor(appliance.url, hand), args.join(" ")).to.equal(200);
    }
    expect(() => issueRequested(appliance.certsDir, "app", "app", made(...ec("P-256")).csr)).to.throw(
      /key\.pem is a key of app that was made here/u,
    );
  });

  it("is refused when it is weak, damaged, or not signed by its own key", () => {
    expect(() => requestedKey(made("-newkey", "rsa:1024").csr)).to.throw(/too weak/u);
    expect(() => requestedKey(made(...ec("secp224r1")).csr)).to.throw(/too weak/u);
    expect(() => requestedKey(made("-sha1", ...ec("P-256")).csr)).to.throw(/SHA-1/u);
    const { csr } = made(...ec("P-256"));
    const bytes = Buffer.from(csr.replace(/-----[^-]*-----|\s/gu, ""), "base64");
    bytes[20] = (bytes[20] ?? 0) ^ 1;
    expect(() =>
      requestedKey(`-----BEGIN CERTIFICATE REQUEST-----\n${bytes.toString("base64")}\n-----END CERTIFICATE REQUEST-----\n`),
    ).to.throw(/not signed with its own key|no certificate request/u);
    for (const text of ["", "junk", csr.slice(0, 200), readFileSync(join(certsOf(), "ca.pem"), "utf8")])
      expect(() => requestedKey(text)).to.throw(/no certificate request|not signed/u);
  });
});

describe("a PKCS #12 file", () => {
  it("holds key, certificate and CAs, for OpenSSL and Java, and opens with its password only", () => {
    const dir = certsOf();
    const { cert, key } = handOf(dir, "app");
    const file = join(scratchDir(), "app.p12");
    writeFileSync(file, buildPkcs12("app", createPrivateKey(key), cert, "a long password"));
    const openssl = (password: string): string =>
      execFileSync("openssl", ["pkcs12", "-in", file, "-noenc", "-passin", `pass:${password}`], { encoding: "utf8", stdio: "pipe" });
    const { stderr } = spawnSync("openssl", ["pkcs12", "-in", file, "-info", "-noout", "-passin", "pass:a long password"], {
      encoding: "utf8",
    });
    expect(stderr)
      .to.match(/^MAC: sha256, Iteration 100000/mu)
      .and.match(/^Shrouded Keybag: PBES2, PBKDF2, AES-256-CBC, Iteration 100000, PRF hmacWithSHA256/mu);
    const text = openssl("a long password");
    expect(text.match(/BEGIN CERTIFICATE/gu)).to.have.length(2);
    expect(text).to.include("friendlyName: app");
    expect(createPrivateKey(text.slice(text.indexOf("-----BEGIN PRIVATE"))).equals(createPrivateKey(key))).to.equal(true);
    expect(() => openssl("another password")).to.throw(/invalid password|mac verify/iu);
  });
});
