/** Builds certificates and revocation lists. node-forge lays out the DER; node:crypto makes the keys and signs; OpenSSL alone verifies. */
import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign, type X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import forge from "node-forge";

const { asn1 } = forge;
const { Class, Type } = asn1;
type Node = forge.asn1.Asn1;
// Missing in the types.
const { bytesFromIP } = forge.util as unknown as { bytesFromIP(address: string): string };

/** Object identifiers (RFC 5280; the algorithms RFC 5480 and RFC 5758). */
const oid = {
  commonName: "2.5.4.3",
  organizationalUnit: "2.5.4.11",
  ecdsaWithSha256: "1.2.840.10045.4.3.2",
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  crlNumber: "2.5.29.20",
  authorityKeyIdentifier: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  clientAuth: "1.3.6.1.5.5.7.3.2",
};

export interface Life {
  readonly notBefore: Date;
  readonly notAfter: Date;
}

export interface Subject {
  readonly commonName: string;
  readonly organizationalUnit?: string;
}

/** What signs: a CA's certificate and its private key. */
export interface Issuer {
  readonly certificate: X509Certificate;
  readonly key: KeyObject;
}

export type Purpose =
  | { readonly kind: "server" /** DNS names and IP addresses. */; readonly names: readonly string[] }
  | { readonly kind: "client" };

/** A new EC P-256 private key. */
export function newKey(): KeyObject {
  return generateKeyPairSync("ec", { namedCurve: "prime256v1" }).privateKey;
}

/** A CA that signs end certificates only (path length 0). PEM. */
export function buildAuthority(subject: Subject, key: KeyObject, life: Life): string {
  const publicKey = createPublicKey(key);
  const extensions = [
    extension(oid.basicConstraints, true, sequence(boolean(true), integer("00"))),
    // keyCertSign and cRLSign: bits 5 and 6.
    extension(oid.keyUsage, true, bits(1, 0x06)),
    extension(oid.subjectKeyIdentifier, false, octets(keyIdentifier(publicKey))),
    extension(oid.authorityKeyIdentifier, false, authorityKey(publicKey)),
  ];
  return certificate(name(subject), name(subject), publicKey, life, extensions, key);
}

/** A certificate for a server or a client. PEM. */
export function buildCertificate(subject: Subject, publicKey: KeyObject, life: Life, purpose: Purpose, issuer: Issuer): string {
  const extensions = [
    extension(oid.basicConstraints, true, sequence()),
    // digitalSignature: bit 0.
    extension(oid.keyUsage, true, bits(7, 0x80)),
    extension(oid.extendedKeyUsage, false, sequence(objectId(purpose.kind === "server" ? oid.serverAuth : oid.clientAuth))),
    extension(oid.subjectKeyIdentifier, false, octets(keyIdentifier(publicKey))),
    extension(oid.authorityKeyIdentifier, false, authorityKey(issuer.certificate.publicKey)),
    ...(purpose.kind === "server" ? [extension(oid.subjectAltName, false, sequence(...purpose.names.map(alternativeName)))] : []),
  ];
  return certificate(name(subject), subjectOf(issuer.certificate), publicKey, life, extensions, issuer.key);
}

/** A revocation list (RFC 5280 §5). `number` grows with every list. PEM. */
export function buildRevocationList(
  revoked: readonly { readonly serial: string; readonly at: Date }[],
  number: number,
  { notBefore: thisUpdate, notAfter: nextUpdate }: Life,
  issuer: Issuer,
): string {
  const entries = revoked.map(({ serial, at }) => sequence(integer(serial), time(at)));
  const extensions = [
    extension(oid.authorityKeyIdentifier, false, authorityKey(issuer.certificate.publicKey)),
    extension(oid.crlNumber, false, integer(hex(number))),
  ];
  const list = sequence(
    integer("01"),
    signatureAlgorithm(),
    subjectOf(issuer.certificate),
    time(thisUpdate),
    time(nextUpdate),
    // An empty list of entries must be absent.
    ...(entries.length === 0 ? [] : [sequence(...entries)]),
    explicit(0, sequence(...extensions)),
  );
  return signed(list, issuer.key, "X509 CRL");
}

function certificate(subject: Node, issuer: Node, publicKey: KeyObject, life: Life, extensions: Node[], key: KeyObject): string {
  const body = sequence(
    explicit(0, integer("02")),
    integer(newSerial()),
    signatureAlgorithm(),
    issuer,
    sequence(time(life.notBefore), time(life.notAfter)),
    subject,
    asn1.fromDer(forge.util.createBuffer(publicKey.export({ type: "spki", format: "der" }).toString("binary"))),
    explicit(3, sequence(...extensions)),
  );
  return signed(body, key, "CERTIFICATE");
}

