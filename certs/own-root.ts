import { createPublicKey, type KeyObject, type X509Certificate } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { authorities, claim, hasKey, issuerOf, readKey, writeKey } from "./authorities.ts";
import { rotateServer, writeCross, writeTrusted } from "./authority.ts";
import { certificatesIn, revocationListsIn } from "./pem.ts";
import { installRevocationLists, writeRevocationLists } from "./revocation-lists.ts";
import { writeFileWhole } from "./write-file.ts";
import { buildRequest, newKey, revocationListIssuer, subjectLine, subjectName } from "./x509.ts";

/** Makes a key for an issuing CA under somebody else's root, and the request for its certificate. The CA counts when `installIssuing` brings that. */
export function requestIssuing(dir: string): { file: string; csr: string } {
  const { number, dir: own } = claim(dir, "issuing");
  const key = newKey();
  const file = join(own, "key.pem");
  writeKey(file, key);
  return { file, csr: buildRequest({ commonName: `Sallyport issuing CA ${number}` }, key) };
}

/**
 * Takes up what another CA has signed: the issuing CA that was requested, those between it and the root, the root, and a revocation list of each but the
 * first; or newer lists only. What is there counts beside it until `retire`. Returns what it did, in sentences. Throws one, and changes nothing, when a part is missing or does not fit.
 */
export function installIssuing(dir: string, pem: string, serverNames: readonly string[]): string[] {
  const certificates = certificatesIn(pem);
  const lists = revocationListsIn(pem);
  if (certificates.length === 0 && lists.length === 0)
    throw new Error("There is neither a certificate nor a revocation list (PEM) in the file.");
  if (certificates.length === 0) {
    const known = authorities(dir, "roots")
      .concat(authorities(dir, "issuing"))
      .filter((one) => !hasKey(one));
    const names = known.flatMap((one) => certificatesIn(one.pem).map(subjectName));
    if (!lists.every((list) => names.some((name) => name.equals(revocationListIssuer(list)))))
      throw new Error(
        "The file holds a revocation list of a CA that is not one of this installation's. For clients of another CA, put it into trust/.",
      );
    installRevocationLists(dir, lists);
    return ["The revocation lists are replaced. A running service takes them up within a second."];
  }
  const issuing = certificates.find((one) => pendingOf(dir, one) !== undefined);
  const own = issuing && pendingOf(dir, issuing);
  if (issuing === undefined || own === undefined)
    throw new Error("No certificate in the file is for a key that waits for one. Ask for one with `npx sallyport certs request`.");
  if (!issuing.ca)
    throw new Error(
      "What was signed is no CA. It needs the basic constraints CA:TRUE, path length 0, and the key usages certificate and CRL signing.",
    );
  const chain = chainOf(issuing, certificates);
  const root = chain.at(-1) as X509Certificate; // `chainOf` returns one at least
  const listed = lists.map(revocationListIssuer);
  const unlisted = chain.slice(1).find((one) => !listed.some((issuer) => issuer.equals(subjectName(one))));
  if (unlisted !== undefined)
    throw new Error(`The file holds no revocation list of ${subjectLine(unlisted)}. Ask your CA for one, as PEM, and add it.`);
  const before = authorities(dir, "roots")[0];
  writeRevocationLists(dir, [{ certificate: issuing, key: readKey(join(own, "key.pem")) }]);
  installRevocationLists(dir, lists);
  if (before === undefined || !before.certificate.raw.equals(root.raw)) {
    const { dir: target } = claim(dir, "roots");
    if (before !== undefined && hasKey(before)) writeCross(target, root, issuerOf(before));
    writeFileWhole(join(target, "cert.pem"), root.toString(), 0o644);
  }
  writeFileWhole(
    join(own, "cert.pem"),
    chain
      .slice(0, -1)
      .map((one) => one.toString())
      .join(""),
    0o644,
  );
  writeFileWhole(join(dir, "issued", `${issuing.serialNumber}.pem`), issuing.toString(), 0o600);
  writeTrusted(dir);
  rotateServer(dir, serverNames);
  return [
    `The issuing CA of ${subjectLine(root)} is at work, and the server has a certificate of it.`,
    `Hand ${join(dir, "ca.pem")} to every client. Next: \`npx sallyport certs renew\`, and when every client has its new certificate, \`npx sallyport certs retire\`.`,
  ];
}

/** The directory of the key that waits for this certificate. */
function pendingOf(dir: string, certificate: X509Certificate): string | undefined {
  const folder = join(dir, "issuing");
  const wanted = spki(certificate.publicKey);
  return (existsSync(folder) ? readdirSync(folder) : [])
    .map((number) => join(folder, number))
    .filter((own) => existsSync(join(own, "key.pem")) && !existsSync(join(own, "cert.pem")))
    .find((own) => spki(createPublicKey(readFileSync(join(own, "key.pem")))).equals(wanted));
}

/** Keys of different kinds can't be compared as they are. */
function spki(key: KeyObject): Buffer {
  return key.export({ type: "spki", format: "der" });
}

/** From the issuing CA to a root that signs itself. Throws a sentence when a link is missing. */
function chainOf(first: X509Certificate, all: readonly X509Certificate[]): X509Certificate[] {
  const chain = [first];
  for (let last = first; !last.checkIssued(last); ) {
    const by = all.find((one) => last.checkIssued(one) && last.verify(one.publicKey) && !chain.includes(one));
    if (by === undefined) throw new Error(`The file lacks the CA that signed ${subjectLine(last)}. Add it, up to the root.`);
    chain.push(by);
    last = by;
  }
  return chain;
}
