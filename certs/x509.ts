/** Builds certificates and revocation lists, and reads requests for certificates. */
import {
  createHash,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  verify,
  type X509Certificate,
} from "node:crypto";
import {
  alternativeName,
  bits,
  boolean,
  bytesOf,
  children,
  dateOf,
  der,
  explicit,
  fromDer,
  idOf,
  implicit,
  integer,
  isInteger,
  isSequence,
  type Node,
  objectId,
  octets,
  sequence,
  set,
  text,
  time,
} from "./der.ts";
import { bytesOfPem, pem } from "./pem.ts";

/** Object identifiers (RFC 5280; the algorithms RFC 5480, RFC 5758 and RFC 8410). */
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

/** What a request may be signed with, and the digest that goes with it. */
const requestDigests: Readonly<Record<string, string | null>> = {
  "1.2.840.10045.4.3.2": "sha256",
  "1.2.840.10045.4.3.3": "sha384",
  "1.2.840.10045.4.3.4": "sha512",
  "1.2.840.113549.1.1.11": "sha256",
  "1.2.840.113549.1.1.12": "sha384",
  "1.2.840.113549.1.1.13": "sha512",
  "1.3.101.112": null,
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

/** A root: a CA that signs itself. PEM. */
export function buildRoot(subject: Subject, key: KeyObject, life: Life): string {
  const publicKey = createPublicKey(key);
  const identifier = keyIdentifier(publicKey);
  return certificate(name(subject), name(subject), publicKey, life, authorityExtensions(identifier, identifier), key);
}

/** A CA that signs end certificates only (path length 0). PEM. */
export function buildIssuing(subject: Subject, publicKey: KeyObject, life: Life, issuer: Issuer): string {
  const extensions = authorityExtensions(keyIdentifier(publicKey), identifierOf(issuer.certificate), 0);
  return certificate(name(subject), subjectOf(issuer.certificate), publicKey, life, extensions, issuer.key);
}

/** A root's key under an older root (RFC 4210 §4.4, "new with old"), so that whoever trusts only the older one trusts it too. PEM. */
export function buildCross(root: X509Certificate, life: Life, issuer: Issuer): string {
  const extensions = authorityExtensions(identifierOf(root), identifierOf(issuer.certificate));
  return certificate(subjectOf(root), subjectOf(issuer.certificate), root.publicKey, life, extensions, issuer.key);
}

/** A certificate for a server or a client. PEM. */
export function buildCertificate(subject: Subject, publicKey: KeyObject, life: Life, purpose: Purpose, issuer: Issuer): string {
  const extensions = [
    extension(oid.basicConstraints, true, sequence()),
    // digitalSignature: bit 0.
    extension(oid.keyUsage, true, bits(7, Buffer.of(0x80))),
    extension(oid.extendedKeyUsage, false, sequence(objectId(purpose.kind === "server" ? oid.serverAuth : oid.clientAuth))),
    extension(oid.subjectKeyIdentifier, false, octets(keyIdentifier(publicKey))),
    extension(oid.authorityKeyIdentifier, false, sequence(implicit(0, identifierOf(issuer.certificate)))),
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
    extension(oid.authorityKeyIdentifier, false, sequence(implicit(0, identifierOf(issuer.certificate)))),
    extension(oid.crlNumber, false, integer(number.toString(16))),
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

/** Whose revocation list this is: its issuer's name, DER, to be compared with `subjectName`. Throws when it is none. */
export function revocationListIssuer(list: string): Buffer {
  return der(listBody(list)[1] as Node); // a list has more parts than that
}

/** How long a revocation list counts; undefined where it does not say so. Throws when it is none. */
export function revocationListLife(list: string): Life | undefined {
  const [notBefore, notAfter] = listBody(list).slice(2, 4).map(dateOf);
  return notBefore === undefined || notAfter === undefined ? undefined : { notBefore, notAfter };
}

/** The serials on a revocation list, as `X509Certificate` writes them. Throws when it is none. */
export function revocationListSerials(list: string): string[] {
  const entries = listBody(list).slice(3).find(isSequence);
  return (entries === undefined ? [] : children(entries)).map((entry) => canonicalSerial(bytesOf(children(entry)[0]).toString("hex")));
}

/** Upper-case hexadecimal of whole bytes, without leading zeros. */
export function canonicalSerial(hex: string): string {
  const digits = hex.replace(/^0+(?=.)/u, "").toUpperCase();
  return digits.length % 2 === 0 ? digits : `0${digits}`;
}

/** The parts of a revocation list that are signed, from the algorithm on: the version before it is optional. */
function listBody(list: string): Node[] {
  const body = children(children(fromDer(bytesOfPem(list)))[0]);
  return isInteger(body[0]) ? body.slice(1) : body;
}

/** Name of a certificate's subject, DER. */
export function subjectName(certificate: X509Certificate): Buffer {
  return der(subjectOf(certificate));
}

/** The subject for people, in one line. */
export function subjectLine({ subject }: X509Certificate): string {
  return subject.replaceAll("\n", ", ");
}

/** A request (PKCS #10) for a certificate of a CA. PEM. */
export function buildRequest(subject: Subject, key: KeyObject): string {
  const publicKey = createPublicKey(key).export({ type: "spki", format: "der" });
  return signed(sequence(integer("00"), name(subject), fromDer(publicKey), explicit(0)), key, "CERTIFICATE REQUEST");
}

/** The public key of a request (PKCS #10) that its own key has signed; nothing else of it is believed. Throws a sentence when it is none. */
export function requestedKey(request: string): KeyObject {
  let key: KeyObject;
  let proven: boolean;
  try {
    const [info, algorithm, signature] = children(fromDer(bytesOfPem(request)));
    key = createPublicKey({ key: der(children(info)[2] as Node), type: "spki", format: "der" }); // a request has four parts
    const digest = requestDigests[idOf(children(algorithm)[0])];
    proven = digest !== undefined && verify(digest, der(info as Node), key, bytesOf(signature).subarray(1)); // `children` would have thrown
  } catch (cause) {
    throw new Error("That is no certificate request (PKCS #10, PEM), or it is damaged.", { cause });
  }
  if (!proven) throw new Error("The request is not signed with its own key, or with an algorithm that is not taken (SHA-1, MD5).");
  const { asymmetricKeyType: kind, asymmetricKeyDetails: details = {} } = key;
  const strong =
    kind === "ed25519" ||
    (kind === "rsa" && (details.modulusLength ?? 0) >= 2_048 && (details.publicExponent ?? 0n) >= 65_537n) ||
    (kind === "ec" && ["prime256v1", "secp384r1", "secp521r1"].includes(details.namedCurve ?? ""));
  if (!strong)
    throw new Error("The request's key is too weak or of another kind: RSA from 2048 bits, EC P-256, P-384 or P-521, or Ed25519.");
  return key;
}

function certificate(subject: Node, issuer: Node, publicKey: KeyObject, life: Life, extensions: Node[], key: KeyObject): string {
  const body = sequence(
    explicit(0, integer("02")),
    integer(newSerial()),
    signatureAlgorithm(),
    issuer,
    sequence(time(life.notBefore), time(life.notAfter)),
    subject,
    fromDer(publicKey.export({ type: "spki", format: "der" })),
    explicit(3, sequence(...extensions)),
  );
  return signed(body, key, "CERTIFICATE");
}

function signed(body: Node, key: KeyObject, label: string): string {
  const signature = sign("sha256", der(body), key);
  return pem(der(sequence(body, signatureAlgorithm(), bits(0, signature))), label);
}

function authorityExtensions(own: Buffer, issuers: Buffer, pathLength?: number): Node[] {
  const constraints = pathLength === undefined ? sequence(boolean(true)) : sequence(boolean(true), integer(pathLength.toString(16)));
  return [
    extension(oid.basicConstraints, true, constraints),
    // keyCertSign and cRLSign: bits 5 and 6.
    extension(oid.keyUsage, true, bits(1, Buffer.of(0x06))),
    extension(oid.subjectKeyIdentifier, false, octets(own)),
    extension(oid.authorityKeyIdentifier, false, sequence(implicit(0, issuers))),
  ];
}

/** 16 random bytes, positive (RFC 5280 allows 20). */
function newSerial(): string {
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  return serial.toString("hex");
}

function name({ commonName, organizationalUnit }: Subject): Node {
  const part = (type: string, value: string): Node => set(sequence(objectId(type), text(value)));
  return sequence(
    ...(organizationalUnit === undefined ? [] : [part(oid.organizationalUnit, organizationalUnit)]),
    part(oid.commonName, commonName),
  );
}

/** The subject of a certificate exactly as it was encoded: an issuer's name must be the same bytes. */
function subjectOf(certificate: X509Certificate): Node {
  const subject = bodyOf(certificate)[5];
  if (subject === undefined) throw new Error("the issuer's certificate has no subject");
  return subject;
}

/** The parts of a certificate that are signed; the version comes first. */
function bodyOf({ raw }: X509Certificate): Node[] {
  return children(children(fromDer(raw))[0]);
}

/** How a CA's certificate names its key, which another CA may have chosen in its own way. */
function identifierOf(certificate: X509Certificate): Buffer {
  const extensions = children(children(bodyOf(certificate).at(-1))[0]);
  const found = extensions.map(children).find(([id]) => idOf(id) === oid.subjectKeyIdentifier);
  return found === undefined ? keyIdentifier(certificate.publicKey) : bytesOf(fromDer(bytesOf(found.at(-1))));
}

/** SHA-1 of the public key's bits (RFC 5280 §4.2.1.2, method 1): a name for the key, not a protection. */
function keyIdentifier(publicKey: KeyObject): Buffer {
  const bitString = children(fromDer(publicKey.export({ type: "spki", format: "der" })))[1];
  return createHash("sha1").update(bytesOf(bitString).subarray(1)).digest();
}

function extension(id: string, critical: boolean, value: Node): Node {
  return sequence(objectId(id), ...(critical ? [boolean(true)] : []), octets(der(value)));
}

function signatureAlgorithm(): Node {
  return sequence(objectId(oid.ecdsaWithSha256));
}