function signed(body: Node, key: KeyObject, label: string): string {
  const signature = sign("sha256", der(body), key);
  const whole = sequence(body, signatureAlgorithm(), primitive(Type.BITSTRING, Buffer.concat([Buffer.of(0), signature])));
  const lines =
    der(whole)
      .toString("base64")
      .match(/.{1,64}/gu) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

function der(node: Node): Buffer {
  return Buffer.from(asn1.toDer(node).getBytes(), "binary");
}

/** 16 random bytes, positive (RFC 5280 allows 20). */
function newSerial(): string {
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  return serial.toString("hex");
}

function name({ commonName, organizationalUnit }: Subject): Node {
  const part = (type: string, text: string): Node =>
    asn1.create(Class.UNIVERSAL, Type.SET, true, [sequence(objectId(type), primitive(Type.UTF8, Buffer.from(text, "utf8")))]);
  return sequence(
    ...(organizationalUnit === undefined ? [] : [part(oid.organizationalUnit, organizationalUnit)]),
    part(oid.commonName, commonName),
  );
}

/** The subject of a certificate exactly as it was encoded: an issuer's name must be the same bytes. */
function subjectOf({ raw }: X509Certificate): Node {
  const body = children(children(asn1.fromDer(forge.util.createBuffer(raw.toString("binary"))))[0]);
  const subject = body[5];
  if (subject === undefined) throw new Error("the issuer's certificate has no subject");
  return subject;
}

function children(node: Node | undefined): Node[] {
  if (node === undefined || !Array.isArray(node.value)) throw new Error("not a constructed DER value");
  return node.value;
}

/** SHA-1 of the public key's bits (RFC 5280 §4.2.1.2, method 1): a name for the key, not a protection. */
function keyIdentifier(publicKey: KeyObject): Buffer {
  const spki = publicKey.export({ type: "spki", format: "der" });
  // An uncompressed P-256 point is the last 65 bytes.
  return createHash("sha1").update(spki.subarray(-65)).digest();
}

function authorityKey(publicKey: KeyObject): Node {
  return sequence(asn1.create(Class.CONTEXT_SPECIFIC, 0 as forge.asn1.Type, false, keyIdentifier(publicKey).toString("binary"))); // a context tag, which the types do not know
}

function alternativeName(text: string): Node {
  const family = isIP(text);
  const [tag, bytes] = family === 0 ? [2, Buffer.from(text, "ascii")] : [7, Buffer.from(bytesFromIP(text), "binary")];
  return asn1.create(Class.CONTEXT_SPECIFIC, tag as forge.asn1.Type, false, bytes.toString("binary")); // a context tag, which the types do not know
}

function extension(id: string, critical: boolean, value: Node): Node {
  return sequence(objectId(id), ...(critical ? [boolean(true)] : []), octets(der(value)));
}

function signatureAlgorithm(): Node {
  return sequence(objectId(oid.ecdsaWithSha256));
}

/** UTCTime until 2049, GeneralizedTime from 2050 on (RFC 5280 §4.1.2.5). */
function time(date: Date): Node {
  return date.getUTCFullYear() < 2050
    ? primitive(Type.UTCTIME, Buffer.from(asn1.dateToUtcTime(date) as string)) // the types say Date and mean a string
    : primitive(Type.GENERALIZEDTIME, Buffer.from(asn1.dateToGeneralizedTime(date) as string)); // as above
}

function sequence(...items: Node[]): Node {
  return asn1.create(Class.UNIVERSAL, Type.SEQUENCE, true, items);
}

function explicit(tag: number, item: Node): Node {
  return asn1.create(Class.CONTEXT_SPECIFIC, tag as forge.asn1.Type, true, [item]); // a context tag, which the types do not know
}

function primitive(type: forge.asn1.Type, bytes: Buffer): Node {
  return asn1.create(Class.UNIVERSAL, type, false, bytes.toString("binary"));
}

function objectId(id: string): Node {
  return asn1.create(Class.UNIVERSAL, Type.OID, false, asn1.oidToDer(id).getBytes());
}

function octets(bytes: Buffer): Node {
  return primitive(Type.OCTETSTRING, bytes);
}

function boolean(value: boolean): Node {
  return primitive(Type.BOOLEAN, Buffer.of(value ? 0xff : 0));
}

function bits(unused: number, byte: number): Node {
  return primitive(Type.BITSTRING, Buffer.of(unused, byte));
}

/** A non-negative integer from hexadecimal digits. */
function integer(digits: string): Node {
  const bytes = Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, "hex");
  return primitive(Type.INTEGER, (bytes[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.of(0), bytes]) : bytes);
}

function hex(value: number): string {
  return value.toString(16);
}
