import type { KeyObject } from "node:crypto";
import { isSigned, publicText, signed } from "../../server/audit/signing.ts";
import { version } from "../version.ts";
import type { Facts } from "./facts.ts";

/** What stands before the signed text, so that a signature for one purpose is none for another. */
const purpose = "sallyport attestation 1\n";

/** One HTML file: for people what it shows, for programs the same facts as JSON, and a signature (Ed25519) over them. */
export function writeReport(facts: Facts, key: KeyObject): string {
  const json = JSON.stringify(facts).replaceAll("<", "\\u003c");
  return page(facts, json, publicText(key), signed(purpose + json, key));
}

/** The facts of a report. Throws a sentence unless it is signed with its key, and shows what was signed. */
export function readReport(html: string): { facts: Facts; key: string } {
  const [, key, signature, json] =
    /<script type="application\/json" data-key="([\w+/=]+)" data-signature="([\w+/=]+)">(.*)<\/script>\n$/su.exec(html) ?? [];
  if (key === undefined || signature === undefined || json === undefined)
    throw new Error("That is no attestation of Sallyport, or its end is cut off.");
  if (!isSigned(purpose + json, signature, key)) throw new Error("The attestation was altered: its signature does not fit.");
  const facts = JSON.parse(json) as Facts; // signed by our own command
  if (page(facts, json, key, signature) !== html) {
    const own = version();
    throw new Error(
      facts.version === own
        ? "The attestation was altered: the page shows something else than was signed."
        : `What was signed fits its signature, but whether the page shows it can be checked only with Sallyport ${facts.version}, which made it; this is ${own}.`,
    );
  }
  return { facts, key };
}

function page(facts: Facts, json: string, key: string, signature: string): string {
  const { checks, audit, tls, egress, openssl, files, packages } = facts;
  const failed = checks.filter((one) => one.state === "fail").length;
  const warned = checks.filter((one) => one.state === "warn").length;
  const rows = (cells: readonly (readonly string[])[]): string =>
    cells.map((row) => `<tr>${row.map((cell) => `<td>${escaped(cell)}</td>`).join("")}</tr>`).join("\n");
  const table = (head: readonly string[], body: readonly (readonly string[])[]): string =>
    `<table><tr>${head.map((one) => `<th>${escaped(one)}</th>`).join("")}</tr>\n${rows(body)}</table>`;
  const pairs = (value: object): (readonly string[])[] =>
    Object.entries(value).map(([name, one]) => [name, typeof one === "string" ? one : JSON.stringify(one)]);
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Sallyport ${escaped(facts.version)} on ${escaped(facts.host)}, ${escaped(facts.made)}</title>
<style>body{font:15px/1.5 sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem}table{border-collapse:collapse;margin:1rem 0}td,th{border:1px solid #999;padding:.2rem .5rem;text-align:left;vertical-align:top;overflow-wrap:anywhere}</style>
<h1>Sallyport ${escaped(facts.version)} on ${escaped(facts.host)}</h1>
<p>Made ${escaped(facts.made)}. ${failed} of ${checks.length} checks failed, ${warned} warn. Signed with key <code>${key}</code>: compare it with the one you keep, and check this file with <code>npx sallyport attest --verify FILE</code>.</p>
<h2>Checks</h2>
${table(
  ["", "check", "found"],
  checks.map(({ state, name, detail }) => [state, name, detail]),
)}
<h2>Audit log</h2>
${table(["", ""], pairs(audit))}
<h2>TLS</h2>
${table(["", ""], pairs(tls))}
<h2>Egress of the service, at its last start</h2>
${table(["", ""], pairs(egress))}
<h2>OpenSSL</h2>
${table(["", ""], pairs(openssl))}
<h2>Files and models (SHA-256)</h2>
${table(["path", "SHA-256"], Object.entries(files))}
<h2>Packages (SHA-256 over the sums of their files)</h2>
${table(["package", "SHA-256"], Object.entries(packages))}
<script type="application/json" data-key="${key}" data-signature="${signature}">${json}</script>
`;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
