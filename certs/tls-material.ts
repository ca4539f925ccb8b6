import { createHash, createPrivateKey, X509Certificate } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import { authorities } from "./authorities.ts";
import { certificatesIn, revocationListsIn } from "./pem.ts";
import { revocationListIssuer, subjectLine, subjectName } from "./x509.ts";

/** What a TLS server needs, read and found to fit together. */
export interface TlsMaterial {
  /** The roots, the CAs that issue, and those of others that are trusted. PEM. */
  readonly ca: string;
  /** A revocation list of each of them. PEM. */
  readonly crl: readonly string[];
  /** With the CAs between it and a root. PEM. */
  readonly cert: string;
  readonly key: string;
  /** Ours that issue, without those between them and a root: what their certificates say of name and role, we have written. */
  readonly issuing: readonly X509Certificate[];
  /** CAs of others: whoever shows a certificate of theirs is named by a rule. */
  readonly foreign: readonly X509Certificate[];
  /** Changes when any of it does. */
  readonly fingerprint: string;
}

/** Reads a certificates directory. Throws a sentence that names the file when one is missing, damaged, expired or belongs to another. */
export function readTlsMaterial(dir: string): TlsMaterial {
  const files = {
    ca: join(dir, "ca.pem"),
    crl: join(dir, "crl.pem"),
    cert: join(dir, "server", "cert.pem"),
    key: join(dir, "server", "key.pem"),
  };
  const [caText, crlText, cert, key] = [files.ca, files.crl, files.cert, files.key].map(read) as [string, string, string, string]; // four in, four out
  const roots = certificates(files.ca, caText);
  const ours = authorities(dir, "issuing");
  const issuing = ours.map((one) => one.certificate);
  const chains = ours.flatMap((one) => certificates(join(one.dir, "cert.pem"), one.pem));
  const trusted = trust(dir);
  const server = parsed(files.cert, () => new X509Certificate(cert));
  const privateKey = parsed(files.key, () => createPrivateKey(key));
  const crl = [...listsIn(files.crl, crlText), ...trusted.lists];
  if (!server.checkPrivateKey(privateKey))
    throw new Error(`${files.cert} and ${files.key} do not belong together. Run \`npx sallyport certs rotate\`.`);
  if (!issuing.some((one) => server.checkIssued(one) && server.verify(one.publicKey)))
    throw new Error(`${files.cert} was not issued by a CA of ${join(dir, "issuing")}. Run \`npx sallyport certs rotate\`.`);
  const orphan = chains.find((one) => ![...roots, ...chains].some((by) => one.checkIssued(by) && one.verify(by.publicKey)));
  if (orphan !== undefined)
    throw new Error(
      `${subjectLine(orphan)} in ${join(dir, "issuing")} was not signed by a root of ${files.ca}. Run \`npx sallyport certs init\`.`,
    );
  if (new Date(server.validTo).getTime() < Date.now())
    throw new Error(`${files.cert} expired on ${server.validTo}. Run \`npx sallyport certs rotate\`.`);
  const issuers = crl.map((list) => revocationListIssuer(list).toString("hex"));
  const unlisted = [...roots, ...chains, ...trusted.foreign].find((one) => !issuers.includes(subjectName(one).toString("hex")));
  if (unlisted !== undefined)
    throw new Error(
      `There is no revocation list of the CA ${subjectLine(unlisted)}, so none of its clients could be let in. Put it beside its certificate, or into ${files.crl}.`,
    );
  const ca = [...new Set([...roots, ...chains, ...trusted.foreign].map((one) => one.toString()))].join("");
  const fingerprint = createHash("sha256")
    .update(JSON.stringify([ca, crl, cert, key]))
    .digest("hex");
  return { ca, crl, cert, key, issuing, foreign: trusted.foreign, fingerprint };
}

/** `trust/*.pem`: certificates of CAs and their revocation lists, in any order. */
function trust(dir: string): { foreign: X509Certificate[]; lists: string[] } {
  const folder = join(dir, "trust");
  const files = (existsSync(folder) ? readdirSync(folder) : []).filter((name) => name.endsWith(".pem")).map((name) => join(folder, name));
  const texts = files.map((file) => ({ file, text: read(file) }));
  const foreign = texts.flatMap(({ file, text }) => (text.includes("BEGIN CERTIFICATE") ? certificates(file, text) : []));
  const noCa = foreign.find((one) => !one.ca);
  if (noCa !== undefined) throw new Error(`${subjectLine(noCa)} in ${folder} is no CA. Only certificates of CAs belong there.`);
  const lists = texts.flatMap(({ file, text }) => (text.includes("BEGIN X509 CRL") ? listsIn(file, text) : []));
  return { foreign, lists };
}

function certificates(file: string, text: string): X509Certificate[] {
  const found = parsed(file, () => certificatesIn(text));
  if (found.length === 0) throw new Error(`${file} is damaged. Restore it from a backup.`);
  return found;
}

function listsIn(file: string, text: string): string[] {
  const found = revocationListsIn(text);
  parsed(file, () => createSecureContext({ crl: found }));
  if (found.length === 0) throw new Error(`${file} is damaged. Restore it from a backup.`);
  return found;
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new Error(`${path} can't be read. Make what is missing with \`npx sallyport certs init\`.`, { cause });
  }
}

function parsed<T>(path: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    throw new Error(`${path} is damaged. Restore it from a backup.`, { cause });
  }
}
