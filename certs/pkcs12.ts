import { createCipheriv, createHmac, type KeyObject, pbkdf2Sync, randomBytes } from "node:crypto";
import { bmpText, der, explicit, integer, macKey, type Node, nothing, objectId, octets, sequence, set } from "./der.ts";
import { certificatesIn } from "./pem.ts";

/** Object identifiers (RFC 7292, RFC 2985, RFC 8018). */
const oid = {
  data: "1.2.840.113549.1.7.1",
  shroudedKeyBag: "1.2.840.113549.1.12.10.1.2",
  certBag: "1.2.840.113549.1.12.10.1.3",
  x509Certificate: "1.2.840.113549.1.9.22.1",
  friendlyName: "1.2.840.113549.1.9.20",
  localKeyId: "1.2.840.113549.1.9.21",
  sha256: "2.16.840.1.101.3.4.2.1",
  pbes2: "1.2.840.113549.1.5.13",
  pbkdf2: "1.2.840.113549.1.5.12",
  hmacWithSha256: "1.2.840.113549.2.9",
  aes256Cbc: "2.16.840.1.101.3.4.1.42",
};

/** Of both keys that are made of the password. */
const iterations = 100_000;

/**
 * A key and its chain as one file (PKCS #12, RFC 7292): the key under AES-256 with PBKDF2, the whole under a MAC with SHA-256. The certificates are not
 * encrypted; they are no secret.
 */
export function buildPkcs12(name: string, key: KeyObject, chain: string, password: string): Buffer {
  const certificates = certificatesIn(chain);
  // What joins the key to its certificate.
  const own = set(sequence(objectId(oid.friendlyName), set(bmpText(name))), sequence(objectId(oid.localKeyId), set(octets(Buffer.of(1)))));
  const bags = certificates.map(({ raw }, index) => {
    const bag = sequence(objectId(oid.x509Certificate), explicit(0, octets(raw)));
    return sequence(objectId(oid.certBag), explicit(0, bag), ...(index === 0 ? [own] : []));
  });
  const contents = [sequence(...bags), sequence(sequence(objectId(oid.shroudedKeyBag), explicit(0, encryptedKey(key, password)), own))];
  const data = (bytes: Buffer) => sequence(objectId(oid.data), explicit(0, octets(bytes)));
  const safe = der(sequence(...contents.map((one) => data(der(one)))));
  const salt = randomBytes(16);
  const mac = createHmac("sha256", macKey(password, salt, iterations))
    .update(safe)
    .digest();
  const digest = sequence(sequence(objectId(oid.sha256), nothing()), octets(mac));
  return der(sequence(integer("03"), data(safe), sequence(digest, octets(salt), integer(iterations.toString(16)))));
}

/** PKCS #8 under PBES2 (RFC 8018, 6.2): what `KeyObject.export` makes has 2,048 iterations. */
function encryptedKey(key: KeyObject, password: string): Node {
  const [salt, iv] = [randomBytes(16), randomBytes(16)];
  const cipher = createCipheriv("aes-256-cbc", pbkdf2Sync(password, salt, iterations, 32, "sha256"), iv);
  const encrypted = Buffer.concat([cipher.update(key.export({ type: "pkcs8", format: "der" })), cipher.final()]);
  const count = integer(iterations.toString(16));
  const derivation = sequence(objectId(oid.pbkdf2), sequence(octets(salt), count, sequence(objectId(oid.hmacWithSha256), nothing())));
  const scheme = sequence(derivation, sequence(objectId(oid.aes256Cbc), octets(iv)));
  return sequence(sequence(objectId(oid.pbes2), scheme), octets(encrypted));
}
