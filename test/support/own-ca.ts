import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { scratchDir } from "./scratch.ts";

/** A CA as an organisation has it, made and run by OpenSSL alone. */
export interface OwnCa {
  /** Its certificate and an empty revocation list, and those of the CAs above it. */
  readonly pem: string;
  readonly cert: string;
  readonly key: string;
  /** The certificate of a CA for a request, with `pem`. */
  sign(request: string, pathLength?: number): string;
  /** `pem` with a newer list, which counts for `life` days and has these certificates on it. */
  listing(revoked: readonly string[], life?: number): string;
  /** A client's certificate and key. */
  client(subject: string, san?: string): { cert: string; key: string };
}

const dayMs = 86_400_000;

interface Settings {
  /** How old its list is. */
  readonly days?: number;
  /** For how many days its list counts. */
  readonly life?: number;
  /** The CA above it. Default: it is a root */
  readonly by?: OwnCa;
}

/** `more`: further extensions of a root's certificate. */
export function startOwnCa(
  subject = "/O=Bank/CN=Bank root",
  more: readonly string[] = [],
  { days = 0, life = 30, by }: Settings = {},
): OwnCa {
  const dir = scratchDir();
  const file = (name: string): string => join(dir, name);
  const read = (name: string): string => readFileSync(file(name), "utf8");
  const openssl = (...args: string[]): void => void execFileSync("openssl", args, { stdio: "pipe", cwd: dir });
  writeFileSync(file("index.txt"), "");
  writeFileSync(
    file("ca.cnf"),
    "[ca]\ndefault_ca = own\n[own]\ndatabase = index.txt\ndefault_md = sha256\ndefault_crl_days = 30\n[req]\ndistinguished_name = dn\n[dn]\n",
  );
  const root = [
    "-x509",
    "-newkey",
    "rsa:2048",
    "-noenc",
    "-keyout",
    "ca.key",
    "-out",
    "ca.pem",
    "-subj",
    subject,
    "-days",
    "30",
    "-config",
    "ca.cnf",
  ];
  openssl(
    "req",
    ...root,
    "-addext",
    "basicConstraints=critical,CA:TRUE",
    "-addext",
    "keyUsage=critical,keyCertSign,cRLSign",
    "-addext",
    "subjectKeyIdentifier=hash",
    ...more.flatMap((extension) => ["-addext", extension]),
  );
  if (by !== undefined) {
    openssl("req", "-new", "-key", "ca.key", "-out", "ca.csr", "-subj", subject, "-config", "ca.cnf");
    writeFileSync(file("ca.pem"), by.sign(read("ca.csr"), 1).replace(by.pem, ""));
  }
  const at = (ms: number): string => `${new Date(ms).toISOString().replaceAll(/[-:T]|\..*/gu, "")}Z`;
  const own = ["-config", "ca.cnf", "-keyfile", "ca.key", "-cert", "ca.pem"];
  const listed = (from: number, life: number): string => {
    openssl("ca", ...own, "-gencrl", "-crl_lastupdate", at(from), "-crl_nextupdate", at(from + life * dayMs), "-out", "crl.pem");
    return read("ca.pem") + read("crl.pem") + (by?.pem ?? "");
  };
  const pem = listed(Date.now() - days * dayMs, life);
  const signed = (extensions: string): string => {
    openssl(
      "x509",
      "-req",
      "-in",
      "a.csr",
      "-CA",
      "ca.pem",
      "-CAkey",
      "ca.key",
      "-CAcreateserial",
      "-days",
      "20",
      "-extfile",
      extensions,
      "-out",
      "a.pem",
    );
    return read("a.pem");
  };
  return {
    pem,
    cert: read("ca.pem"),
    key: read("ca.key"),
    sign(request, pathLength = 0) {
      writeFileSync(file("a.csr"), request);
      writeFileSync(
        file("issuing.cnf"),
        `basicConstraints=critical,CA:TRUE,pathlen:${pathLength}\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n`,
      );
      return signed("issuing.cnf") + pem;
    },
    listing(revoked, life = 30) {
      for (const one of revoked) {
        writeFileSync(file("revoked.pem"), one);
        openssl("ca", ...own, "-revoke", "revoked.pem");
      }
      return listed(Date.now(), life);
    },
    client(subject, san) {
      openssl("req", "-new", "-newkey", "rsa:2048", "-noenc", "-keyout", "a.key", "-out", "a.csr", "-subj", subject, "-config", "ca.cnf");
      writeFileSync(
        file("client.cnf"),
        `keyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth\n${san === undefined ? "" : `subjectAltName=${san}\n`}`,
      );
      return { cert: signed("client.cnf"), key: read("a.key") };
    },
  };
}
