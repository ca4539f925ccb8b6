import { createHmac, type KeyObject, randomBytes } from "node:crypto";
import { bmpText, der, explicit, fromDer, integer, macKey, nothing, objectId, octets, sequence, set } from "./der.ts";
import { certificatesIn } from "./pem.ts";

/** Object identifiers (RFC 7292, RFC 2985). */
const oid = {
  data: "1.2.840.113549.1.7.1",
  shroudedKeyBag: "1.2.840.113549.1.12.10.1.2",
  certBag: "1.2.840.113549.1.12.10.1.3",
  x509Certificate: "1.2.840.113549.1.9.22.1",
  friendlyName: "1.2.840.113549.1.9.20",
  localKeyId: "1.2.840.113549.1.9.21",
  sha256: "2.16.840.1.101.3.4.2.1",
};

const iterations = 100_000;

/**
 * A key and its chain as one file (PKCS #12, RFC 7292): the key under AES-256 with PBKDF2, the whole under a MAC with SHA-256. The certificates are not
 * encrypted; they are no secret.
 */
export function buildPkcs12(name: string, key: KeyObject, chain: string, password: string): Buffer {
  const certificates = certificatesIn(chain);
  const shrouded = key.export({ type: "pkcs8", format: "der", cipher: "aes-256-cbc", passphrase: password });
  // What joins the key to its certificate.
  const own = set(sequence(objectId(oid.friendlyName), set(bmpText(name))), sequence(objectId(oid.localKeyId), set(octets(Buffer.of(1)))));
  const bags = certificates.map(({ raw }, index) => {
    const bag = sequence(objectId(oid.x509Certificate), explicit(0, octets(raw)));
    return sequence(objectId(oid.certBag), explicit(0, bag), ...(index === 0 ? [own] : []));
  });
  const contents = [sequence(...bags), sequence(sequence(objectId(oid.shroudedKeyBag), explicit(0, fromDer(shrouded)), own))];
  const data = (bytes: Buffer) => sequence(objectId(oid.data), explicit(0, octets(bytes)));
  const safe = der(sequence(...contents.map((one) => data(der(one)))));
  const salt = randomBytes(16);
  const mac = createHmac("sha256", macKey(password, salt, iterations))
    .update(safe)
    .digest();
  const digest = sequence(sequence(objectId(oid.sha256), nothing()), octets(mac));
  return der(sequence(integer("03"), data(safe), sequence(digest, octets(salt), integer(iterations.toString(16)))));
}
