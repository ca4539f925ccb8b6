import { execFileSync } from "node:child_process";
import { createPublicKey, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "node:tls";
import { expect } from "chai";
import { issuerOf, newest } from "../certs/authorities.ts";
import { issueClient, revoke } from "../certs/authority.ts";
import { retire, rotateIssuing } from "../certs/rotation.ts";
import { buildCertificate, newKey, type Subject } from "../certs/x509.ts";
import { prepareData, startTestAppliance, type TestAppliance } from "./support/appliance.ts";
import { type OwnCa, startOwnCa } from "./support/own-ca.ts";
import { scratchDir } from "./support/scratch.ts";
import { pause } from "./support/until.ts";

const hourMs = 3_600_000;

interface Shown {
  readonly cert: string;
  readonly key: string;
}

interface Signing {
  /** Arguments of `openssl genpkey`. */
  readonly key?: readonly string[];
  readonly subject?: string;
  /** Lines of an extension section. */
  readonly extensions?: readonly string[];
  readonly digest?: string;
  /** Its certificate and key; by itself when absent. */
  readonly by?: Shown;
}

const clientExtensions = ["basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature", "extendedKeyUsage=clientAuth"];
const p256 = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];

/** A certificate made by OpenSSL, which signs what our own code would not. */
function signed({ key = p256, subject = "/OU=operator/CN=mallory", extensions = clientExtensions, digest = "sha256", by }: Signing): Shown {
  const dir = scratchDir();
  const file = (name: string): string => join(dir, name);
  const openssl = (...args: string[]): void => void execFileSync("openssl", args, { stdio: "pipe" });
  openssl("genpkey", ...key, "-out", file("key.pem"));
  openssl("req", "-new", "-key", file("key.pem"), "-subj", subject, "-multivalue-rdn", "-out", file("csr.pem"));
  writeFileSync(file("ext.cnf"), [...extensions, "subjectKeyIdentifier=hash", ""].join("\n"));
  if (by !== undefined) {
    writeFileSync(file("ca.pem"), by.cert);
    writeFileSync(file("ca.key"), by.key);
  }
  const signer = by === undefined ? ["-signkey", file("key.pem")] : ["-CA", file("ca.pem"), "-CAkey", file("ca.key"), "-CAcreateserial"];
  openssl(
    "x509",
    "-req",
    "-in",
    file("csr.pem"),
    ...signer,
    "-days",
    "30",
    `-${digest}`,
    "-extfile",
    file("ext.cnf"),
    "-out",
    file("cert.pem"),
  );
  return { cert: readFileSync(file("cert.pem"), "utf8"), key: readFileSync(file("key.pem"), "utf8") };
}

/** One byte of a certificate changed: the first that is `from` places from its end, or beginning. */
function tampered({ cert, key }: Shown, from: number): Shown {
  const bytes = Buffer.from(new X509Certificate(cert).raw);
  const at = from < 0 ? bytes.length + from : from;
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  return { cert: `-----BEGIN CERTIFICATE-----\n${bytes.toString("base64")}\n-----END CERTIFICATE-----\n`, key };
}

