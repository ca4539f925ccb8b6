import { shellWord } from "./shell-word.ts";

/** What a connection was meant for: the service's address, and whose certificate was shown. */
export interface Connection {
  readonly url: string;
  readonly caFile: string;
  readonly name: string;
}

/** By error code: what ended a connection before anything was answered, and what to do. */
const endings: readonly (readonly [RegExp, (connection: Connection) => string])[] = [
  [/^ECONNREFUSED$/u, () => "Is the service running? Start it with `npm start`, or name it with --url."],
  [/^(?:ENOTFOUND|EAI_AGAIN)$/u, () => "There is no host of that name: correct --url."],
  [/WRONG_VERSION_NUMBER|^HPE_|PROTOCOL/u, () => "What listens there is not Sallyport: correct --url."],
  [/ALERT_CERTIFICATE_REVOKED/u, ({ name }) => `The certificate of ${name} is revoked. ${issueAgain(name)}`],
  [/ALERT_CERTIFICATE_EXPIRED/u, ({ name }) => `The certificate of ${name} has expired. ${issueAgain(name)}`],
  [/ALERT_/u, ({ name }) => `It refuses the certificate of ${name}. ${issueAgain(name)}`],
  [
    /^ERR_TLS_CERT_ALTNAME_INVALID$/u,
    () => "Its certificate does not have that name: add it under tls.names, then `npx sallyport certs rotate`.",
  ],
  [/^CERT_HAS_EXPIRED$/u, () => "Its certificate has expired: `npx sallyport certs rotate`."],
  [/^CERT_NOT_YET_VALID$/u, () => "Its certificate is not valid yet: set the clocks."],
  [/CERT|SIGNATURE/u, ({ caFile }) => `Its certificate is not of the CA in ${caFile}: correct --url or SALLYPORT_DATA.`],
  [
    /^(?:ECONNRESET|EPIPE)$/u,
    ({ name }) => `The service may just have ended, or it refuses the certificate of ${name}: see \`npx sallyport certs list\`.`,
  ],
];

/** The error for a call that got no answer. */
export function unanswered(error: NodeJS.ErrnoException, connection: Connection): Error {
  const [, advice] = endings.find(([code]) => code.test(error.code ?? "")) ?? [];
  return new Error(`${connection.url} does not answer (${error.message.trim()}). ${advice?.(connection) ?? "Correct --url."}`);
}

/** The error for an answer that broke off. */
export function brokenOff({ url, name }: Connection): Error {
  return new Error(
    `The connection to ${url} broke in the middle of the answer. The service ended, or the certificate of ${name} was revoked.`,
  );
}

export function issueAgain(name: string): string {
  return `Issue a new one with \`npx sallyport certs issue ${shellWord(name)}\`.`;
}
