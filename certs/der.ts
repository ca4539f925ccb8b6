/** Lays out DER (X.690) with node-forge, which judges nothing here: OpenSSL verifies, node:crypto makes the keys and signs. */
import { isIP } from "node:net";
import forge from "node-forge";

const { asn1 } = forge;
const { Class, Type } = asn1;
export type Node = forge.asn1.Asn1;
// Missing in the types.
const { bytesFromIP } = forge.util as unknown as { bytesFromIP(address: string): string };

export function der(node: Node): Buffer {
  return Buffer.from(asn1.toDer(node).getBytes(), "binary");
}

/** Throws when `bytes` is no DER. */
export function fromDer(bytes: Buffer): Node {
  return asn1.fromDer(forge.util.createBuffer(bytes.toString("binary")));
}

/** Throws when `node` has no parts. */
export function children(node: Node | undefined): Node[] {
  if (node === undefined || !Array.isArray(node.value)) throw new Error("not a constructed DER value");
  return node.value;
}

/** The content of a value; of a bit string, also where it holds DER, which comes parsed. */
export function bytesOf(node: Node | undefined): Buffer {
  const { value, bitStringContents = value } = node as Node & { readonly bitStringContents?: string }; // missing in the types
  if (typeof bitStringContents !== "string") throw new Error("a DER value is missing, or has parts");
  return Buffer.from(bitStringContents, "binary");
}

export function isInteger(node: Node | undefined): boolean {
  return node?.type === Type.INTEGER;
}

export function isSequence(node: Node): boolean {
  return node.tagClass === Class.UNIVERSAL && node.type === Type.SEQUENCE;
}

export function idOf(node: Node | undefined): string {
  return asn1.derToOid(bytesOf(node).toString("binary"));
}

export function sequence(...items: Node[]): Node {
  return asn1.create(Class.UNIVERSAL, Type.SEQUENCE, true, items);
}

export function set(...items: Node[]): Node {
  return asn1.create(Class.UNIVERSAL, Type.SET, true, items);
}

/** A context tag around another value. */
export function explicit(tag: number, ...items: Node[]): Node {
  return asn1.create(Class.CONTEXT_SPECIFIC, tag as forge.asn1.Type, true, items); // a context tag, which the types do not know
}

/** A context tag in place of a value's own. */
export function implicit(tag: number, bytes: Buffer): Node {
  return asn1.create(Class.CONTEXT_SPECIFIC, tag as forge.asn1.Type, false, bytes.toString("binary")); // as above
}

export function objectId(id: string): Node {
  return asn1.create(Class.UNIVERSAL, Type.OID, false, asn1.oidToDer(id).getBytes());
}

export function octets(bytes: Buffer): Node {
  return primitive(Type.OCTETSTRING, bytes);
}

export function text(value: string): Node {
  return primitive(Type.UTF8, Buffer.from(value, "utf8"));
}

export function bmpText(value: string): Node {
  return asn1.create(Class.UNIVERSAL, Type.BMPSTRING, false, value);
}

export function nothing(): Node {
  return primitive(Type.NULL, Buffer.alloc(0));
}

export function boolean(value: boolean): Node {
  return primitive(Type.BOOLEAN, Buffer.of(value ? 0xff : 0));
}

export function bits(unused: number, bytes: Buffer): Node {
  return primitive(Type.BITSTRING, Buffer.concat([Buffer.of(unused), bytes]));
}

/** A non-negative integer from hexadecimal digits. */
export function integer(digits: string): Node {
  const bytes = Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, "hex");
  return primitive(Type.INTEGER, (bytes[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.of(0), bytes]) : bytes);
}

/** UTCTime until 2049, GeneralizedTime from 2050 on (RFC 5280 §4.1.2.5). */
export function time(date: Date): Node {
  return date.getUTCFullYear() < 2050
    ? primitive(Type.UTCTIME, Buffer.from(asn1.dateToUtcTime(date) as string)) // the types say Date and mean a string
    : primitive(Type.GENERALIZEDTIME, Buffer.from(asn1.dateToGeneralizedTime(date) as string)); // as above
}

/** What `time` writes. Undefined where `node` is no time. */
export function dateOf(node: Node | undefined): Date | undefined {
  if (node?.type === Type.UTCTIME) return asn1.utcTimeToDate(bytesOf(node).toString("binary"));
  return node?.type === Type.GENERALIZEDTIME ? asn1.generalizedTimeToDate(bytesOf(node).toString("binary")) : undefined;
}

/** A subject's alternative name: an IP address or a DNS name. */
export function alternativeName(name: string): Node {
  return isIP(name) === 0 ? implicit(2, Buffer.from(name, "ascii")) : implicit(7, Buffer.from(bytesFromIP(name), "binary"));
}

/** The key that PKCS #12 makes of a password (RFC 7292, appendix B), for its MAC: purpose 3, SHA-256. */
export function macKey(password: string, salt: Buffer, iterations: number): Buffer {
  const digest = forge.md.sha256.create() as unknown as forge.md.MessageDigest;
  // Missing in the types.
  const { generateKey } = forge.pkcs12 as unknown as {
    generateKey(
      password: string,
      salt: forge.util.ByteStringBuffer,
      id: number,
      iterations: number,
      bytes: number,
      digest: forge.md.MessageDigest,
    ): forge.util.ByteStringBuffer;
  };
  return Buffer.from(
    generateKey(password, forge.util.createBuffer(salt.toString("binary")), 3, iterations, 32, digest).getBytes(),
    "binary",
  );
}

function primitive(type: forge.asn1.Type, bytes: Buffer): Node {
  return asn1.create(Class.UNIVERSAL, type, false, bytes.toString("binary"));
}