describe("a bad certificate", () => {
  let appliance: TestAppliance;
  let issuing: Shown;
  let root: Shown;
  let good: Shown;
  /** A CA of others, trusted for names in bank.example only. */
  let bank: OwnCa;
  before(async () => {
    const identities = [{ san: "DNS:*.bank.example", role: "operator" as const, name: "*" }];
    appliance = await startTestAppliance({ config: (config) => ({ ...config, tls: { ...config.tls, identities } }) });
    const { certsDir } = appliance;
    bank = startOwnCa("/CN=Bank", ["nameConstraints=critical,permitted;DNS:bank.example"]);
    mkdirSync(join(certsDir, "trust"));
    writeFileSync(join(certsDir, "trust", "bank.pem"), bank.pem);
    await pause(1_000);
    const pair = (...path: string[]): Shown => ({
      cert: readFileSync(join(certsDir, ...path, "cert.pem"), "utf8"),
      key: readFileSync(join(certsDir, ...path, "key.pem"), "utf8"),
    });
    [root, issuing, good] = [pair("roots", "1"), pair("issuing", "1"), pair("clients", "app")];
  });
  after(() => appliance[Symbol.asyncDispose]());

  /** What comes back for a call: a status, the alert that the service sent, or nothing where it closed the connection after the handshake. */
  async function answerTo(shown: Partial<Shown> & { maxVersion?: "TLSv1.2" }): Promise<string> {
    const port = Number(new URL(appliance.url).port);
    let got = "";
    try {
      const socket = connect({
        host: "127.0.0.1",
        port,
        ca: readFileSync(join(appliance.certsDir, "ca.pem")),
        ciphers: "DEFAULT@SECLEVEL=0",
        ...shown,
      });
      socket.on("secureConnect", () => socket.write("GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
      socket.on("data", (data) => {
        got += String(data);
      });
      await once(socket, "close");
    } catch (error) {
      if (got === "") got = (error as NodeJS.ErrnoException).code ?? String(error);
    }
    return /^HTTP\/1\.1 (\d+)/u.exec(got)?.[1] ?? got;
  }

  const ours = (subject: Subject, fromMs = -hourMs, toMs = hourMs): Shown => {
    const key = newKey();
    const life = { notBefore: new Date(Date.now() + fromMs), notAfter: new Date(Date.now() + toMs) };
    const issuer = issuerOf(newest(appliance.certsDir, "issuing"));
    return {
      cert: buildCertificate(subject, createPublicKey(key), life, { kind: "client" }, issuer),
      key: String(key.export({ type: "pkcs8", format: "pem" })),
    };
  };
  const operator = { commonName: "mallory", organizationalUnit: "operator" };
  const caExtensions = (constraints = "CA:TRUE") => [`basicConstraints=critical,${constraints}`, "keyUsage=critical,keyCertSign,cRLSign"];
  const under = (ca: Shown, leaf: Signing = {}): Shown => {
    const shown = signed({ by: ca, ...leaf });
    return { cert: shown.cert + ca.cert, key: shown.key };
  };
  const foreign = (...path: string[]): Shown => {
    const dir = join(prepareData(), "certs", ...path);
    return { cert: readFileSync(join(dir, "cert.pem"), "utf8"), key: readFileSync(join(dir, "key.pem"), "utf8") };
  };

  const kinds: Readonly<Record<string, () => Partial<Shown> & { maxVersion?: "TLSv1.2" }>> = {
    "that is none": () => ({}),
    "of another CA": () => foreign("clients", "operator"),
    "of another CA with the names of ours": () =>
      signed({ by: signed({ subject: "/CN=Sallyport issuing CA 1", extensions: caExtensions() }) }),
    "of another CA, sent with our own CA's": () => {
      const { cert, key } = foreign("clients", "operator");
      return { cert: cert + issuing.cert, key };
    },
    "signed by itself": () => signed({}),
    "that expired": () => ours(operator, -2 * hourMs, -hourMs),
    "of the future": () => ours(operator, hourMs, 2 * hourMs),
    "whose life ends before it begins": () => ours(operator, hourMs, -hourMs),
    "that was revoked": () => {
      issueClient(appliance.certsDir, "leaver", "operator");
      const dir = join(appliance.certsDir, "clients", "leaver");
      const shown = { cert: readFileSync(join(dir, "cert.pem"), "utf8"), key: readFileSync(join(dir, "key.pem"), "utf8") };
      revoke(appliance.certsDir, "leaver");
      return shown;
    },
    "that is the server's own": () => ({
      cert: readFileSync(join(appliance.certsDir, "server", "cert.pem"), "utf8"),
      key: readFileSync(join(appliance.certsDir, "server", "key.pem"), "utf8"),
    }),
    "for signing code": () => signed({ by: issuing, extensions: [...clientExtensions.slice(0, 2), "extendedKeyUsage=codeSigning"] }),
    "that may not sign a handshake": () =>
      signed({ by: issuing, extensions: [clientExtensions[0] ?? "", "keyUsage=critical,keyEncipherment", "extendedKeyUsage=clientAuth"] }),
    "that is the issuing CA's own": () => issuing,
    "that is the root's own": () => root,
    "with an RSA key of 1024 bits": () => signed({ by: issuing, key: ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"] }),
    "with an RSA key of 512 bits": () => signed({ by: issuing, key: ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:512"] }),
    "with a key on a curve of 112 bits": () =>
      signed({ by: issuing, key: ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp112r1"] }),
    "signed with SHA-1": () => signed({ by: issuing, digest: "sha1" }),
    "signed with MD5": () =>
      signed({
        by: signed({ key: ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], by: root, extensions: caExtensions() }),
        digest: "md5",
      }),
    "with one bit of its signature changed": () => tampered(ours(operator), -3),
    "with one bit of its name changed": () => tampered(ours(operator), 120),
    "of ours, with three hundred CAs behind it": () => {
      const filler = signed({ by: root, extensions: caExtensions() }).cert;
      return { cert: good.cert + filler.repeat(300), key: good.key };
    },
    "of the last of twelve CAs below one that is trusted": () => {
      const cas: Shown[] = [bank];
      for (let depth = 1; depth <= 12; depth++)
        cas.unshift(signed({ by: cas[0] as Shown, subject: `/CN=Bank ${depth}`, extensions: caExtensions() })); // the bank at least
      const { cert, key } = signed({ by: cas[0] as Shown, extensions: [...clientExtensions, "subjectAltName=DNS:a.bank.example"] });
      return { cert: cert + cas.map((one) => one.cert).join(""), key };
    },
    "of a CA below the issuing CA, which may have none": () =>
      under(signed({ by: issuing, subject: "/CN=below", extensions: caExtensions() })),
    "of a CA that the root signed, and that we don't know": () =>
      under(signed({ by: root, subject: "/CN=unknown", extensions: caExtensions() })),
    "of a trusted CA whose name constraints it breaks": () => bank.client("/CN=x", "DNS:a.bank.example,DNS:a.evil.example"),
    "signed by a client": () => under(good),
    "with a critical extension that nobody knows": () =>
      signed({ by: issuing, extensions: [...clientExtensions, "1.2.3.4.5=critical,ASN1:UTF8String:x"] }),
    "without a role": () => ours({ commonName: "mallory" }),
    "with a role that does not exist": () => ours({ commonName: "mallory", organizationalUnit: "root" }),
    "with two roles": () => signed({ by: issuing, subject: "/OU=app/OU=operator/CN=mallory" }),
    "with two names": () => signed({ by: issuing, subject: "/OU=operator/CN=app/CN=mallory" }),
    "without a name": () => signed({ by: issuing, subject: "/OU=operator" }),
    "with a role written into its name": () => ours({ commonName: "mallory\nOU=operator" }),
    "over TLS 1.2, which is off": () => ({ ...good, maxVersion: "TLSv1.2" }),
    "of an issuing CA that was retired": () => {
      const old = ours(operator);
      rotateIssuing(appliance.certsDir, ["localhost", "127.0.0.1"]);
      retire(appliance.certsDir);
      return { cert: old.cert + issuing.cert, key: old.key };
    },
  };

  it("is made of what is let in when nothing is wrong with it", async () => {
    for (const shown of [good, ours(operator), signed({ by: issuing }), bank.client("/CN=x", "DNS:a.bank.example")])
      expect(await answerTo(shown)).to.equal("200");
  });

  it("counts more than thirty kinds", () => expect(Object.keys(kinds)).to.have.length.above(30));

  for (const [kind, make] of Object.entries(kinds)) {
    it(`${kind} is refused in TLS or with 403`, async () => {
      const shown = make();
      await pause(kind.includes("revoked") || kind.includes("retired") ? 1_000 : 0);
      expect(await answerTo(shown)).to.match(/^(?:403|ERR_SSL_[\w/]*ALERT_\w+|ECONNRESET|EPIPE|)$/u);
      issueClient(appliance.certsDir, "still", "app");
      const dir = join(appliance.certsDir, "clients", "still");
      const still = { cert: readFileSync(join(dir, "cert.pem"), "utf8"), key: readFileSync(join(dir, "key.pem"), "utf8") };
      expect(await answerTo(still), "and the service goes on").to.equal("200");
    });
  }
});
