import type { Entity } from "./entity.ts";
import { escaped, wordChars } from "./word.ts";

/** A private key in PEM form is at most this long. */
export const pemCharsMax = 16_384;

const pemBegins = /-----BEGIN (?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----/gu;
const pemEnds = /-----END (?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----/u;

/** Forms that their issuers publish so that scanners find them. */
const issued = new RegExp(
  `(?:(?<![A-Za-z0-9_-])|${escaped})(?:${[
    "eyJ[A-Za-z0-9_-]{8,2048}\\.eyJ[A-Za-z0-9_-]{8,4096}\\.[A-Za-z0-9_-]{0,1024}", // JSON Web Token
    "(?:AKIA|ASIA)[0-9A-Z]{16}", // Amazon
    "gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255}",
    "glpat-[A-Za-z0-9_-]{20,255}", // GitLab
    "xox[abeoprs]-[A-Za-z0-9-]{10,255}", // Slack
    "[rs]k_(?:live|test)_[A-Za-z0-9]{16,255}", // Stripe
    "sk-[A-Za-z0-9_-]{20,255}", // OpenAI, Anthropic
    "AIza[0-9A-Za-z_-]{35}", // Google
    "npm_[A-Za-z0-9]{36}",
    "hf_[A-Za-z0-9]{30,255}", // Hugging Face
    "pypi-[A-Za-z0-9_-]{16,255}",
    "SG\\.[A-Za-z0-9_-]{16,64}\\.[A-Za-z0-9_-]{16,128}", // SendGrid
  ].join("|")})(?![A-Za-z0-9_])`,
  "gu",
);

const inUrl = new RegExp(`://[[${wordChars}]--[:@\\/]]{0,64}:([[${wordChars}]--[@\\/]]{1,128})@`, "dgv");

/** The value is only looked at, so that it can be the next name: `secret password: …`. */
const named = new RegExp(
  "(?:password|passwd|passphrase|passcode|pwd|secret|api[ _\\-]?key|access[ _\\-]?key|auth[ _\\-]?token|access[ _\\-]?token|token|bearer|basic)" +
    `["'\`*_\\)]{0,3}(?:\\s{0,3}(?::|=>?|\\bis\\b|\\bwas\\b)[*_]{0,2}\\s{0,3}|\\s)` +
    `(?=["'\`]?((?:[[${wordChars}]--["'\`,;]]|[,;](?=[[${wordChars}]--["'\`]])){4,200}))`,
  "dgiv",
);

/** What programs and forms write where a secret will stand; of a value without its closing brackets. */
const notASecret =
  /^(?:<[^<>]*|\$\{[^{}]*|\{\{?[^{}]*|\[[^[\]]*|\([^()]*|\$[A-Z_]+|%[A-Z_]+%?|\.{3,}|[*•]+|x{4,}|(?:process\.env|os\.environ)\W?.*|none|null|true|false|undefined|string|str|[A-Za-z_][\w.]*\()[,;]*$/iu;

/** Keys and tokens that show what they are. Quantifiers are bounded: linear in the length of the text. */
export function findKeys(text: string): Entity[] {
  const found: Entity[] = [];
  let last = 0;
  for (const { index, 0: head } of text.matchAll(pemBegins)) {
    if (index < last) continue;
    const bodyAt = index + head.length;
    const body = text.slice(bodyAt, index + pemCharsMax);
    const end = pemEnds.exec(body);
    // Without its end line it is cut off, and what is there is as secret.
    last = end === null ? bodyAt + body.length : bodyAt + end.index + end[0].length;
    found.push(credential(index, last));
  }
  for (const { index, 0: token } of text.matchAll(issued)) found.push(credential(index, index + token.length));
  for (const { indices } of text.matchAll(inUrl)) found.push(credential(...(indices?.[1] ?? [0, 0])));
  return found.toSorted((a, b) => a.start - b.start);
}

/** What the words before it call a password, key or token. */
export function findNamedSecrets(text: string): Entity[] {
  const found: Entity[] = [];
  for (const { 0: introduction, 1: value = "", indices } of text.matchAll(named)) {
    const [start] = indices?.[1] ?? [0, 0];
    const trimmed = value.replace(/[.)\]}>!?]+$/u, "");
    if (trimmed.length >= 4 && isSecret(introduction, trimmed)) found.push(credential(start, start + trimmed.length));
  }
  return found;
}

function credential(start: number, end: number): Entity {
  return { start, end, label: "CREDENTIAL", score: 1 };
}

/** `password: the` is prose; a value is one after `=`, or when it is not a plain word. */
function isSecret(introduction: string, value: string): boolean {
  if (notASecret.test(value)) return false;
  if (introduction.trimEnd().endsWith("=")) return true;
  const plainWord = /^[\p{Ll}\p{Lu}]\p{Ll}*(?:[-'’]\p{L}+)*$/u.test(value);
  if (/[:>"'`][*_]*\s*$|(?:is|was)\s*$/iu.test(introduction)) return !plainWord;
  // After `token` or `bearer` alone, only what can't be prose.
  return value.length >= 16 && /\d/u.test(value) && /\p{L}/u.test(value);
}
